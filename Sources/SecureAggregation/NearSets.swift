public import Cryptography

/// A survivor set whose statement this organisation has signed.
public struct SignedOpening: Hashable, Sendable {
  /// The organisation's own name for the data. Never the plan's: a server could change that.
  public let dataSet: String
  public let run: String
  public let task: String
  public let round: UInt64
  /// U3.
  public let survivors: Set<OrganizationName>
  /// Hash of the content that shaped the term, the same for the same content in another run; for statistics, one value.
  public let model: ModelHash
  /// Seconds since 1970.
  public let time: Int64
  /// Whether it was charged to the budget of near openings.
  public let isCharged: Bool

  public init(
    dataSet: String, run: String, task: String, round: UInt64, survivors: Set<OrganizationName>, model: ModelHash,
    time: Int64, isCharged: Bool = false
  ) {
    self.dataSet = dataSet
    self.run = run
    self.task = task
    self.round = round
    self.survivors = survivors
    self.model = model
    self.time = time
    self.isCharged = isCharged
  }

  /// The same, charged to the budget.
  public var charged: SignedOpening {
    SignedOpening(
      dataSet: dataSet, run: run, task: task, round: round, survivors: survivors, model: model, time: time,
      isCharged: true)
  }
}

/// Why an organisation does not sign a survivor set.
public enum NearSetRefusal: BlamedError, Hashable {
  /// The same statistic or the same model over nearly the same organisations: the difference of the two sums would be
  /// the term of those in only one of them.
  case sameModel(differing: [OrganizationName], task: String)
  /// More sums over nearly the same organisations than the policy allows.
  case budgetSpent(differing: [OrganizationName], budget: Int, days: Int)
  /// The history was lost: any sum may be near one that is not remembered, and the policy allows no more of those.
  case historyLost(budget: Int, days: Int)

  public var code: String {
    switch self {
    case .sameModel: "near-set-same-model"
    case .budgetSpent: "near-set-budget-spent"
    case .historyLost: "near-set-history-lost"
    }
  }

  public var blame: Blame { .participants }

  public var message: String {
    switch self {
    case .sameModel(let differing, let task):
      "the sum of \(task) was opened before over the same organisations but for \(Self.list(differing)), with the same "
        + "model; such sums can be subtracted until what one of them sent is left"
    case .budgetSpent(let differing, let budget, let days):
      "the policy's \(budget) sums in \(days) days over nearly the same organisations are spent; this one differs by "
        + Self.list(differing)
    case .historyLost(let budget, let days):
      "what was signed before is lost with an older state, so that every sum of the next \(days) days may be near an "
        + "unknown one; the policy's \(budget) of those are spent"
    }
  }

  public var remedy: String {
    switch self {
    case .sameModel: "Run with the same organisations as before."
    case .budgetSpent:
      "Wait, bring the missing organisations back, or let the security officer raise cohort.nearOpenings in the policy."
    case .historyLost(_, let days):
      "Wait until \(days) days have passed since the loss, or let the security officer raise cohort.nearOpenings in the "
        + "policy."
    }
  }

  private static func list(_ names: [OrganizationName]) -> String { names.map(\.value).joined(separator: ", ") }
}

/// Which survivor sets an organisation may sign, in view of those it has signed.
///
/// Implements rule 2 of §Reopening: a sum over U3 and one over U3 without one organisation give that organisation's
/// term. Two sets are near if their symmetric difference has 1 … n_c + 1 members.
///
/// With the same model, or of the same statistic, sums over *any* two different sets are refused: sums are linear, so a
/// few of them over sets that are all far apart can be combined to one organisation's term. With another model only near
/// ones are charged. Attempts at one opening are not compared with each other: shares are released in at most one of
/// them, and no two disjoint sets of signers reach the threshold.
public struct NearSetRule: Hashable, Sendable {
  /// n_c of the manifest.
  public let assumedCorrupt: Int
  /// Near openings with another model that are allowed within ``days``.
  public let budget: Int
  public let days: Int

  public init(assumedCorrupt: Int, budget: Int, days: Int) {
    self.assumedCorrupt = assumedCorrupt
    self.budget = budget
    self.days = days
  }

  /// Judges a proposed set.
  ///
  /// - Parameters:
  ///   - history: what was signed before over the same data, oldest first.
  ///   - lostAt: when part of the history was lost, in seconds since 1970. For ``days`` after it every set counts as near
  ///     an unknown one with another model. That the unknown one had the same model cannot be excluded; the budget bounds
  ///     how often it can matter.
  /// - Returns: the opening to remember, charged to the budget where it is near an earlier one. Consecutive openings of
  ///   one run with the same set are charged once.
  /// - Throws: ``NearSetRefusal``.
  public func judge(
    _ proposed: SignedOpening, history: [SignedOpening], lostAt: Int64? = nil
  ) throws(NearSetRefusal) -> SignedOpening {
    let history = history.filter { $0.dataSet == proposed.dataSet }
    var nearest: [OrganizationName]?
    for earlier in history where earlier.task == proposed.task && !isSameOpening(earlier, proposed) {
      let difference = earlier.survivors.symmetricDifference(proposed.survivors)
      guard !difference.isEmpty else { continue }
      let names = difference.sorted()
      guard earlier.model != proposed.model else { throw .sameModel(differing: names, task: proposed.task) }
      if difference.count <= assumedCorrupt + 1 { nearest = names }
    }
    let start = proposed.time - Int64(days) * 86_400
    let isUnknown = lostAt.map { $0 >= start } ?? false
    guard nearest != nil || isUnknown else { return proposed }
    if continuesCharge(proposed, history: history) { return proposed }
    let spent = history.count { $0.isCharged && $0.time >= start }
    guard spent < budget else {
      guard let nearest else { throw .historyLost(budget: budget, days: days) }
      throw .budgetSpent(differing: nearest, budget: budget, days: days)
    }
    return proposed.charged
  }

  /// Whether an opening belongs to a row of consecutive ones of one run and set in which one was charged.
  private func continuesCharge(_ proposed: SignedOpening, history: [SignedOpening]) -> Bool {
    history.reversed().prefix { $0.run == proposed.run && $0.survivors == proposed.survivors }
      .contains { $0.isCharged }
  }

  private func isSameOpening(_ one: SignedOpening, _ other: SignedOpening) -> Bool {
    one.run == other.run && one.task == other.task && one.round == other.round
  }
}
