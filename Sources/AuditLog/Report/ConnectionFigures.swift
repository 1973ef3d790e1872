import Cryptography

/// Bytes by connection: what the log says was written to each, against the messages that it says were sent over it.
///
/// The comparison is arithmetic over records, for a reader's eye; whether accounting holds is `AuditVerifier`'s to say.
public struct ConnectionFigures: Hashable, Sendable {
  public struct Connection: Hashable, Sendable {
    public let peer: String
    /// Ties the records of both sides together; nil if the log names none.
    public let exporter: SHA256Digest?
    /// The last word on what has been written, since the connection began.
    public internal(set) var traffic: AuditRecord.Traffic?
    /// Messages that the log says were sent over it, and Σ(5 + length): what gRPC makes of them.
    public internal(set) var messages: UInt64 = 0
    public internal(set) var framedMessageBytes: UInt64 = 0
    public internal(set) var isClosed = false
    public internal(set) var first: Tally.Place?
    public internal(set) var last: Tally.Place?

    /// Whether the bytes are those of the preface and of the frames that are counted: 24 + Σ(9 + length).
    public var framesAddUp: Bool? {
      guard let traffic else { return nil }
      let sum = traffic.frames.values.reduce(UInt64(24)) { sum, count in
        Tally.sum(sum, Tally.sum(count.bytes, count.frames.multipliedReportingOverflow(by: 9).partialValue))
      }
      return sum == traffic.plaintextBytes
    }

    /// Bytes of DATA frames beyond the messages on record: more than none would be something that left unrecorded.
    public var unrecordedBytes: UInt64? {
      guard let data = traffic?.frames[.data]?.bytes, messages > 0 else { return nil }
      return data > framedMessageBytes ? data - framedMessageBytes : 0
    }
  }

  static let maximumOpen = 1024
  static let keptClosed = 100

  private var open: [Key: Connection] = [:]
  public private(set) var closed = Recent<Connection>(limit: keptClosed)
  /// Connections that ended without a word on what went over them.
  public private(set) var closedWithoutTraffic: UInt64 = 0
  /// Sums over closed connections that had one.
  public private(set) var closedPlaintextBytes: UInt64 = 0
  public private(set) var closedWithTraffic: UInt64 = 0
  /// Records of connections that were too many to follow.
  public private(set) var unfollowed: UInt64 = 0

  private struct Key: Hashable {
    let peer: String
    let exporter: SHA256Digest?
  }

  init() {}

  /// Connections whose end is not on the record, and of which something was counted: what went over them after their
  /// last record is not accounted for.
  public var unclosed: [Connection] {
    open.values.filter { $0.traffic != nil }.sorted { ($0.first?.entry ?? 0) < ($1.first?.entry ?? 0) }
  }

  public var isEmpty: Bool { closedWithTraffic == 0 && !open.values.contains { $0.traffic != nil } }

  mutating func add(_ record: AuditRecord) {
    switch record.event {
    case .messageSent, .connectionTraffic, .connectionClosed: break
    case .messageReceived, .delivery, .handshake, .handshakeRefused, .policyDecision, .approval, .manifestChange,
      .keyChange, .privacyCharge, .runStarted, .roundStarted, .roundCompleted, .runEnded, .stopped, .serviceStarted,
      .serviceStopped, .stateAcknowledged, .checkpointCosigned, .checkpointWitnessed, .checkpointConflict,
      .openingRequested, .openingConsented, .maskedInputOpened, .sealedSecretsErased, .entriesPruned:
      return
    }
    guard let peer = record.destination ?? record.source else { return }
    let key = Key(peer: peer.exporter == nil ? peer.address ?? peer.label : peer.label, exporter: peer.exporter)
    var connection = open[key] ?? Connection(peer: peer.label, exporter: peer.exporter)
    connection.note(record)
    if connection.isClosed {
      open[key] = nil
      close(connection)
    } else if open[key] != nil || open.count < Self.maximumOpen {
      open[key] = connection
    } else {
      unfollowed = Tally.sum(unfollowed, 1)
    }
  }

  private mutating func close(_ connection: Connection) {
    guard let traffic = connection.traffic else {
      closedWithoutTraffic = Tally.sum(closedWithoutTraffic, 1)
      return
    }
    closedWithTraffic = Tally.sum(closedWithTraffic, 1)
    closedPlaintextBytes = Tally.sum(closedPlaintextBytes, traffic.plaintextBytes)
    closed.append(connection)
  }
}

extension ConnectionFigures.Connection {
  fileprivate mutating func note(_ record: AuditRecord) {
    let place = Tally.Place(record)
    first = first ?? place
    last = place
    if let traffic = record.traffic { self.traffic = traffic }
    if record.event == .connectionClosed { isClosed = true }
    if record.event == .messageSent, let message = record.message {
      messages = Tally.sum(messages, 1)
      // Each chunk of a streamed message is a gRPC message of its own.
      let prefixes = (message.chunks ?? 1).multipliedReportingOverflow(by: 5).partialValue
      framedMessageBytes = Tally.sum(framedMessageBytes, Tally.sum(message.bytes, prefixes))
    }
  }
}
