/// How the terms of secure sums were protected before they left.
public struct TermFigures: Hashable, Sendable {
  /// One masked input that left.
  public struct Term: Hashable, Sendable {
    public let entry: UInt64
    public let time: AuditTime
    public let opening: SumOpening
    public let input: AuditRecord.MaskedInput
    /// Organisations whose masks are in the term.
    public let u2: Int?
    /// Organisations whose terms the sum holds; known from later records of the same sum.
    public internal(set) var u3: Int?
  }

  /// Which sum: of what run, round, task and attempt.
  public struct SumOpening: Hashable, Sendable {
    public let run: String?
    public let round: Int?
    public let task: String?
    public let attempt: Int?

    init(_ record: AuditRecord) {
      run = record.run
      round = record.round
      task = record.task
      attempt = record.attempt
    }
  }

  /// Terms that were protected in the same way.
  public struct Protection: Hashable, Sendable {
    public let task: String?
    public let u2: Int?
    public let masks: Int
    public let bits: Int
    public let clip: String?
    public let localNoise: String?
    public let isCommitted: Bool
  }

  static let keptTerms = 200

  public private(set) var total = Tally()
  public private(set) var protections = Grouped<Protection, Tally>(limit: 64)
  public private(set) var recent = Recent<Term>(limit: keptTerms)
  public private(set) var fewestMasks: Int?
  public private(set) var smallestU2: Int?
  /// Over every record that names it, not only over masked inputs.
  public private(set) var smallestU3: Int?
  public private(set) var withCommitment: UInt64 = 0
  public private(set) var withLocalNoise: UInt64 = 0

  init() {}

  mutating func add(_ record: AuditRecord) {
    if let sizes = record.cohortSizes {
      if let u3 = sizes.u3 { smallestU3 = min(smallestU3 ?? u3, u3) }
      if let u3 = sizes.u3, record.maskedInput == nil {
        let opening = SumOpening(record)
        recent.amendLast(where: { $0.u3 == nil && $0.opening == opening }, change: { $0.u3 = u3 })
      }
    }
    guard record.event == .messageSent, let input = record.maskedInput else { return }
    total.add(record)
    let u2 = record.cohortSizes?.u2
    if let u2 { smallestU2 = min(smallestU2 ?? u2, u2) }
    fewestMasks = min(fewestMasks ?? input.masks, input.masks)
    if input.commitment != nil { withCommitment += 1 }
    if input.localNoise != nil { withLocalNoise += 1 }
    protections.add(
      record,
      to: Protection(
        task: record.task, u2: u2, masks: input.masks, bits: input.bits, clip: input.clip?.text,
        localNoise: input.localNoise?.text, isCommitted: input.commitment != nil))
    recent.append(
      Term(
        entry: record.sequence, time: record.time, opening: SumOpening(record), input: input, u2: u2,
        u3: record.cohortSizes?.u3))
  }
}

/// The privacy budget as the log tells it: what was charged, and the total after each charge.
///
/// A charge may stand in a `privacyCharge` record and again in the record of the message that it paid for; if there is
/// any of the former, only those count. A message that is sent again is not charged again.
public struct PrivacyFigures: Hashable, Sendable {
  public struct Charge: Hashable, Sendable {
    public let entry: UInt64
    public let time: AuditTime
    public let charged: AuditDecimal?
    public let total: AuditDecimal?
  }

  /// One source of charges. Of a long one the curve keeps every second, every fourth … charge, and always the last.
  public struct Ledger: Hashable, Sendable {
    static let maximumPoints = 256

    public private(set) var count: UInt64 = 0
    /// Σ of what was charged.
    public private(set) var sum = 0.0
    public private(set) var last: Charge?
    private var points: [Charge] = []
    private var stride: UInt64 = 1

    init() {}

    mutating func add(_ charge: Charge) {
      if count % stride == 0 { points.append(charge) }
      count = Tally.sum(count, 1)
      if let charged = charge.charged?.value { sum += charged }
      last = charge
      guard points.count > Self.maximumPoints else { return }
      points = points.enumerated().filter { $0.offset % 2 == 0 }.map(\.element)
      stride *= 2
    }

    /// Whether the charges are of several accounts: together they are more than the last one's total.
    public var isOfSeveral: Bool {
      guard let total = last?.total?.value else { return false }
      return sum > total + 1e-6
    }

    public var curve: [Charge] {
      guard let last, points.last != last else { return points }
      return points + [last]
    }
  }

  private var recorded = Ledger()
  private var onMessages = Ledger()

  init() {}

  public var ledger: Ledger { recorded.count > 0 ? recorded : onMessages }

  mutating func add(_ record: AuditRecord) {
    guard let input = record.maskedInput, input.epsilonCharged != nil || input.epsilonTotal != nil else { return }
    let charge = Charge(
      entry: record.sequence, time: record.time, charged: input.epsilonCharged, total: input.epsilonTotal)
    if record.event == .privacyCharge {
      recorded.add(charge)
    } else if record.event == .messageSent, record.message?.label.resendOf == nil {
      onMessages.add(charge)
    }
  }
}

extension AuditDecimal {
  /// Nil cannot happen: the text was read as a finite number before.
  public var value: Double? { Double(text) }
}
