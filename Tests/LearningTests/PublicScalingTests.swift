import Testing

@testable import Learning

@Suite struct PublicScalingTests {
  private let names = ["signedLog1p", "publicScale"]

  @Test func centresScalesAndClamps() throws {
    let scaling = try PublicScaling(centres: [1, 2], scales: [0.5, 4], bound: 3)
    let table = try makeTable([[2, 2], [10, -100], [1, 14]], labels: [0, 1, 0])
    #expect(try scaling.apply(table).values == [2, 0, 3, -3, 0, 3])
    #expect(try scaling.apply(table).labels == [0, 1, 0])
  }

  @Test func valuesStayBoundedWhateverTheyWere() throws {
    let scaling = try PublicScaling(centre: -1e308, scale: 1e-300, bound: 4, features: 3)
    let extremes = [Double.greatestFiniteMagnitude, -.greatestFiniteMagnitude, -1e308]
    #expect(try scaling.apply(makeTable([extremes], labels: [1])).values == [4, -4, 0])
  }

  /// What differential privacy rests on: a record is transformed the same, whoever else is in the table.
  @Test func rowsDoNotSeeEachOther() throws {
    let scaling = try PublicScaling(centre: 5, scale: 2, bound: 4, features: 2)
    let fitted = try FittedPreprocessing(Preprocessing(names: names), scaling: scaling)
    let table = try makeTable([[3, 400], [1e9, -7], [0, 12]], labels: [0, 1, 0])
    let together = try fitted.apply(table)
    for row in 0..<3 {
      #expect(try fitted.apply(table.selecting(rows: [row])).values == Array(together.row(row)))
    }
    // The twin with statistics is not of that kind.
    let standardize = try Preprocessing(names: ["signedLog1p", "standardize"])
    func standardized(_ table: FeatureTable) throws -> FeatureTable {
      try FittedPreprocessing(standardize, statistics: FeatureStatistics(of: standardize.transform(table))).apply(table)
    }
    #expect(try standardized(table.selecting(rows: [0, 1])).row(0) != standardized(table).row(0))
  }

  @Test func constantsComeFromAPublicTable() throws {
    let preprocessing = try Preprocessing(names: names)
    let synthetic = try SyntheticProviders.generate(rows: 2000, organization: 0, organizations: 1, seed: 1)
    let scaling = try PublicScaling(publicTable: preprocessing.transform(synthetic), bound: 4)
    let other = try SyntheticProviders.generate(rows: 2000, organization: 0, organizations: 1, seed: 2)
    let statistics = FeatureStatistics(
      of: try FittedPreprocessing(preprocessing, scaling: scaling).apply(other)
    ).standardization()
    for column in scaling.centres.indices {
      #expect((scaling.centres[column] * 64).rounded() == scaling.centres[column] * 64)
      #expect(statistics.means[column].magnitude < 0.15)
      #expect(0.8...1.2 ~= statistics.standardDeviations[column])
    }
    // A column that does not vary does not divide by zero.
    #expect(try PublicScaling(publicTable: makeTable([[7], [7]], labels: [0, 0]), bound: 4).scales == [1])
  }

  @Test func takesThePlaceOfStandardize() throws {
    #expect(try Preprocessing(names: names).scalesPublicly)
    #expect(try !Preprocessing(names: names).standardizes)
    for wrong in [["publicScale", "signedLog1p"], ["standardize", "publicScale"], ["publicScale", "publicScale"]] {
      #expect(throws: LearningError.preprocessing(.order(wrong))) { try Preprocessing(names: wrong) }
    }
  }

  @Test func refusesMissingAndUnusedConstants() throws {
    let table = try makeTable([[1, 2]], labels: [0])
    let preprocessing = try Preprocessing(names: names)
    let without = FittedPreprocessing(preprocessing, standardization: .identity(features: 2))
    #expect(throws: LearningError.privacy(.publicScaleMissing)) { try without.apply(table) }
    let scaling = try PublicScaling(centre: 0, scale: 1, bound: 1, features: 2)
    #expect(throws: LearningError.privacy(.publicScaleUnused)) {
      try FittedPreprocessing(Preprocessing(names: ["signedLog1p"]), scaling: scaling)
    }
    let fitted = try FittedPreprocessing(preprocessing, scaling: scaling)
    #expect(throws: LearningError.privacy(.publicScaleFeatures(expected: 1, found: 2))) {
      try fitted.apply(makeTable([[1]], labels: [0]))
    }
  }

  @Test func refusesConstantsOutOfRange() {
    #expect(throws: LearningError.self) { try PublicScaling(centres: [0], scales: [1, 1], bound: 1) }
    for centre in [Double.nan, .infinity] {
      #expect(throws: LearningError.self) { try PublicScaling(centres: [centre], scales: [1], bound: 1) }
    }
    for scale in [0, -1, .nan, Double.infinity] {
      #expect(throws: LearningError.self) { try PublicScaling(centres: [0], scales: [scale], bound: 1) }
    }
    for bound in [0, -1, .nan, .infinity, 1025.0] {
      #expect(throws: LearningError.self) { try PublicScaling(centres: [0], scales: [1], bound: bound) }
    }
  }
}

@Suite struct PrivateModelArtifactTests {
  private func artifact(
    steps: [String] = ["signedLog1p", "publicScale"], hasOptimizer: Bool = true
  ) throws -> ModelArtifact {
    let preprocessing = try Preprocessing(names: steps)
    let scaling = try PublicScaling(centres: [1, 2], scales: [0.5, 4], bound: 3)
    return try ModelArtifact(
      model: LogisticRegressionModel(featureNames: ["a", "b"], parameters: [0.25, -3, 1.5]),
      preprocessing: preprocessing.scalesPublicly
        ? FittedPreprocessing(preprocessing, scaling: scaling)
        : FittedPreprocessing(
          preprocessing, standardization: Standardization(means: [1, 2], standardDeviations: [3, 4])),
      classWeights: .uniform, label: "fraud", positive: "1", run: "run-1", context: "00ff", round: 3,
      optimizer: hasOptimizer
        ? FedSGD.State(parameters: [0.5, -3.5, 1], velocity: [1, -0.0, 1e-300], iterateSum: [0, 0.1, 7], round: 3)
        : nil)
  }

  @Test(arguments: [["signedLog1p", "publicScale"], ["publicScale"], ["standardize"]], [true, false])
  func roundTripIsExact(steps: [String], hasOptimizer: Bool) throws {
    let artifact = try artifact(steps: steps, hasOptimizer: hasOptimizer)
    let bytes = try artifact.encoded()
    let decoded = try ModelArtifact(decoding: bytes)
    #expect(decoded == artifact)
    #expect(try decoded.encoded() == bytes)
    #expect((decoded.optimizer == nil) == !hasOptimizer)
    let table = try makeTable([[1.718281828459045, 0], [1e12, -3]], labels: [1, 0], names: ["a", "b"])
    #expect(try decoded.logits(table) == artifact.logits(table))
  }

  @Test func predictsFromRawRows() throws {
    let table = try makeTable([[1.718281828459045, 1e30]], labels: [1], names: ["a", "b"])
    // (log1p 1.718… − 1) / 0.5 = 0; the other is clamped to 3.
    #expect(try abs(artifact().logits(table)[0] - (-3 * 3 + 1.5)) < 1e-14)
  }

  @Test func filesWithPartsMissingOrTooManyAreRefused() throws {
    let container = try Safetensors(decoding: artifact().encoded())
    let changes: [(String, Tensor?)] = [
      ("bound", nil), ("bound", Tensor([0])), ("bound", Tensor([.nan])), ("bound", Tensor([3, 3])),
      ("velocity", nil), ("iterate", nil), ("iterateSum", nil), ("velocity", Tensor([1, 2])),
      ("iterate", Tensor([1, 2, .nan])), ("iterateSum", Tensor([1, 2, .infinity])), ("momentum", Tensor([1])),
    ]
    for (name, tensor) in changes {
      var changed = container
      changed.tensors[name] = tensor
      let bytes = try changed.encoded()
      #expect(throws: LearningError.self, "\(name)") { try ModelArtifact(decoding: bytes) }
    }
    var unscaled = container
    unscaled.metadata["preprocessing"] = #"["signedLog1p"]"#
    let bytes = try unscaled.encoded()
    #expect(throws: LearningError.artifact(.unexpectedTensor("bound"))) { try ModelArtifact(decoding: bytes) }
  }

  @Test func stateAndModelMustFit() throws {
    let good = try artifact()
    for state in [
      try FedSGD.State(parameters: [1, 2], velocity: [1, 2], iterateSum: [1, 2], round: 3),
      try FedSGD.State(parameters: [1, 2, 3], velocity: [1, 2, 3], iterateSum: [1, 2, 3], round: 2),
    ] {
      #expect(throws: LearningError.self) {
        try ModelArtifact(
          model: good.model, preprocessing: good.preprocessing, classWeights: .uniform, label: "fraud", positive: "1",
          run: "run-1", context: "00ff", round: 3, optimizer: state)
      }
    }
    let missing = FittedPreprocessing(good.preprocessing.preprocessing, standardization: .identity(features: 2))
    #expect(throws: LearningError.privacy(.publicScaleMissing)) {
      try ModelArtifact(
        model: good.model, preprocessing: missing, classWeights: .uniform, label: "fraud", positive: "1", run: "run-1",
        context: "00ff", round: 3)
    }
  }
}
