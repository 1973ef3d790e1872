/// Connections that were made, and attempts that were refused.
public struct HandshakeFigures: Hashable, Sendable {
  public struct Parameters: Hashable, Sendable {
    public let version: String
    public let cipher: String?
    public let group: String?
  }

  /// Refusals that came too fast to be recorded one by one, from records that sum them up.
  public struct SummedUp: Hashable, Sendable {
    public fileprivate(set) var records = Tally()
    public fileprivate(set) var refusals: UInt64 = 0
    /// The most addresses that one of the records counts.
    public fileprivate(set) var mostAddresses = 0
  }

  public private(set) var established = Tally()
  public private(set) var parameters = Grouped<Parameters, Tally>(limit: 32)
  public private(set) var peers = Grouped<String, Tally>(limit: 64)
  /// One record each.
  public private(set) var refused = Tally()
  public private(set) var refusalCodes = Grouped<FailureKey, Tally>(limit: 64)
  /// By what the refused side claimed or from where it came.
  public private(set) var refusedPeers = Grouped<String, Tally>(limit: 32)
  public private(set) var summedUp = SummedUp()

  init() {}

  /// Refusals on record by themselves and summed up.
  public var allRefusals: UInt64 { Tally.sum(refused.count, summedUp.refusals) }

  mutating func add(_ record: AuditRecord) {
    if record.event == .handshake {
      established.add(record)
      if let handshake = record.handshake {
        parameters.add(
          record, to: .init(version: handshake.version, cipher: handshake.cipher, group: handshake.group))
      }
      if let peer = record.source ?? record.destination { peers.add(record, to: peer.label) }
    } else if record.event == .handshakeRefused {
      if let suppressed = record.suppressed {
        summedUp.records.add(record)
        summedUp.refusals = Tally.sum(summedUp.refusals, UInt64(max(0, suppressed.count)))
        summedUp.mostAddresses = max(summedUp.mostAddresses, suppressed.addresses)
        return
      }
      refused.add(record)
      if let error = record.error { refusalCodes.add(record, to: FailureKey(error)) }
      if let peer = record.source ?? record.destination { refusedPeers.add(record, to: peer.label) }
    }
  }
}

/// A typed error: its code, and who is at fault.
public struct FailureKey: Hashable, Sendable {
  public let code: String
  public let blame: String

  init(_ failure: AuditRecord.Failure) {
    code = failure.code
    blame = failure.blame.rawValue
  }
}

/// What the policy decided, under whose authority things were done, and what became of messages.
public struct DecisionFigures: Hashable, Sendable {
  public struct Rule: Hashable, Sendable {
    public let event: AuditRecord.Event
    public let decision: AuditRecord.Policy.Decision
    public let rule: String
  }

  public struct Result: Hashable, Sendable {
    public let outcome: AuditRecord.Outcome
    public let failure: FailureKey?
  }

  public struct EventFailure: Hashable, Sendable {
    public let event: AuditRecord.Event
    public let failure: FailureKey
  }

  public private(set) var allowed = Tally()
  public private(set) var refused = Tally()
  public private(set) var rules = Grouped<Rule, Tally>(limit: 64)
  public private(set) var purposes = Grouped<String, Tally>(limit: 32)
  public private(set) var retentions = Grouped<String, Tally>(limit: 32)
  /// What became of messages that were sent.
  public private(set) var deliveries = Grouped<Result, Tally>(limit: 64)
  /// Deliveries with the receiver's receipt.
  public private(set) var receipts = Tally()
  /// Errors of every event.
  public private(set) var failures = Grouped<EventFailure, Tally>(limit: 64)

  init() {}

  mutating func add(_ record: AuditRecord) {
    if let policy = record.policy {
      switch policy.decision {
      case .allowed: allowed.add(record)
      case .refused: refused.add(record)
      }
      rules.add(record, to: Rule(event: record.event, decision: policy.decision, rule: policy.rule))
    }
    if let purpose = record.purpose { purposes.add(record, to: purpose) }
    if let retention = record.retention { retentions.add(record, to: retention) }
    if record.event == .delivery {
      deliveries.add(
        record, to: Result(outcome: record.outcome ?? .unknown, failure: record.error.map { FailureKey($0) }))
      if record.receipt != nil { receipts.add(record) }
    }
    if let error = record.error {
      failures.add(record, to: EventFailure(event: record.event, failure: FailureKey(error)))
    }
  }
}
