/// A trained model as a file: everything needed to apply it to raw rows, and where it comes from.
///
/// A safetensors file of schema `bauta/model/1`: tensors `weights`, `intercept`, `mean`, `standardDeviation`,
/// `classWeights` (negative, positive), with the step `publicScale` also `bound`, where the clip of the updates follows their
/// norms also `clip` (that of the next round), and with ``FedSGD`` its state as `iterate`, `velocity` and `iterateSum`
/// (all three or none); metadata `schema`, `kind`, `features` and `preprocessing` (JSON lists), `label`,
/// `positive`, `run`, `context`, `round`, and whatever else the writer adds. The same contents give the same bytes.
///
/// A file that decodes is well formed; it does not say who trained it. Compare its hash with the signed record.
public struct ModelArtifact: Sendable, Equatable {
  public static let schema = "bauta/model/1"
  public static let kind = "logisticRegression"
  static let tensorNames = ["weights", "intercept", "mean", "standardDeviation", "classWeights"]
  static let boundName = "bound"
  static let clipName = "clip"
  /// Clips that a file may hold.
  public static let clips = 0x1p-40...0x1p40
  static let optimizerNames = ["iterate", "velocity", "iterateSum"]
  static let reservedKeys: Set<String> = [
    "schema", "kind", "features", "preprocessing", "label", "positive", "run", "context", "round",
  ]

  public let model: LogisticRegressionModel
  public let preprocessing: FittedPreprocessing
  public let classWeights: ClassWeights
  /// Name of the label column.
  public let label: String
  /// Text of the label that means the positive class.
  public let positive: String
  /// The run the model comes from.
  public let run: String
  /// The hexadecimal context hash of the round.
  public let context: String
  /// Rounds that are in the model; 0 is the initial one.
  public let round: Int
  /// What ``FedSGD`` goes on from; nil for other strategies. Its round is the file's.
  public let optimizer: FedSGD.State?
  /// Largest L2 norm of an organisation's update in the next round, in ``clips``; nil where the plan alone says it.
  public let clip: Double?
  /// Further metadata, such as statistics of the run.
  public let metadata: [String: String]

  /// - Throws: `LearningError` where preprocessing, model and optimizer have different numbers of features, public
  ///   constants are missing, the round is negative or not the optimizer's, the clip is out of range, or `metadata` uses a key of the schema.
  public init(
    model: LogisticRegressionModel, preprocessing: FittedPreprocessing, classWeights: ClassWeights, label: String,
    positive: String, run: String, context: String, round: Int, optimizer: FedSGD.State? = nil,
    clip: Double? = nil, metadata: [String: String] = [:]
  ) throws(LearningError) {
    _ = try preprocessing.publicScaling()
    if let optimizer {
      guard optimizer.parameters.count == model.parameters.count else {
        throw .model(.parameterCount(expected: model.parameters.count, found: optimizer.parameters.count))
      }
      guard optimizer.round == round else {
        throw .artifact(.metadata(key: "round", problem: "it is not the optimizer's"))
      }
    }
    guard preprocessing.standardization.means.count == model.weights.count else {
      throw .model(
        .parameterCount(expected: model.weights.count, found: preprocessing.standardization.means.count))
    }
    guard clip.map(Self.clips.contains) ?? true else {
      throw .artifact(.tensor(name: Self.clipName, problem: "it is not from 2^-40 to 2^40"))
    }
    guard round >= 0 else { throw .artifact(.metadata(key: "round", problem: "it is negative")) }
    if let key = metadata.keys.filter(Self.reservedKeys.contains).min() { throw .artifact(.reservedKey(key)) }
    self.model = model
    self.preprocessing = preprocessing
    self.classWeights = classWeights
    self.label = label
    self.positive = positive
    self.run = run
    self.context = context
    self.round = round
    self.optimizer = optimizer
    self.clip = clip
    self.metadata = metadata
  }

  /// Log-odds of raw rows whose features are the model's, in its order.
  ///
  /// - Throws: `LearningError` for other features or values that overflow.
  public func logits(_ table: FeatureTable) throws(LearningError) -> [Double] {
    guard table.featureNames == model.featureNames else {
      throw .table(.differentFeatures(expected: model.featureNames, found: table.featureNames))
    }
    return try model.logits(preprocessing.apply(table))
  }

  /// The file's bytes.
  ///
  /// - Throws: `LearningError.artifact(.headerLength)` if names and metadata exceed 1 MiB.
  public func encoded() throws(LearningError) -> [UInt8] {
    var metadata = metadata
    metadata["schema"] = Self.schema
    metadata["kind"] = Self.kind
    metadata["features"] = JSONText.list(model.featureNames)
    metadata["preprocessing"] = JSONText.list(preprocessing.preprocessing.names)
    metadata["label"] = label
    metadata["positive"] = positive
    metadata["run"] = run
    metadata["context"] = context
    metadata["round"] = String(round)
    let standardization = preprocessing.standardization
    var tensors = [
      "weights": Tensor(model.weights), "intercept": Tensor([model.intercept]),
      "mean": Tensor(standardization.means), "standardDeviation": Tensor(standardization.standardDeviations),
      "classWeights": Tensor([classWeights.negative, classWeights.positive]),
    ]
    if let bound = preprocessing.bound { tensors[Self.boundName] = Tensor([bound]) }
    if let clip { tensors[Self.clipName] = Tensor([clip]) }
    if let optimizer {
      let vectors = [optimizer.parameters, optimizer.velocity, optimizer.iterateSum]
      for (name, vector) in zip(Self.optimizerNames, vectors) { tensors[name] = Tensor(vector) }
    }
    return try Safetensors(tensors: tensors, metadata: metadata).encoded()
  }

  /// Reads a model file.
  ///
  /// - Throws: `LearningError` naming what is wrong with the file.
  public init(decoding file: [UInt8]) throws(LearningError) {
    let container = try Safetensors(decoding: file)
    let header = container.metadata
    func text(_ key: String) throws(LearningError) -> String {
      guard let value = header[key] else { throw .artifact(.missing(key)) }
      return value
    }
    let schema = try text("schema")
    guard schema == Self.schema else { throw .artifact(.schema(schema)) }
    guard try text("kind") == Self.kind else {
      throw .artifact(.metadata(key: "kind", problem: "only \(Self.kind) is known"))
    }
    let features = try Self.list(text("features"), key: "features")
    let steps = try Preprocessing(names: Self.list(text("preprocessing"), key: "preprocessing"))
    let roundText = try text("round")
    guard let round = Int(roundText), round >= 0, String(round) == roundText else {
      throw .artifact(.metadata(key: "round", problem: "it is not a number of rounds"))
    }
    let hasOptimizer = Self.optimizerNames.contains { container.tensors[$0] != nil }
    let hasClip = container.tensors[Self.clipName] != nil
    let tensors = try Self.vectors(
      container.tensors, features: features.count, bounded: steps.scalesPublicly, clipped: hasClip,
      optimizer: hasOptimizer)
    let standardization = try Standardization(means: tensors[2], standardDeviations: tensors[3])
    let state = tensors.suffix(3)
    try self.init(
      model: LogisticRegressionModel(featureNames: features, parameters: tensors[0] + tensors[1]),
      preprocessing: steps.scalesPublicly
        ? FittedPreprocessing(
          steps,
          scaling: PublicScaling(
            centres: standardization.means, scales: standardization.standardDeviations, bound: tensors[5][0]))
        : FittedPreprocessing(steps, standardization: standardization),
      classWeights: ClassWeights(negative: tensors[4][0], positive: tensors[4][1]), label: text("label"),
      positive: text("positive"), run: text("run"), context: text("context"), round: round,
      optimizer: hasOptimizer
        ? FedSGD.State(
          parameters: state[state.startIndex], velocity: state[state.startIndex + 1],
          iterateSum: state[state.startIndex + 2], round: round) : nil,
      clip: hasClip ? tensors[steps.scalesPublicly ? 6 : 5][0] : nil,
      metadata: header.filter { !Self.reservedKeys.contains($0.key) })
  }

  private static func list(_ text: String, key: String) throws(LearningError) -> [String] {
    do throws(LearningError) {
      let bytes = Array(text.utf8)
      var scanner = JSONScanner(bytes: bytes[...])
      let list = try scanner.strings()
      try scanner.finish()
      return list
    } catch {
      throw .artifact(.metadata(key: key, problem: "it is not a JSON list of strings"))
    }
  }

  /// The values of ``tensorNames``, then ``boundName`` if `bounded`, then ``clipName`` if `clipped`, then
  /// ``optimizerNames`` if `optimizer`, shapes checked.
  private static func vectors(
    _ tensors: [String: Tensor], features: Int, bounded: Bool, clipped: Bool, optimizer: Bool
  ) throws(LearningError) -> [[Double]] {
    var expected = Array(zip(tensorNames, [features, 1, features, features, 2]))
    if bounded { expected.append((boundName, 1)) }
    if clipped { expected.append((clipName, 1)) }
    let parameters = LogisticRegressionModel.parameterCount(features: features)
    if optimizer { expected += optimizerNames.map { ($0, parameters) } }
    if let name = tensors.keys.filter({ name in !expected.contains { $0.0 == name } }).min() {
      throw .artifact(.unexpectedTensor(name))
    }
    var vectors: [[Double]] = []
    for (name, count) in expected {
      guard let tensor = tensors[name] else { throw .artifact(.missing(name)) }
      guard tensor.shape == [count] else {
        throw .artifact(.tensor(name: name, problem: "its shape is not [\(count)]"))
      }
      vectors.append(tensor.values)
    }
    return vectors
  }
}
