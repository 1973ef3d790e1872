import Cryptography
public import DifferentialPrivacy
import SecureAggregation

/// One charge: what one sum cost. Where every organisation adds a share of the noise, if h honest shares are in it.
public struct LedgerEntry: Hashable, Sendable {
  /// How often one sum may be charged: far more than a round has steps, and sums of it do not overflow.
  private static let counts = 1...(1 << 24)

  /// The data that were read: the path of the file, without links.
  public let dataSet: String
  public let run: RunIdentifier
  public let task: TaskKind
  public let round: Int
  /// Whose presence the noise hid; `none` for a sum that left without noise, which no charge could pay for.
  public let unit: PrivacyUnit
  public let event: PrivacyEvent
  /// How often the event: once for a sum of shares of noise, once a step for noise of training inside the organisation. Zero
  /// where an earlier sum was charged for this one as well: see ``NoiseAgreement/charge(of:dataSet:in:)``.
  public let count: Int
  /// Who added the noise.
  public let noise: NoisePlacement
  /// Seconds since 1970.
  public let time: Int64

  public init(
    dataSet: String, run: RunIdentifier, task: TaskKind, round: Int, unit: PrivacyUnit, event: PrivacyEvent,
    count: Int = 1, noise: NoisePlacement = .distributed, time: Int64
  ) {
    self.count = count
    self.noise = noise
    self.unit = unit
    self.dataSet = dataSet
    self.run = run
    self.task = task
    self.round = round
    self.event = event
    self.time = time
  }

  /// Only a tree of the server's noise has sums that others have paid for.
  var isCountable: Bool { Self.counts.contains(count) || count == 0 && unit != .none && noise == .central }

  /// Whether the entry is for the sum of an opening, whatever the attempt: all attempts mask one term.
  public func pays(for opening: OpeningIdentifier) -> Bool {
    run == opening.run && task == opening.task && round == opening.round
  }
}

/// What an organisation has spent: every sum with noise that it took part in, whatever became of it.
///
/// Pure. Entries are never taken back: a sum that failed may have been seen by the server, as far as its members know.
///
/// What was charged for one unit says nothing of another: a row's noise does not hide an organisation, and an
/// organisation's term that is put in the place of zero is not the same as one row more in it. So to a unit everything
/// that left under another has left without noise.
public struct PrivacyLedger: Sendable {
  /// Charges that are added up together.
  private struct Account: Hashable {
    /// Nil for all data.
    let dataSet: String?
    let unit: PrivacyUnit
  }

  public private(set) var entries: [LedgerEntry]
  /// Whether charges may be missing, because an older state took the place of a newer one.
  public let isIncomplete: Bool
  private var compositions: [Account: PrivacyComposition] = [:]

  /// - Throws: ``FederationError/privacy(_:)`` for an entry that cannot be accounted for.
  public init(entries: [LedgerEntry] = [], isIncomplete: Bool = false) throws(FederationError) {
    self.entries = []
    self.isIncomplete = isIncomplete
    for entry in entries { try append(entry) }
  }

  public mutating func append(_ entry: LedgerEntry) throws(FederationError) {
    guard entry.isCountable else { throw .privacy(.parameter(.releases)) }
    if entry.unit != .none {
      for dataSet in [nil, entry.dataSet] {
        try Self.add(
          [(entry.event, entry.count)],
          to: &compositions[Account(dataSet: dataSet, unit: entry.unit), default: PrivacyComposition()])
      }
    }
    entries.append(entry)
  }

  /// The charge that was made for an opening.
  public func charge(for opening: OpeningIdentifier) -> LedgerEntry? {
    entries.first { $0.unit != .none && $0.pays(for: opening) }
  }

  /// Sums of a data set, or of all data, that left without noise for the unit: nothing is known of what they cost it.
  ///
  /// - Parameter trustsServer: whether noise that the server added counts as noise: the server saw the sum without.
  public func sumsWithoutNoise(
    for unit: PrivacyUnit, of dataSet: String? = nil, trustsServer: Bool = false
  ) -> Int {
    entries.count {
      ($0.unit != unit || $0.noise == .central && !trustsServer) && (dataSet == nil || $0.dataSet == dataSet)
    }
  }

  /// What a data set has been charged in ε; 0 for one that nothing is known of.
  ///
  /// Infinite where sums left without noise for the unit, or charges may be missing, unless both are left out of account.
  ///
  /// - Parameters:
  ///   - dataSet: nil for all data of the organisation together.
  ///   - leavingOut: what left without such noise, and what is not remembered.
  ///   - trustsServer: whether noise that the server added counts as noise.
  ///   - further: charges to come, with how often.
  /// - Throws: ``FederationError/privacy(_:)``.
  public func epsilon(
    of dataSet: String?, unit: PrivacyUnit, delta: Double, leavingOut: Bool = false, trustsServer: Bool = false,
    with further: [(event: PrivacyEvent, count: Int)] = []
  ) throws(FederationError) -> Double {
    let withoutNoise = sumsWithoutNoise(for: unit, of: dataSet, trustsServer: trustsServer)
    guard leavingOut || !isIncomplete && withoutNoise == 0 else { return .infinity }
    var composition = compositions[Account(dataSet: dataSet, unit: unit)] ?? PrivacyComposition()
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

  /// The unit that noise is to hide.
  public let unit: PrivacyUnit
  /// Of each data set.
  public let epsilon: Double
  /// Of all data of the organisation together.
  public let epsilonInAll: Double
  public let delta: Double
  public let whenShort: Shortage
  /// Whether sums that left without noise for the unit, or are not remembered, are left out of account.
  public let leavesOutEarlier: Bool
  /// Whether the server may be trusted with the noise: it then sees sums without any.
  public let trustsServer: Bool

  public init(
    unit: PrivacyUnit, epsilon: Double, epsilonInAll: Double? = nil, delta: Double, whenShort: Shortage = .refuse,
    leavesOutEarlier: Bool = false, trustsServer: Bool = false
  ) {
    self.leavesOutEarlier = leavesOutEarlier
    self.trustsServer = trustsServer
    self.unit = unit
    self.epsilon = epsilon
    self.epsilonInAll = epsilonInAll ?? epsilon
    self.delta = delta
    self.whenShort = whenShort
  }

  /// What charges to come would lead to.
  public func forecast(
    _ charges: [(event: PrivacyEvent, count: Int)], of dataSet: String, ledger: PrivacyLedger
  ) throws(FederationError) -> PrivacyForecast {
    func epsilon(
      _ dataSet: String?, _ further: [(event: PrivacyEvent, count: Int)] = []
    ) throws(FederationError) -> Double {
      try ledger.epsilon(
        of: dataSet, unit: unit, delta: delta, leavingOut: leavesOutEarlier, trustsServer: trustsServer, with: further)
    }
    return PrivacyForecast(
      ceiling: self, spent: try epsilon(dataSet), spentInAll: try epsilon(nil), after: try epsilon(dataSet, charges),
      afterInAll: try epsilon(nil, charges))
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
    "\(opening.task.rawValue) of round \(opening.round) would take \(forecast.change)"
  }
  public var remedy: String {
    "the run ends with the model of the last round that was paid for; raising the ceiling is the security officer's decision"
  }
}

extension PrivacyForecast {
  /// From where to where, and past which ceiling. The larger excess decides which account is named.
  var change: String {
    func said(_ whose: String, _ before: Double, _ after: Double, _ limit: Double) -> String {
      "\(whose) from ε = \(Self.text(before)) to ε = \(Self.text(after)), above the ceiling of \(Self.text(limit)) "
        + "at δ = \(ceiling.delta)"
    }
    return afterInAll - ceiling.epsilonInAll > after - ceiling.epsilon
      ? said("all data together", spentInAll, afterInAll, ceiling.epsilonInAll)
      : said("these data", spent, after, ceiling.epsilon)
  }

  /// A number as people are to read it: never less than was charged, nor more than is left.
  ///
  /// - Parameters:
  ///   - digits: behind the point, 1…6.
  ///   - rule: up for what was charged, down for what is left.
  public static func text(
    _ epsilon: Double, digits: Int = 3, _ rule: FloatingPointRoundingRule = .up
  ) -> String {
    guard epsilon.isFinite else { return "∞" }
    let units = (0..<digits).reduce(1.0) { unit, _ in unit * 10 }
    // The product may be a little beside a number that was written with so many digits.
    let nearest = (epsilon * units).rounded()
    let isRight = rule == .up ? nearest / units >= epsilon : nearest / units <= epsilon
    let count = isRight ? nearest : nearest + (rule == .up ? 1 : -1)
    guard count.magnitude < 1e15 else { return "\(epsilon)" }
    let (whole, part) = Int(count).quotientAndRemainder(dividingBy: Int(units))
    let behind = String(part.magnitude)
    return "\(whole).\(String(repeating: "0", count: digits - behind.count))\(behind)"
  }
}
