import DifferentialPrivacy

extension PrivacyModel {
  static let keys = [
    "unit", "noise", "tree", "mechanism", "clip", "adaptiveClipping", "epsilon", "noiseMultiplier", "delta",
    "evaluationShare",
  ]

  /// - Parameter evaluates: whether the plan has an evaluation, which spends a part.
  init(_ top: YAMLMapping, evaluates: Bool) throws(FederationError) {
    let node = try top.requiredNode("privacy")
    guard case .mapping = node.content else {
      guard case .scalar("none", _) = node.content else {
        throw top.fault(
          "privacy", .wrongValue(path: "privacy", expected: "none, or a group of keys", found: node.found))
      }
      self = .none
      return
    }
    self = .differential(
      try PrivacySettings(top.mapping("privacy", keys: Self.keys, isRequired: true), evaluates: evaluates))
  }
}

extension PrivacySettings {
  fileprivate init(_ group: YAMLMapping, evaluates: Bool) throws(FederationError) {
    unit = try group.required(
      "unit",
      YAMLField(expected: "record or organization") { text, _ in
        PrivacyUnit(rawValue: text).flatMap { $0 == .none ? nil : $0 }
      })
    placement = try group.optional("noise", .word, default: .distributed)
    mechanism = try group.optional(
      "mechanism",
      YAMLField(expected: "skellam or discreteGaussian") { text, _ in NoiseMechanism(plan: text) },
      default: placement == .distributed ? .skellam : .distributedDiscreteGaussian)
    guard placement == .distributed || mechanism == .distributedDiscreteGaussian else {
      throw group.fault(
        "mechanism",
        .inconsistent(
          path: group.path("mechanism"),
          problem: "noise that one party adds alone is discreteGaussian: write that, or nothing"))
    }
    tree = group.node("tree") == nil ? nil : try TreeSettings(group.mapping("tree", keys: TreeSettings.keys))
    clip = try group.required("clip", Self.number(Self.clips, "a norm from 2^-40 to 2^40"))
    adaptiveClipping =
      group.node("adaptiveClipping") == nil
      ? nil : try ClippingSettings(group.mapping("adaptiveClipping", keys: ClippingSettings.keys))
    delta = try group.required("delta", Self.number(Self.deltas, "a probability from 1e-18 to 0.01"))
    let epsilon = try group.nullable("epsilon", Self.number(Self.epsilons, "a number from 0.001 to 64"))
    let multiplier = try group.nullable(
      "noiseMultiplier", Self.number(Self.multipliers, "a number from 0.001 to 524288"))
    switch (epsilon, multiplier) {
    case (let epsilon?, nil): amount = .target(epsilon: epsilon)
    case (nil, let multiplier?): amount = .noiseMultiplier(multiplier)
    case (nil, nil), (_?, _?):
      throw group.fault(
        epsilon == nil ? "unit" : "noiseMultiplier",
        .inconsistent(
          path: group.path("noiseMultiplier"), problem: "give either a target epsilon or a noiseMultiplier, one of them"
        )
      )
    }
    let share = try group.optional(
      "evaluationShare", .number("a number above 0 and below 1") { $0 > 0 && $0 < 1 }, default: 0.1)
    guard evaluates || group.node("evaluationShare") == nil else {
      throw group.fault(
        "evaluationShare",
        .inconsistent(path: group.path("evaluationShare"), problem: "the plan has no evaluation that could spend it"))
    }
    evaluationShare = evaluates ? share : 0
  }

  private static func number(_ range: ClosedRange<Double>, _ expected: String) -> YAMLField<Double> {
    .number(expected) { range.contains($0) }
  }
}

extension NoiseMechanism {
  /// As plans name it.
  init?(plan name: String) {
    guard let found = Self.allCases.first(where: { $0.planName == name }) else { return nil }
    self = found
  }

  /// The name in a plan.
  public var planName: String {
    switch self {
    case .skellam: "skellam"
    case .distributedDiscreteGaussian: "discreteGaussian"
    }
  }
}
