import Cryptography

/// One run as a log saw it.
public struct RunFigures: Hashable, Sendable {
  public private(set) var records = Tally()
  public private(set) var sent = Tally()
  public private(set) var received = Tally()
  public private(set) var masked = Tally()
  public private(set) var roundsCompleted = Tally()
  public private(set) var plan: PlanHash?
  public private(set) var manifest: ManifestHash?
  public private(set) var program: ProgramHash?
  /// Whether the log says that it ended, and how.
  public private(set) var ended: AuditRecord.Outcome?
  public private(set) var failure: FailureKey?

  init() {}

  mutating func add(_ record: AuditRecord) {
    records.add(record)
    if record.event == .messageSent { sent.add(record) }
    if record.event == .messageReceived { received.add(record) }
    if record.event == .messageSent, record.maskedInput != nil { masked.add(record) }
    if record.event == .roundCompleted { roundsCompleted.add(record) }
    if record.event == .runEnded { ended = record.outcome ?? .unknown }
    if record.event == .runEnded || record.event == .stopped, let error = record.error { failure = FailureKey(error) }
    plan = record.plan ?? plan
    manifest = record.manifest ?? manifest
    program = record.program ?? program
  }
}

/// What witnesses said about this log, and what this keeper said about others.
public struct WitnessFigures: Hashable, Sendable {
  /// A log and the witness that it is about; the witness is this keeper where none is named.
  public struct Pair: Hashable, Sendable {
    public let origin: String
    public let witness: String?
  }

  public struct Checkpoints: Hashable, Sendable {
    public fileprivate(set) var tally = Tally()
    public fileprivate(set) var largestSize: UInt64 = 0
    public fileprivate(set) var root: TreeHashText?
  }

  /// A tree's root in hexadecimal.
  public typealias TreeHashText = String

  public private(set) var cosigned = Grouped<Pair, Checkpoints>(limit: 64, empty: Checkpoints())
  public private(set) var witnessed = Grouped<Pair, Checkpoints>(limit: 64, empty: Checkpoints())
  public private(set) var cosignatures = Tally()
  /// Two histories, or a word of a witness that does not fit: all of them if they are few, else the last.
  public private(set) var conflicts = Recent<AuditRecord>(limit: 50)

  init() {}

  mutating func add(_ record: AuditRecord) {
    if record.event == .checkpointConflict { conflicts.append(record) }
    guard let checkpoint = record.checkpoint else { return }
    let pair = Pair(origin: checkpoint.origin, witness: checkpoint.witness)
    let change: (inout Checkpoints) -> Void = { known in
      known.tally.add(record)
      guard checkpoint.size >= known.largestSize else { return }
      known.largestSize = checkpoint.size
      known.root = checkpoint.root.hexadecimal
    }
    if record.event == .checkpointCosigned {
      cosignatures.add(record)
      cosigned.update(pair, change)
    } else if record.event == .checkpointWitnessed {
      witnessed.update(pair, change)
    }
  }
}
