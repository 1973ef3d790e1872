import Cryptography

/// Compares what organisations recorded as sent with what the server recorded as received.
///
/// It reads entries as they stand; whether a log is authentic is `AuditVerifier`'s to say, so verify each log too.
/// A message that the sender alone recorded is tolerated only after the last message of the same run that arrived, or
/// if the sender's process ended with it, and only if a later record, or the end of the connection in the ingress log,
/// explains it.
///
/// Memory: about 300 bytes a message.
public enum AuditReconciliation {
  /// - Parameters:
  ///   - egress: directories of the organisations' logs.
  ///   - ingress: the directory of the server's log.
  /// - Throws: `noJournal`, `storage`; what the entries hold is reported, not thrown.
  public static func reconcile(
    egress: [String], ingress: String
  ) throws(AuditLogError) -> ReconciliationReport {
    var report = ReconciliationReport()
    let received = try IngressSummary(directory: ingress, report: &report)
    var seen: [MessageKey: Int] = [:]
    for directory in egress {
      let sent = try EgressSummary(directory: directory, receiver: received.keeper, report: &report)
      if let keeper = sent.keeper { report.senders.insert(keeper.value) }
      sent.compare(with: received, seen: &seen, report: &report)
    }
    received.reportUnsent(seen: seen, report: &report)
    return report
  }
}

struct MessageKey: Hashable {
  let sender: OrganizationName
  let id: MessageIdentifier
}

/// What both sides must agree on.
private struct MessageRecord {
  let sequence: UInt64
  let run: String?
  let message: AuditRecord.Message

  func agrees(with other: MessageRecord) -> Bool {
    message.bytes == other.message.bytes && message.sha256 == other.message.sha256
      && message.chunks == other.message.chunks
  }

  var phrase: String { "\(counted(message.bytes, "byte")) with SHA-256 \(message.sha256)" }
}

/// Goes through a log from entry to entry, reports gaps, and does not stop at what it cannot read.
private struct TolerantReader {
  private var reader: AuditLogReader
  private var expected: UInt64 = 0
  /// From the first entry that can be read.
  private(set) var keeper: OrganizationName?
  private var gaps: [(sequence: UInt64, detail: String)] = []

  init(directory: String) throws(AuditLogError) {
    reader = try AuditLogReader(directory: directory)
    // What is no longer kept is not missing; whether a record says so is for the verifier.
    expected = reader.firstSequence
  }

  mutating func next() throws(AuditLogError) -> AuditLogReader.Entry? {
    while true {
      do {
        guard let entry = try reader.next() else { return nil }
        if keeper == nil { keeper = entry.record.organization }
        check(entry.record)
        return entry
      } catch .malformedEntry(let defect, _, _, let byte) {
        gaps.append((expected, "the entry at byte \(byte) cannot be read: \(defect.explanation)"))
        expected += 1
      } catch .segmentMissing {
        // The entry that comes next shows how many.
      }
    }
  }

  private mutating func check(_ record: AuditRecord) {
    let found = record.sequence
    if found > expected {
      let missing = found - expected == 1 ? "entry \(expected) is" : "entries \(expected) to \(found - 1) are"
      gaps.append((expected, "\(missing) missing"))
    } else if found < expected {
      gaps.append((found, "entry \(found) follows entry \(expected - 1)"))
    }
    if let keeper, record.organization != keeper {
      gaps.append((found, "entry \(found) is of \(record.organization), not of \(keeper)"))
    }
    expected = found + 1
  }

  func report(to report: inout ReconciliationReport) {
    let organization = keeper?.value ?? ""
    for gap in gaps {
      report.differences.append(
        .init(kind: .sequenceGap, organization: organization, sequence: gap.sequence, detail: gap.detail))
    }
  }
}

private struct IngressSummary {
  let keeper: OrganizationName?
  private(set) var messages: [MessageKey: [MessageRecord]] = [:]
  private(set) var leaves: [UInt64: LeafHash] = [:]
  /// The last message and the last end of a connection of each sender, by sequence.
  private var lastMessage: [OrganizationName: UInt64] = [:]
  private var lastClose: [OrganizationName: UInt64] = [:]

  init(directory: String, report: inout ReconciliationReport) throws(AuditLogError) {
    var reader = try TolerantReader(directory: directory)
    while let entry = try reader.next() {
      let record = entry.record
      if record.event == .connectionClosed, let sender = record.source?.name { lastClose[sender] = record.sequence }
      guard record.event == .messageReceived else { continue }
      guard let sender = record.source?.name, let message = record.message else {
        report.differences.append(
          .init(
            kind: .missingEgress, organization: "", sequence: record.sequence,
            detail: "the ingress record names no sender or no message"))
        continue
      }
      leaves[record.sequence] = entry.leaf
      lastMessage[sender] = record.sequence
      messages[MessageKey(sender: sender, id: message.id), default: []].append(
        MessageRecord(sequence: record.sequence, run: record.run, message: message))
    }
    keeper = reader.keeper
    reader.report(to: &report)
  }

  /// The receiver saw this sender's connection end, and nothing from it since.
  func sawConnectionEnd(of sender: OrganizationName) -> Bool {
    guard let close = lastClose[sender] else { return false }
    return close > (lastMessage[sender] ?? 0)
  }

  func reportUnsent(seen: [MessageKey: Int], report: inout ReconciliationReport) {
    // Every copy that arrived left under a record of its own.
    let unsent = messages.flatMap { key, records in records.dropFirst(seen[key] ?? 0).map { (key, $0) } }
      .sorted { $0.1.sequence < $1.1.sequence }
    for (key, record) in unsent {
      let reason =
        if let copies = seen[key] {
          "the sender recorded \(copies) of its copies, and more arrived"
        } else if report.senders.contains(key.sender.value) {
          "the sender has no record of this message"
        } else {
          "no egress log of the sender was given"
        }
      report.differences.append(
        .init(
          kind: .missingEgress, organization: key.sender.value, sequence: record.sequence,
          detail: "ingress entry \(record.sequence), message \(key.id): \(reason)"))
    }
  }
}

private struct EgressSummary {
  private(set) var keeper: OrganizationName?
  private var sent: [MessageRecord] = []
  /// The last record that says what became of a message.
  private var deliveries: [MessageIdentifier: (sequence: UInt64, outcome: AuditRecord.Outcome)] = [:]
  /// Messages whose process ended before it learned what became of them: others of a later process may have arrived.
  private var lostWithProcess: Set<MessageIdentifier> = []
  private var receipts: [(sequence: UInt64, receipt: AuditRecord.Receipt)] = []
  private var lastEnd: (run: [String: UInt64], connection: UInt64?) = ([:], nil)

  init(
    directory: String, receiver: OrganizationName?, report: inout ReconciliationReport
  ) throws(AuditLogError) {
    var reader = try TolerantReader(directory: directory)
    while let entry = try reader.next() {
      let record = entry.record
      let destination = record.destination?.name
      let isElsewhere = destination != nil && receiver != nil && destination != receiver
      switch record.event {
      case .messageSent:
        if isElsewhere || record.isCheckpointForWitness {
          report.sentElsewhere += 1
        } else if let message = record.message {
          sent.append(MessageRecord(sequence: record.sequence, run: record.run, message: message))
        }
      case .delivery where !isElsewhere:
        if let id = record.message?.id ?? record.messageID {
          deliveries[id] = (record.sequence, record.outcome ?? .unknown)
          if record.error?.code == AuditRecord.Failure.processEnded.code { lostWithProcess.insert(id) }
        }
        if let receipt = record.receipt { receipts.append((record.sequence, receipt)) }
      case .runEnded, .stopped:
        if let run = record.run { lastEnd.run[run] = record.sequence } else { lastEnd.connection = record.sequence }
      case .connectionClosed where !isElsewhere: lastEnd.connection = record.sequence
      case .delivery, .connectionClosed, .messageReceived, .handshake, .handshakeRefused, .policyDecision, .approval,
        .manifestChange, .keyChange, .privacyCharge, .runStarted, .roundStarted, .roundCompleted, .serviceStarted,
        .serviceStopped, .stateAcknowledged, .connectionTraffic, .checkpointCosigned, .checkpointWitnessed,
        .checkpointConflict, .openingRequested, .openingConsented, .maskedInputOpened, .sealedSecretsErased,
        .entriesPruned:
        break
      }
    }
    // A log that has lost all its entries is still its keeper's.
    keeper = reader.keeper ?? AuditLogReader.checkpointKeeper(of: directory)
    reader.report(to: &report)
  }

  func compare(with received: IngressSummary, seen: inout [MessageKey: Int], report: inout ReconciliationReport) {
    guard let keeper else { return }
    func differ(_ kind: ReconciliationReport.Difference.Kind, _ sequence: UInt64, _ detail: String) {
      report.differences.append(
        .init(kind: kind, organization: keeper.value, sequence: sequence, detail: detail))
    }
    // The last message of each run that arrived: what was sent before it must have arrived as well.
    var lastConfirmed: [String?: UInt64] = [:]
    for record in sent where received.messages[MessageKey(sender: keeper, id: record.message.id)] != nil {
      lastConfirmed[record.run] = record.sequence
    }
    for record in sent {
      let key = MessageKey(sender: keeper, id: record.message.id)
      seen[key, default: 0] += 1
      let isFirst = seen[key] == 1
      guard let arrivals = received.messages[key] else {
        if isFirst { explain(record, received, lastConfirmed[record.run], &report) }
        continue
      }
      if let other = arrivals.first(where: { !$0.agrees(with: record) }) {
        let detail = "message \(key.id): sent \(record.phrase), received \(other.phrase) in entry \(other.sequence)"
        differ(.bytesDiffer, record.sequence, detail)
      } else if isFirst {
        report.matched += 1
      }
    }
    for (sequence, receipt) in receipts where received.leaves[receipt.index] != receipt.leaf {
      differ(.missingIngress, sequence, "the receipt names ingress entry \(receipt.index), which is not that one")
    }
  }

  private func explain(
    _ record: MessageRecord, _ received: IngressSummary, _ lastConfirmed: UInt64?, _ report: inout ReconciliationReport
  ) {
    guard let keeper else { return }
    let explanation = explanation(of: record, received)
    let isLast = lastConfirmed.map { record.sequence > $0 } ?? true
    if let explanation, isLast || lostWithProcess.contains(record.message.id) {
      report.unconfirmed.append(
        .init(
          organization: keeper.value, sequence: record.sequence, message: record.message.id, detail: explanation))
      return
    }
    let reason =
      explanation == nil ? "no later record explains why" : "a later message of the same run has arrived"
    report.differences.append(
      .init(
        kind: .missingIngress, organization: keeper.value, sequence: record.sequence,
        detail: "message \(record.message.id) was sent but is not in the ingress log; \(reason)"))
  }

  private func explanation(of record: MessageRecord, _ received: IngressSummary) -> String? {
    if let delivery = deliveries[record.message.id], delivery.sequence > record.sequence {
      switch delivery.outcome {
      case .succeeded: return nil  // The sender says that it arrived: then the receiver must know of it.
      case .failed, .refused, .unknown:
        return "entry \(delivery.sequence) says that its delivery is \(delivery.outcome.rawValue)"
      }
    }
    if let run = record.run, let end = lastEnd.run[run], end > record.sequence {
      return "the run ended for the sender in entry \(end)"
    }
    if let end = lastEnd.connection, end > record.sequence {
      return "the sender's connection ended in entry \(end)"
    }
    if let keeper, received.sawConnectionEnd(of: keeper) {
      return "the receiver recorded the end of the sender's connection"
    }
    return nil
  }
}
