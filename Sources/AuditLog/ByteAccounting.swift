import Cryptography

/// Holds what was recorded of messages against what was counted on the connections that carried them.
///
/// The exact rule, for each connection that the keeper of the log made: plaintext bytes = 24 (preface) + Σ over all frames
/// of (9 + payload); Σ payload of DATA ≤ Σ (5 + length) of the messages recorded before, at every count; at the end
/// Σ DATA + unsent tail = Σ (5 + length), where the tail is no longer than the messages of which no delivery is known. Frames
/// of other types hold no more than they may: SETTINGS 36 bytes in all, HEADERS 512 each, PING 8, RST_STREAM and
/// WINDOW_UPDATE 4, GOAWAY 64. Counts only grow, and the digest of the header lists is another only if there are more.
/// Records are taken in the order of the log. Memory: some hundred bytes for a connection that is open or was never closed,
/// 32 for one that was closed, and one entry for a message of which no delivery is known, to the end.
struct ByteAccounting {
  struct Finding: Hashable {
    let result: VerificationReport.Result
    let at: String
    let detail: String
  }

  private struct Connection {
    let first: UInt64
    var messages: UInt64 = 0
    /// Σ (5 + length).
    var recorded: UInt64 = 0
    /// The part of it of which no delivery is known.
    var unresolved: UInt64 = 0
    var lastCount: (sequence: UInt64, traffic: AuditRecord.Traffic)?
  }

  /// The prefix of a gRPC message.
  private static let prefixBytes: UInt64 = 5
  private static let prefaceBytes: UInt64 = 24
  private static let frameHeadBytes: UInt64 = 9

  private var open: [SHA256Digest: Connection] = [:]
  private var closed: Set<SHA256Digest> = []
  /// Of a log whose first entries are no longer kept: the connections of which the beginning is.
  private var begun: Set<SHA256Digest>?
  private var curtailed: Set<SHA256Digest> = []
  private var underway: [MessageIdentifier: (connection: SHA256Digest, bytes: UInt64)] = [:]
  /// Messages recorded for a connection that had ended, and not again for another.
  private var late: Set<MessageIdentifier> = []
  private var failures = FailureList()
  private var hasStarted = false
  private var unmeteredMessages: UInt64 = 0
  private var unmeteredConnections: UInt64 = 0
  private var accountedMessages: UInt64 = 0
  private var accountedBytes: UInt64 = 0
  private var accountedConnections: UInt64 = 0

  mutating func take(_ record: AuditRecord) {
    start(at: record.sequence)
    switch record.event {
    case .handshake: begin(record.source?.exporter)
    case .messageSent:
      takeMessage(
        record.message?.id, bytes: record.message?.bytes, connection: record.destination?.exporter,
        sequence: record.sequence)
    case .delivery: takeDelivery(record.message?.id ?? record.messageID, record.outcome, sequence: record.sequence)
    case .connectionTraffic: count(record, isLast: false)
    case .connectionClosed: if record.destination != nil { count(record, isLast: true) }
    default: break
    }
  }

  private mutating func start(at sequence: UInt64) {
    guard !hasStarted else { return }
    hasStarted = true
    if sequence > 0 { begun = [] }
  }

  private mutating func begin(_ connection: SHA256Digest?) {
    if let connection { begun?.insert(connection) }
  }

  /// Whether messages on this connection may be among the entries that are no longer kept.
  private mutating func isCurtailed(_ connection: SHA256Digest) -> Bool {
    guard let begun, !begun.contains(connection) else { return false }
    curtailed.insert(connection)
    return true
  }

  private mutating func takeMessage(
    _ id: MessageIdentifier?, bytes: UInt64?, connection: SHA256Digest?, sequence: UInt64
  ) {
    guard let id, let bytes else { return }
    guard let connection else {
      unmeteredMessages += 1
      return
    }
    guard !isCurtailed(connection) else { return }
    guard !closed.contains(connection) else {
      // The connection was lost while the message was recorded: it cannot have left on it.
      late.insert(id)
      return
    }
    late.remove(id)
    // Lengths on record have at most 53 bits.
    let framed = bytes &+ Self.prefixBytes
    var state = open[connection] ?? Connection(first: sequence)
    let (sum, isTooMuch) = state.recorded.addingReportingOverflow(framed)
    guard !isTooMuch else { return fail(sequence, "its length is out of range") }
    state.messages += 1
    state.recorded = sum
    state.unresolved += framed
    open[connection] = state
    // An earlier copy of the same message stays of unknown delivery.
    underway[id] = (connection, framed)
  }

  private mutating func takeDelivery(_ id: MessageIdentifier?, _ outcome: AuditRecord.Outcome?, sequence: UInt64) {
    guard outcome == .succeeded, let id else { return }
    guard late.remove(id) == nil else {
      return fail(sequence, "a message was delivered whose connection had ended before it was recorded")
    }
    guard let message = underway.removeValue(forKey: id) else { return }
    // The end of a connection settles what its messages came to; what is told later changes nothing.
    open[message.connection]?.unresolved -= message.bytes
  }

  private mutating func count(_ record: AuditRecord, isLast: Bool) {
    let connection = record.destination?.exporter
    guard let traffic = record.traffic else {
      guard isLast, let connection, open.removeValue(forKey: connection) != nil else { return }
      closed.insert(connection)
      unmeteredConnections += 1
      return
    }
    guard let expected = Self.plaintextBytes(traffic), expected == traffic.plaintextBytes else {
      return fail(
        record.sequence, "\(counted(traffic.plaintextBytes, "byte is", "bytes are")) not what the frames come to")
    }
    if let frame = Self.excess(traffic) {
      fail(record.sequence, "more bytes left in frames of type \(frame.rawValue) than a client may write in them")
    }
    let data = traffic.frames[.data]?.bytes ?? 0
    guard let connection else {
      if data > 0 {
        fail(record.sequence, "\(counted(data, "byte")) of messages left before the connection was accepted")
      }
      return
    }
    guard !isCurtailed(connection) else { return }
    guard !closed.contains(connection) else { return fail(record.sequence, "the connection had ended") }
    var state = open[connection] ?? Connection(first: record.sequence)
    if let last = state.lastCount {
      if !Self.continues(traffic, last.traffic) { fail(record.sequence, "counts less than entry \(last.sequence)") }
      if traffic.headerLists == last.traffic.headerLists, traffic.headersSHA256 != last.traffic.headersSHA256 {
        fail(record.sequence, "as many header lists as in entry \(last.sequence), and not the same")
      }
    }
    if data > state.recorded {
      fail(
        record.sequence,
        "\(counted(data, "byte")) of messages left, and \(counted(state.recorded, "was", "were")) on the record")
    }
    state.lastCount = (record.sequence, traffic)
    open[connection] = state
    guard isLast else { return }
    open[connection] = nil
    closed.insert(connection)
    if data <= state.recorded, state.recorded - data > state.unresolved {
      fail(
        record.sequence,
        "\(counted(state.recorded - data, "byte")) of messages did not leave, though they were delivered")
    }
    accountedConnections += 1
    accountedMessages += state.messages
    accountedBytes += traffic.plaintextBytes
  }

  private static func plaintextBytes(_ traffic: AuditRecord.Traffic) -> UInt64? {
    var sum: UInt64? = Self.prefaceBytes
    for count in traffic.frames.values {
      let (heads, first) = count.frames.multipliedReportingOverflow(by: Self.frameHeadBytes)
      let (frame, second) = heads.addingReportingOverflow(count.bytes)
      guard !first, !second, let sofar = sum else { return nil }
      let (next, third) = sofar.addingReportingOverflow(frame)
      sum = third ? nil : next
    }
    return sum
  }

  /// The first type of frame, other than DATA, that holds more than the rules for what leaves allow: there, bytes could
  /// hide that are no message.
  private static func excess(_ traffic: AuditRecord.Traffic) -> AuditRecord.Traffic.Frame? {
    AuditRecord.Traffic.Frame.allCases.first { frame in
      let count = traffic.frames[frame] ?? .init()
      // Frames are 53 bits at most.
      switch frame {
      case .data: return count.bytes > 0 && traffic.frames[.headers] == nil
      case .headers: return count.bytes > 512 * count.frames || traffic.headerLists > count.frames
      case .rstStream, .windowUpdate: return count.bytes > 4 * count.frames
      // One, of six settings at most; the others acknowledge, and are empty.
      case .settings: return count.bytes > 36
      case .ping: return count.bytes > 8 * count.frames
      case .goAway: return count.bytes > 64 * count.frames
      }
    }
  }

  private static func continues(_ traffic: AuditRecord.Traffic, _ earlier: AuditRecord.Traffic) -> Bool {
    traffic.headerLists >= earlier.headerLists
      && AuditRecord.Traffic.Frame.allCases.allSatisfy { frame in
        let now = traffic.frames[frame] ?? .init()
        let before = earlier.frames[frame] ?? .init()
        return now.frames >= before.frames && now.bytes >= before.bytes
      }
  }

  private mutating func fail(_ sequence: UInt64, _ detail: String) {
    failures.append(.init("journal entry \(sequence)", detail))
  }

  // MARK: -

  /// What was accounted for if nothing failed, and what could not be checked.
  private var findings: [Finding] {
    var findings: [Finding] = []
    if failures.count == 0, accountedConnections > 0 {
      findings.append(
        Finding(
          result: .passed, at: "",
          detail: "\(counted(accountedBytes, "byte")) on \(counted(accountedConnections, "connection")) are those of"
            + " \(counted(accountedMessages, "recorded message")) and of HTTP/2's own frames"))
    }
    let unclosed = open.values.sorted { $0.first < $1.first }
    for connection in unclosed.prefix(FailureList.maximum) {
      let place = connection.lastCount.map { "past entry \($0.sequence)" } ?? "wholly"
      findings.append(
        Finding(
          result: .notChecked, at: "journal entry \(connection.first)",
          detail: "a connection that begins here was not closed on the record: it is unaccounted for \(place)"))
    }
    if unclosed.count > FailureList.maximum {
      findings.append(
        Finding(
          result: .notChecked, at: "",
          detail: "\(unclosed.count - FailureList.maximum) more connections were not closed on the record"))
    }
    if !curtailed.isEmpty {
      findings.append(
        Finding(
          result: .notChecked, at: "",
          detail: "\(counted(curtailed.count, "connection")) began before the entries that are kept"))
    }
    if unmeteredConnections > 0 {
      findings.append(
        Finding(
          result: .notChecked, at: "",
          detail: "\(counted(unmeteredConnections, "connection was", "connections were")) closed without a count"))
    }
    if unmeteredMessages > 0 {
      findings.append(
        Finding(
          result: .notChecked, at: "",
          detail: "\(counted(unmeteredMessages, "message")) went to destinations whose connections are not metered"))
    }
    if findings.isEmpty, failures.count == 0 {
      findings.append(
        Finding(result: .notChecked, at: "", detail: "the log records no connection that its keeper made"))
    }
    return findings
  }
}

extension ByteAccounting: EntryCheck {
  mutating func observe(_ entry: borrowing EntryView) {
    start(at: entry.sequence)
    switch entry.event {
    case .handshake: begin(entry.sourceExporter)
    case .messageSent:
      takeMessage(
        entry.messageID, bytes: entry.messageBytes, connection: entry.destinationExporter, sequence: entry.sequence)
    case .delivery: takeDelivery(entry.messageID, entry.outcome, sequence: entry.sequence)
    case .connectionTraffic, .connectionClosed: if let record = entry.record { take(record) }
    default: break
    }
  }

  func conclude(in verification: inout LogVerification) {
    if failures.count > 0 { verification.conclude(.byteAccounting, failures, passed: "") }
    for finding in findings {
      verification.note(.byteAccounting, finding.result, at: finding.at, detail: finding.detail)
    }
  }
}
