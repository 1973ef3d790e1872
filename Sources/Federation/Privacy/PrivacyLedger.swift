import Cryptography
public import DifferentialPrivacy
import SecureAggregation

/// One charge: what one sum cost, if h honest organisations' noise is in it.
public struct LedgerEntry: Hashable, Sendable {
  /// The data that were read: the path of the file, without links.
  public let dataSet: String
  public let run: RunIdentifier
  public let task: TaskKind
  public let round: Int
  public let event: PrivacyEvent
  /// Seconds since 1970.
  public let time: Int64

  public init(
    dataSet: String, run: RunIdentifier, task: TaskKind, round: Int, event: PrivacyEvent, time: Int64
  ) {
    self.dataSet = dataSet
    self.run = run
    self.task = task
    self.round = round
    self.event = event
    self.time = time
  }

  /// Whether the entry is for the sum of an opening, whatever the attempt: all attempts mask one term.
  public func pays(for opening: OpeningIdentifier) -> Bool {
    run == opening.run && task == opening.task && round == opening.round
  }
}

/// What an organisation has spent: every sum with noise that it took part in, whatever became of it.
///
/// Pure. Entries are never taken back: a sum that failed may have been seen by the server, as far as its members know.
public struct PrivacyLedger: Sendable {
  public private(set) var entries: [LedgerEntry]
  /// By data set, and with the empty name in all.
  private var compositions: [String: PrivacyComposition] = [:]

  /// - Throws: ``FederationError/privacy(_:)`` for an entry that cannot be accounted for.
  public init(entries: [LedgerEntry] = []) throws(FederationError) {
    self.entries = []
    for entry in entries { try append(entry) }
  }

  public mutating func append(_ entry: LedgerEntry) throws(FederationError) {
    for name in ["", entry.dataSet] {
      try Self.add([(entry.event, 1)], to: &compositions[name, default: PrivacyComposition()])
    }
    entries.append(entry)
  }

  /// The charge that was made for an opening.
  public func charge(for opening: OpeningIdentifier) -> LedgerEntry? { entries.first { $0.pays(for: opening) } }

  /// What a data set has been charged in ε; 0 for one that nothing is known of.
  ///
  /// - Parameters:
  ///   - dataSet: nil for all data of the organisation together.
  ///   - further: charges to come, with how often.
  /// - Throws: ``FederationError/privacy(_:)``.
  public func epsilon(
    of dataSet: String?, delta: Double, with further: [(event: PrivacyEvent, count: Int)] = []
  ) throws(FederationError) -> Double {
    var composition = compositions[dataSet ?? ""] ?? PrivacyComposition()
    try Self.add(further, to: &composition)
    if composition.events.isEmpty { return 0 }
    do throws(PrivacyAccountingError) { return try composition.epsilon(delta: delta) } catch {
      throw .privacy(.accounting(error))
    }
  }

  private static func add(
    _ charges: [(event: PrivacyEvent, count: Int)], to composition: inout PrivacyComposition
  ) throws(FederationError) {
    do throws(PrivacyAccountingError) {
      for charge in charges { try composition.compose(charge.event, count: charge.count) }
    } catch { throw .privacy(.accounting(error)) }
  }
}

/// The most that an organisation lets its data be charged, from its policy.
public struct PrivacyCeiling: Hashable, Sendable {
  /// What becomes of a run whose end the budget does not reach.
  public enum Shortage: String, Sendable, CaseIterable {
    /// It is refused before anything is trained.
    case refuse
    /// It is joined, and left before the first sum that the budget does not reach.
    case stop
  }

  /// Of each data set.
  public let epsilon: Double
  /// Of all data of the organisation together.
  public let epsilonInAll: Double
  public let delta: Double
  public let whenShort: Shortage

  public init(epsilon: Double, epsilonInAll: Double? = nil, delta: Double, whenShort: Shortage = .refuse) {
    self.epsilon = epsilon
    self.epsilonInAll = epsilonInAll ?? epsilon
    self.delta = delta
    self.whenShort = whenShort
  }

  /// What charges to come would lead to.
  public func forecast(
    _ charges: [(event: PrivacyEvent, count: Int)], of dataSet: String, ledger: PrivacyLedger
  ) throws(FederationError) -> PrivacyForecast {
    PrivacyForecast(
      ceiling: self, spent: try ledger.epsilon(of: dataSet, delta: delta),
      spentInAll: try ledger.epsilon(of: nil, delta: delta),
      after: try ledger.epsilon(of: dataSet, delta: delta, with: charges),
      afterInAll: try ledger.epsilon(of: nil, delta: delta, with: charges))
  }
}

/// What charges lead to, against a ceiling.
public struct PrivacyForecast: Hashable, Sendable {
  public let ceiling: PrivacyCeiling
  /// ε of the data set so far, and of all data.
  public let spent: Double
  public let spentInAll: Double
  /// The same with the charges.
  public let after: Double
  public let afterInAll: Double

  /// Whether both ceilings hold.
  public var isAffordable: Bool { after <= ceiling.epsilon && afterInAll <= ceiling.epsilonInAll }
}

/// A sum that the budget does not reach.
public struct BudgetShortage: BlamedError, Hashable {
  public let opening: OpeningIdentifier
  public let forecast: PrivacyForecast

  public init(opening: OpeningIdentifier, forecast: PrivacyForecast) {
    self.opening = opening
    self.forecast = forecast
  }

  public var code: String { "privacy-budget-spent" }
  public var blame: Blame { .local }
  public var message: String {
    "\(opening.task.rawValue) of round \(opening.round) would take these data from \(forecast.spentText) to "
      + "\(forecast.afterText)"
  }
  public var remedy: String {
    "The run ends with the model of the last round that was paid for. Raising the ceiling is the security officer's decision."
  }
}

extension PrivacyForecast {
  var spentText: String { "ε = \(Self.text(spent))" }

  /// The larger excess decides what is named.
  var afterText: String {
    afterInAll - ceiling.epsilonInAll > after - ceiling.epsilon
      ? "ε = \(Self.text(afterInAll)) in all, above the ceiling of \(Self.text(ceiling.epsilonInAll)) at δ = \(ceiling.delta)"
      : "ε = \(Self.text(after)), above the ceiling of \(Self.text(ceiling.epsilon)) at δ = \(ceiling.delta)"
  }

  /// Rounded up: never less than was charged.
  static func text(_ epsilon: Double) -> String {
    guard epsilon.isFinite else { return "∞" }
    // The product may be a little above a number that was written with three digits.
    let nearest = (epsilon * 1000).rounded()
    let thousandths = nearest / 1000 >= epsilon ? nearest : nearest + 1
    guard thousandths < 1e15 else { return "\(epsilon)" }
    let whole = Int(thousandths)
    let digits = String(whole % 1000)
    return "\(whole / 1000).\(String(repeating: "0", count: 3 - digits.count))\(digits)"
  }
}
