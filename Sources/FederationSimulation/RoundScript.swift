import Cryptography
import SecureAggregation

/// Who leaves and who misbehaves in one round, drawn from the seed.
struct RoundScript: Sendable {
  /// The stage from which each organisation never answers again; nil for those who stay.
  let leavesAt: [RoundStage?]
  /// What each misbehaving organisation does, by its position.
  let injections: [Int: Injection]
  /// Whose positions a bad ciphertext may go to: honest and there to the end.
  let steadfast: Set<Int>

  /// - Parameter isRegular: whether there is a beacon, at whose stage some leave.
  init(settings: SimulationSettings, round: Int, names: [OrganizationName], isRegular: Bool) {
    var generator = SeededGenerator(seed: settings.seed, purpose: .script, round: round)
    let stages = Self.stages(isRegular: isRegular)
    var leavesAt = [RoundStage?](repeating: nil, count: settings.organizations)
    var positions = Array(0..<settings.organizations)
    positions.shuffle(using: &generator)
    for position in positions.prefix(settings.dropouts) {
      leavesAt[position] = stages[Int.random(in: stages.indices, using: &generator)]
    }
    let staying = Array(positions.dropFirst(settings.dropouts))
    let injections = Self.injections(settings, staying: staying, names: names, generator: &generator)
    self.leavesAt = leavesAt
    self.injections = injections
    steadfast = Set(staying.filter { injections[$0] == nil })
  }

  static func stages(isRegular: Bool) -> [RoundStage] {
    isRegular
      ? [.advertiseKeys, .graphBeacon, .shareKeys, .maskedInputCollection, .consistencyCheck, .unmasking]
      : [.advertiseKeys, .shareKeys, .maskedInputCollection, .consistencyCheck, .unmasking]
  }

  private static func injections(
    _ settings: SimulationSettings, staying: [Int], names: [OrganizationName], generator: inout SeededGenerator
  ) -> [Int: Injection] {
    let kinds = Misbehavior.allCases.shuffled(using: &generator)
    let chosen = (0..<settings.faults).map { kinds[$0 % kinds.count] }
    // The server recovers a secret from the first t shares and judges no others, so a wrong one is found only if it is
    // among them: it comes from those who stand first in the cohort.
    let wrongShares = chosen.filter { $0 == .wrongShare }.count
    let first = Set(staying.sorted().prefix(wrongShares))
    let order = first.sorted() + staying.filter { !first.contains($0) }
    let ordered = chosen.filter { $0 == .wrongShare } + chosen.filter { $0 != .wrongShare }
    var injections: [Int: Injection] = [:]
    for (position, misbehavior) in zip(order, ordered) {
      let stages = misbehavior.stages
      injections[position] = Injection(
        organization: names[position], misbehavior: misbehavior,
        stage: stages[Int.random(in: stages.indices, using: &generator)])
    }
    return injections
  }
}
