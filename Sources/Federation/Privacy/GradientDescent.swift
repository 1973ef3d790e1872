public import Learning

/// What FedSGD needs beside the strategy's organisations: all of it public.
public struct GradientDescentSettings: Sendable, Hashable {
  static let keys = ["learningRate", "momentum", "expectedExamples", "averagedRounds"]

  public let learningRate: Double
  public let momentum: Double
  /// What a sum of gradients is divided by: the rows of one round. The true number of rows does not leave.
  public let expectedExamples: Int
  /// The model is the mean of so many last iterates.
  public let averagedRounds: Int

  init(_ group: YAMLMapping, rounds: Int) throws(FederationError) {
    learningRate = try group.required(
      "learningRate", .number("a number above 0 and at most 1000") { $0 > 0 && $0 <= 1000 })
    momentum = try group.optional("momentum", .number("a number from 0, below 1") { $0 >= 0 && $0 < 1 }, default: 0)
    expectedExamples = try group.required("expectedExamples", .integer(1...1_000_000_000))
    averagedRounds = try group.optional("averagedRounds", .integer(1...rounds), default: 1)
  }

  /// The strategy of a plan.
  func strategy(_ plan: RunPlan) throws(LearningError) -> FedSGD {
    try FedSGD(
      expectedExamples: Double(expectedExamples), learningRate: learningRate, momentum: momentum, l2: plan.model.l2,
      rounds: plan.rounds, averagedRounds: averagedRounds)
  }
}

extension RunPlan {
  /// How FedSGD moves the model; nil for another strategy.
  ///
  /// - Throws: `LearningError.privacy` for settings that it refuses.
  public var gradientDescent: FedSGD? {
    get throws(LearningError) { try strategy.gradient?.strategy(self) }
  }
}

/// Constants of the step `publicScale`: what everybody may know of the columns, so that no statistics need leave.
public struct PublicScaleSettings: Sendable, Hashable {
  /// One a feature, or one for all.
  public let centres: [Double]
  public let scales: [Double]
  public let bound: Double

  init(_ group: YAMLMapping) throws(FederationError) {
    let number = YAMLField<Double>.number("a number") { $0.magnitude <= 0x1p40 }
    centres = try group.numbers("centre", number, default: 0)
    scales = try group.numbers(
      "scale", .number("a number above 0 and at most 2^40") { $0 >= 0x1p-40 && $0 <= 0x1p40 }, default: 1)
    guard centres.count == 1 || scales.count == 1 || centres.count == scales.count else {
      throw group.fault(
        "scale",
        .inconsistent(
          path: group.path("scale"), problem: "it lists \(scales.count) numbers, where centre lists \(centres.count)"))
    }
    let bounds = 0x1p-10...PublicScaling.maximumBound
    bound = try group.required("bound", .number("a number from 0.001 to 1024") { bounds.contains($0) })
  }

  /// How many features the lists are for; nil where one number is for all.
  var featureCount: Int? { [centres.count, scales.count].first { $0 > 1 } }

  /// - Throws: `LearningError.privacy` where a list is for another number of features.
  func scaling(features: Int) throws(LearningError) -> PublicScaling {
    func spread(_ values: [Double]) -> [Double] {
      values.count == 1 ? Array(repeating: values[0], count: features) : values
    }
    let scaling = try PublicScaling(centres: spread(centres), scales: spread(scales), bound: bound)
    guard scaling.centres.count == features else {
      throw .privacy(.publicScaleFeatures(expected: features, found: scaling.centres.count))
    }
    return scaling
  }
}

extension YAMLMapping {
  /// A number, or a list of them.
  fileprivate func numbers(
    _ key: String, _ field: YAMLField<Double>, default value: Double
  ) throws(FederationError) -> [Double] {
    guard let node = node(key) else { return [value] }
    guard case .sequence(let items) = node.content else { return [try read(node, field, path: path(key))] }
    guard items.count <= RunPlan.maximumFeatures else {
      throw source.fault(node, .tooManyItems(path: path(key), limit: RunPlan.maximumFeatures))
    }
    var values: [Double] = []
    for item in items { values.append(try read(item, field, path: path(key))) }
    guard !values.isEmpty else {
      throw source.fault(node, .inconsistent(path: path(key), problem: "the list is empty"))
    }
    return values
  }
}
