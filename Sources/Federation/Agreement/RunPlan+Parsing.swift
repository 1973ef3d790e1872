import Cryptography
import Learning
import SecureAggregation

extension RunPlan {
  /// Reads a plan's text.
  ///
  /// - Parameters:
  ///   - text: at most 256 KiB.
  ///   - file: the name that errors give.
  /// - Throws: ``FederationError/document(_:_:)`` with file, line and column of the first fault.
  public init(parsing text: String, file: String = "plan.yaml") throws(FederationError) {
    let source = YAMLSource(file: file)
    let keys = [
      "schema", "name", "task", "data", "model", "trainer", "strategy", "rounds", "secureSum", "evaluation",
      "deadlines", "privacy",
    ]
    let top = try YAMLMapping(try source.root(of: Array(text.utf8)), source: source, keys: keys)
    try top.requireSchema(Self.schema)
    name = try top.required("name", .identifier)
    task = try Task(top.mapping("task", keys: ["kind", "label", "positive", "features"], isRequired: true))
    data = try DataSettings(
      top.mapping("data", keys: DataSettings.keys, isRequired: true))
    model = try ModelSettings(top.mapping("model", keys: ["kind", "l2", "classWeights"]))
    trainer = try TrainerSettings(top.mapping("trainer", keys: TrainerSettings.keys))
    rounds = try top.required("rounds", .integer(Self.roundCounts))
    strategy = try StrategyChoice(top.mapping("strategy", keys: StrategyChoice.keys), rounds: rounds)
    secureSum = try SecureSumSettings(top.mapping("secureSum", keys: SecureSumSettings.keys))
    evaluation = try EvaluationSettings(top.mapping("evaluation", keys: EvaluationSettings.keys))
    deadlines = try Deadlines(top.mapping("deadlines", keys: ["accept", "fit", "step", "reconnect"]))
    privacy = try PrivacyModel(top, evaluates: evaluation.rounds != .none)
    self.text = text
    hash = PlanHash(hashing: Array(text.utf8))
    try requireConsistency(top)
  }

  /// Reads a plan's file.
  ///
  /// - Throws: ``FederationError/file(_:)``, ``FederationError/document(_:_:)``.
  public init(contentsOf path: String) throws(FederationError) {
    let text = try FileAccess.text(of: path, maximum: YAMLSource.maximumBytes)
    try self.init(parsing: text, file: path)
  }
}

extension RunPlan.Task {
  fileprivate init(_ group: YAMLMapping) throws(FederationError) {
    kind = try group.available("kind", available: [.train, .statistics])
    let columnName = YAMLField<String>.text(maximum: RunPlan.maximumFeatureNameBytes)
    label = try group.required("label", columnName)
    positive = try group.optional("positive", .text(maximum: 256), default: "1")
    guard let node = group.node("features"), case .sequence = node.content else {
      let all = YAMLField<Bool>(expected: "'all' or a list of columns") { text, _ in text == "all" ? true : nil }
      _ = try group.optional("features", all, default: true)
      features = .all
      return
    }
    let names = try group.list("features", of: columnName, maximum: RunPlan.maximumFeatures)
    guard !names.isEmpty else {
      throw group.fault("features", .inconsistent(path: "task.features", problem: "the list is empty"))
    }
    guard !names.contains(label) else {
      throw group.fault(
        "features", .inconsistent(path: "task.features", problem: "the label \(excerpt(label)) is among the features"))
    }
    features = .named(names)
  }
}

extension RunPlan.DataSettings {
  fileprivate static let keys = ["set", "testFraction", "splitSeed", "preprocessing", "publicScale"]

  fileprivate init(_ group: YAMLMapping) throws(FederationError) {
    set = try group.required("set", .identifier)
    testFraction = try group.optional(
      "testFraction", .number("a number above 0 and below 1") { $0 > 0 && $0 < 1 }, default: 0.2)
    splitSeed = try group.optional("splitSeed", .seed, default: 1)
    let steps: [PreprocessingStep] = try group.list(
      "preprocessing", of: .word, maximum: 16, default: [.signedLog1p, .standardize])
    do { preprocessing = try Preprocessing(names: steps.map(\.rawValue)) } catch {
      throw group.fault("preprocessing", .inconsistent(path: "data.preprocessing", problem: error.message))
    }
    publicScale =
      group.node("publicScale") == nil
      ? nil : try PublicScaleSettings(group.mapping("publicScale", keys: ["centre", "scale", "bound"]))
  }
}

extension RunPlan.ModelSettings {
  fileprivate init(_ group: YAMLMapping) throws(FederationError) {
    kind = try group.optional("kind", .word, default: .logisticRegression)
    l2 = try group.optional("l2", .number("a number from 0 to 1000000") { $0 >= 0 && $0 <= 1e6 }, default: 0.001)
    classWeights = try Self.classWeights(group)
  }

  private static func classWeights(_ group: YAMLMapping) throws(FederationError) -> RunPlan.ClassWeighting {
    guard let node = group.node("classWeights"), case .mapping = node.content else {
      let word = YAMLField<RunPlan.ClassWeighting>(
        expected: "balanced, uniform, or {negative: NUMBER, positive: NUMBER}"
      ) {
        text, _ in
        switch text {
        case "balanced": .balanced
        case "uniform": .uniform
        case _: nil
        }
      }
      return try group.optional("classWeights", word, default: .balanced)
    }
    let weights = try group.mapping("classWeights", keys: ["negative", "positive"])
    let number = YAMLField<Double>.number("a number from 0.001 to 1000") { (0.001...1000).contains($0) }
    let (negative, positive) = (try weights.required("negative", number), try weights.required("positive", number))
    do throws(LearningError) { return .fixed(try ClassWeights(negative: negative, positive: positive)) } catch {
      throw .learning(error)
    }
  }
}

extension RunPlan.TrainerSettings {
  fileprivate static let keys = ["program", "optimizer", "steps"] + LocalDescentSettings.keys

  fileprivate init(_ group: YAMLMapping) throws(FederationError) {
    program = try group.optional("program", .word, default: .builtin)
    optimizer = try group.available("optimizer", default: .lbfgs, available: [.lbfgs, .dpsgd])
    steps = try group.optional("steps", .integer(1...10_000), default: 20)
    guard optimizer == .dpsgd else {
      for key in LocalDescentSettings.keys where group.node(key) != nil {
        throw group.fault(key, .inconsistent(path: group.path(key), problem: "it is of the optimizer dpsgd only"))
      }
      local = nil
      return
    }
    local = try LocalDescentSettings(group)
  }
}

extension RunPlan.StrategyChoice {
  fileprivate static let keys =
    [
      "name", "fractionFit", "minimumFitClients", "minimumEvaluateClients", "minimumAvailableClients",
    ] + GradientDescentSettings.keys

  fileprivate init(_ group: YAMLMapping, rounds: Int) throws(FederationError) {
    name = try group.available("name", default: .fedAvg, available: [.fedAvg, .fedSGD])
    fractionFit = try group.optional(
      "fractionFit", .number("a number above 0 and at most 1") { $0 > 0 && $0 <= 1 }, default: 1)
    guard fractionFit == 1 else {
      throw group.fault(
        "fractionFit",
        .notAvailable(path: group.path("fractionFit"), found: "'\(fractionFit)'", available: "1 (the whole cohort)"))
    }
    // Two organisations would learn each other's term from the sum.
    let clients = YAMLField<Int>.integer(3...AggregationContext.regularCohortCounts.upperBound)
    minimumFitClients = try group.optional("minimumFitClients", clients, default: 3)
    minimumEvaluateClients = try group.optional("minimumEvaluateClients", clients, default: 3)
    minimumAvailableClients = try group.optional("minimumAvailableClients", clients, default: 3)
    guard name == .fedSGD else {
      for key in GradientDescentSettings.keys where group.node(key) != nil {
        throw group.fault(key, .inconsistent(path: group.path(key), problem: "it is of the strategy FedSGD only"))
      }
      gradient = nil
      return
    }
    gradient = try GradientDescentSettings(group, rounds: rounds)
  }
}

extension RunPlan.SecureSumSettings {
  fileprivate static let keys = ["bits", "clip", "rounding", "weightCap", "prg", "graph", "dropouts"]

  fileprivate init(_ group: YAMLMapping) throws(FederationError) {
    bits = try group.optional("bits", .integer(8...32), default: 32)
    clip = try group.optional(
      "clip", .number("a number above 0 and at most 2^40") { $0 >= 0x1p-40 && $0 <= 0x1p40 }, default: 8)
    rounding = try group.optional("rounding", .word, default: .stochastic)
    weightCap = try group.optional("weightCap", .integer(RunPlan.weightCaps), default: 100_000)
    generator = try group.optional("prg", .word, default: .aes256CTR)
    graph = try group.optional("graph", .word, default: .complete)
    let rate = try group.optional(
      "dropouts", .number("a number from 0 to 0.5, in steps of 0.001") { $0 >= 0 && $0 <= 0.5 }, default: 0.1)
    guard let dropouts = DropoutRate(perMille: Int((rate * 1000).rounded())) else {
      throw group.fault("dropouts", .inconsistent(path: "secureSum.dropouts", problem: "it is no share of a cohort"))
    }
    self.dropouts = dropouts
  }
}

extension RunPlan.EvaluationSettings {
  fileprivate static let keys = ["rounds", "histogramBins", "serverData"]

  fileprivate init(_ group: YAMLMapping) throws(FederationError) {
    rounds = try group.optional("rounds", .word, default: .every)
    histogramBins = try group.optional("histogramBins", .integer(2...65536), default: 1024)
    serverData = try group.nullable("serverData", .text(maximum: 4096))
    if let serverData {
      throw group.fault(
        "serverData",
        .notAvailable(path: group.path("serverData"), found: excerpt(serverData), available: "null"))
    }
  }
}

extension RunPlan.Deadlines {
  fileprivate init(_ group: YAMLMapping) throws(FederationError) {
    let deadline = YAMLField<Duration>.duration("a duration from 1ms to 7d, such as 30s or 10m") {
      $0 > .zero && $0 <= .seconds(7 * 86_400)
    }
    accept = try group.optional("accept", deadline, default: .seconds(30))
    fit = try group.optional("fit", deadline, default: .seconds(600))
    step = try group.optional("step", deadline, default: .seconds(60))
    reconnect = try group.optional("reconnect", deadline, default: .seconds(10))
  }
}
