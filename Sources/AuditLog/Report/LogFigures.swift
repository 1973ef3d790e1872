/// What one log says, in figures: made from its records one after the other, in memory that does not grow with the log.
///
/// A figure is only as good as the log: whether nobody changed it is `AuditVerifier`'s to say.
public struct LogFigures: Hashable, Sendable {
  /// From the first record; nil of an empty selection.
  public private(set) var organization: String?
  /// Records under another name than the first: none in a log that verifies.
  public private(set) var foreign: UInt64 = 0
  public private(set) var records = Tally()
  public private(set) var events: [AuditRecord.Event: Tally] = [:]
  public private(set) var earliest: AuditTime?
  public private(set) var latest: AuditTime?
  /// Records whose time is before that of the record before, and the longest such step in milliseconds.
  public private(set) var clockSetBack = Tally()
  public private(set) var longestSetBack: Int64 = 0
  /// Where times come from, as records name it; those that name nothing have the machine's clock.
  public private(set) var clocks = Grouped<String, Tally>(limit: 16)
  public private(set) var federations = Grouped<String, Tally>(limit: 16)
  public private(set) var actors = Grouped<String, Tally>(limit: 32)

  public private(set) var sent = MessageFigures()
  public private(set) var received = MessageFigures()
  public private(set) var terms = TermFigures()
  public private(set) var privacy = PrivacyFigures()
  public private(set) var handshakes = HandshakeFigures()
  public private(set) var decisions = DecisionFigures()
  public private(set) var connections = ConnectionFigures()
  public private(set) var witnesses = WitnessFigures()
  public private(set) var runs = Grouped<String, RunFigures>(limit: 200, empty: RunFigures())
  /// Approvals, changes of manifest and keys, acknowledgements, erasures.
  public private(set) var changes = Recent<AuditRecord>(limit: 200)
  public private(set) var openings = Recent<AuditRecord>(limit: 100)
  /// Starts and stops of the service, and everything that ended early.
  public private(set) var service = Recent<AuditRecord>(limit: 100)
  public private(set) var evidence: [Evidence: Tally] = [:]
  private var lastTime: AuditTime?

  public init() {}

  public mutating func add(_ record: AuditRecord) {
    records.add(record)
    events[record.event, default: Tally()].add(record)
    noteAuthor(record)
    noteTime(record)
    decisions.add(record)
    terms.add(record)
    privacy.add(record)
    if let run = record.run { runs.update(run) { $0.add(record) } }
    for kind in Evidence.allCases where kind.isGiven(by: record) { evidence[kind, default: Tally()].add(record) }
    noteEvent(record)
  }

  public func count(_ event: AuditRecord.Event) -> UInt64 { events[event]?.count ?? 0 }

  private mutating func noteAuthor(_ record: AuditRecord) {
    let name = record.organization.value
    if organization == nil { organization = name }
    if organization != name { foreign = Tally.sum(foreign, 1) }
    if let federation = record.federation { federations.add(record, to: federation) }
    if let actor = record.actor {
      actors.add(record, to: actor.keyID.map { "\(actor.service), key \($0)" } ?? actor.service)
    }
  }

  private mutating func noteTime(_ record: AuditRecord) {
    earliest = min(earliest ?? record.time, record.time)
    latest = max(latest ?? record.time, record.time)
    if let lastTime, record.time < lastTime {
      clockSetBack.add(record)
      longestSetBack = max(longestSetBack, lastTime.milliseconds - record.time.milliseconds)
    }
    lastTime = record.time
    if let clock = record.clock { clocks.add(record, to: clock) }
  }

  private mutating func noteEvent(_ record: AuditRecord) {
    switch record.event {
    case .messageSent:
      sent.add(record, peer: record.destination)
      connections.add(record)
    case .messageReceived: received.add(record, peer: record.source)
    case .handshake, .handshakeRefused: handshakes.add(record)
    case .approval, .manifestChange, .keyChange, .stateAcknowledged, .sealedSecretsErased, .entriesPruned:
      changes.append(record)
    case .checkpointCosigned, .checkpointWitnessed, .checkpointConflict: witnesses.add(record)
    case .openingRequested, .openingConsented, .maskedInputOpened: openings.append(record)
    case .serviceStarted, .serviceStopped, .stopped: service.append(record)
    case .connectionClosed, .connectionTraffic: connections.add(record)
    // Counted above.
    case .delivery, .policyDecision, .privacyCharge, .runStarted, .roundStarted, .roundCompleted, .runEnded:
      break
    }
  }
}
