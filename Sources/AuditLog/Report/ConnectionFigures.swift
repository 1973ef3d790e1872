import Cryptography

/// Bytes by connection: what the log says was written to each, and the messages that it says were sent over it.
///
/// Whether the ones account for the others is `AuditVerifier`'s to say: it knows which records are missing or left out.
public struct ConnectionFigures: Hashable, Sendable {
  public struct Connection: Hashable, Sendable {
    public let peer: String
    /// Ties the records of both sides together; nil if the log names none.
    public let exporter: SHA256Digest?
    /// The last word on what has been written, since the connection began.
    public internal(set) var traffic: AuditRecord.Traffic?
    /// Messages that the log says were sent over it, and the bytes of their payloads.
    public internal(set) var sent = Tally()
    public internal(set) var isClosed = false
    public internal(set) var first: Tally.Place?
    public internal(set) var last: Tally.Place?
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

  /// - Parameter record: of a message that was sent, or of a connection.
  mutating func add(_ record: AuditRecord) {
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
    if record.event == .messageSent { sent.add(record) }
  }
}
