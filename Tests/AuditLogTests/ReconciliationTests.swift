import AuditLog
import Cryptography
import Foundation
import Testing

/// Two organisations that send to one server, all logs on disk.
private final class LoggedFederation {
  let directory: TemporaryDirectory
  let ingress: AuditLogWriter
  private(set) var egress: [String: AuditLogWriter] = [:]

  init() throws {
    directory = try TemporaryDirectory()
    ingress = try openLog("\(directory.path)/hub", name: "hub.example", seed: 9)
    for (place, name) in ["alder", "birch"].enumerated() {
      egress[name] = try openLog("\(directory.path)/\(name)", name: "\(name).example", seed: UInt8(place + 1))
    }
  }

  var egressPaths: [String] { ["alder", "birch"].map { "\(directory.path)/\($0)" } }
  var ingressPath: String { "\(directory.path)/hub" }

  func writer(_ name: String) throws -> AuditLogWriter {
    guard let writer = egress[name] else { throw TestFailure("no such organisation") }
    return writer
  }

  func draft(_ event: AuditRecord.Event, run: String? = "run-1") throws -> AuditRecord.Draft {
    var draft = AuditRecord.Draft(event)
    draft.destination = .init(name: try OrganizationName("hub.example"))
    draft.run = run
    return draft
  }

  func send(_ name: String, _ id: String, _ payload: [UInt8], run: String = "run-1") throws {
    _ = try writer(name).recordEgress(try draft(.messageSent, run: run), message: try Fixed.label(id), payload: payload)
  }

  @discardableResult
  func receive(_ name: String, _ id: String, _ payload: [UInt8]) throws -> AppendedRecord {
    var draft = AuditRecord.Draft(.messageReceived)
    draft.source = .init(name: try OrganizationName("\(name).example"))
    draft.run = "run-1"
    return try ingress.recordIngress(
      draft, message: AuditRecord.Message(label: try Fixed.label(id), payload: payload))
  }

  func exchange(_ name: String, _ id: String, _ payload: [UInt8] = [1, 2, 3]) throws {
    try send(name, id, payload)
    try receive(name, id, payload)
  }

  func note(
    _ name: String, _ event: AuditRecord.Event, run: String? = "run-1", delivery: (String, AuditRecord.Outcome)? = nil,
    receipt: AuditRecord.Receipt? = nil
  ) throws {
    var draft = try draft(event, run: run)
    if let delivery {
      draft.messageID = try Fixed.label(delivery.0).id
      draft.outcome = delivery.1
    }
    draft.receipt = receipt
    try writer(name).append(draft)
  }

  func reconcile() throws -> ReconciliationReport {
    try AuditReconciliation.reconcile(egress: egressPaths, ingress: ingressPath)
  }
}

extension ReconciliationReport {
  fileprivate var summary: [String] { differences.map { "\($0.kind.rawValue) \($0.organization) \($0.sequence)" } }
}

@Suite struct ReconciliationTests {
  private let federation: LoggedFederation

  init() throws { federation = try LoggedFederation() }

  @Test func aMessageLostWithItsProcessIsExplainedThoughLaterOnesArrived() throws {
    try federation.exchange("alder", "a-1")
    try federation.send("alder", "a-2", [9])
    var draft = try federation.draft(.delivery)
    draft.messageID = try Fixed.label("a-2").id
    draft.outcome = .unknown
    // Unknown for another reason it is a difference: on one connection a later message means that it had arrived.
    for (failure, expected) in [(nil, 1), (AuditRecord.Failure.processEnded, 0)] {
      draft.error = failure
      try federation.writer("alder").append(draft)
      try federation.exchange("alder", failure == nil ? "a-3" : "a-4")
      let report = try federation.reconcile()
      #expect(report.differences.count == expected, "\(report.summary)")
      #expect(report.unconfirmed.count == 1 - expected)
    }
  }

  @Test func agreeingLogs() throws {
    for round in 0..<3 {
      for name in ["alder", "birch"] { try federation.exchange(name, "m\(round)") }
    }
    let report = try federation.reconcile()
    #expect(report.agrees)
    #expect(report.matched == 6)
    #expect(report.unconfirmed.isEmpty)
    #expect(
      report.json.text
        == #"{"agrees":true,"differences":[],"matched":6,"notGiven":[],"schema":"bauta/audit-reconcile/1","sentElsewhere":0,"unconfirmed":[]}"#
    )
  }

  @Test func emptyLogsAgree() throws {
    #expect(try federation.reconcile().agrees)
  }

  @Test func anEntryRemovedFromTheSender() throws {
    for id in ["m0", "m1", "m2"] { try federation.exchange("alder", id) }
    let path = "\(federation.directory.path)/alder"
    var lines = try journalLines(path)
    lines.remove(at: 1)
    try writeJournal(lines, path)
    let report = try federation.reconcile()
    #expect(report.summary == ["sequenceGap alder.example 1", "missingEgress alder.example 1"])
    #expect(report.matched == 2)
  }

  @Test func anEntryRemovedFromTheReceiver() throws {
    for id in ["m0", "m1", "m2"] { try federation.exchange("alder", id) }
    var lines = try journalLines(federation.ingressPath)
    lines.remove(at: 1)
    try writeJournal(lines, federation.ingressPath)
    let report = try federation.reconcile()
    #expect(report.summary == ["sequenceGap hub.example 1", "missingIngress alder.example 1"])
  }

  @Test func anEntryAddedOnEitherSide() throws {
    try federation.exchange("alder", "m0")
    try federation.receive("birch", "never-sent", [1])
    try federation.send("alder", "never-arrived", [1])
    let report = try federation.reconcile()
    #expect(report.summary == ["missingIngress alder.example 1", "missingEgress birch.example 1"])
  }

  @Test func aSenderWithoutALogIsNamed() throws {
    try federation.exchange("alder", "m0")
    try federation.exchange("birch", "m0")
    let report = try AuditReconciliation.reconcile(
      egress: [federation.egressPaths[0]], ingress: federation.ingressPath)
    #expect(report.summary == ["missingEgress birch.example 1"])
    #expect(report.differences[0].detail.contains("no egress log of the sender was given"))
  }

  @Test func differentBytes() throws {
    try federation.send("alder", "m0", [1, 2, 3])
    try federation.receive("alder", "m0", [1, 2, 4])
    try federation.send("alder", "m1", [1])
    try federation.receive("alder", "m1", [1, 0])
    // The same id of another organisation is another message.
    try federation.exchange("birch", "m0")
    let report = try federation.reconcile()
    #expect(report.summary == ["bytesDiffer alder.example 0", "bytesDiffer alder.example 1"])
    #expect(report.matched == 1)
  }

  @Test func bytesSentAgainMustBeTheSame() throws {
    try federation.send("alder", "m0", [1, 2, 3])
    try federation.send("alder", "m0", [1, 2, 3])
    try federation.receive("alder", "m0", [1, 2, 3])
    #expect(try federation.reconcile().agrees)
    #expect(try federation.reconcile().matched == 1)
    try federation.send("alder", "m0", [3, 2, 1])
    #expect(try federation.reconcile().summary == ["bytesDiffer alder.example 2"])
  }

  @Test func aCopyThatArrivedWithoutARecordIsNamed() throws {
    try federation.exchange("alder", "m-1")
    try federation.exchange("alder", "m-1")
    #expect(try federation.reconcile().agrees)
    // Two copies may leave for one that arrives, not the other way round.
    try federation.send("alder", "m-1", [1, 2, 3])
    #expect(try federation.reconcile().agrees)
    for _ in 0..<2 { try federation.receive("alder", "m-1", [1, 2, 3]) }
    #expect(try federation.reconcile().summary == ["missingEgress alder.example 3"])
  }

  @Test func anUnreadableEntryIsAGap() throws {
    for id in ["m0", "m1"] { try federation.exchange("birch", id) }
    let path = "\(federation.directory.path)/birch"
    var lines = try journalLines(path)
    lines[0][0] = 0x5B
    try writeJournal(lines, path)
    let report = try federation.reconcile()
    #expect(report.summary == ["sequenceGap birch.example 0", "missingEgress birch.example 0"])
  }

  @Test func reorderedAndRepeatedEntriesAreGaps() throws {
    for id in ["m0", "m1", "m2"] { try federation.exchange("alder", id) }
    let path = "\(federation.directory.path)/alder"
    let lines = try journalLines(path)
    try writeJournal([lines[0], lines[2], lines[1]], path)
    #expect(try federation.reconcile().summary == ["sequenceGap alder.example 1", "sequenceGap alder.example 1"])
    try writeJournal(lines + [lines[2]], path)
    #expect(try federation.reconcile().summary == ["sequenceGap alder.example 2"])
  }

  @Test func theLastMessageMayBeUnconfirmedIfARecordExplainsIt() throws {
    try federation.exchange("alder", "m0")
    try federation.send("alder", "m1", [1, 2, 3])
    #expect(try federation.reconcile().summary == ["missingIngress alder.example 1"])
    try federation.note("alder", .delivery, delivery: ("m1", .unknown))
    let report = try federation.reconcile()
    #expect(report.agrees)
    #expect(report.unconfirmed.map(\.message.value) == ["m1"])
    #expect(report.unconfirmed.map(\.sequence) == [1])
  }

  @Test(arguments: [AuditRecord.Event.runEnded, .stopped, .connectionClosed])
  func theEndOfRunOrConnectionExplains(event: AuditRecord.Event) throws {
    try federation.send("alder", "m0", [1])
    try federation.note("alder", event)
    #expect(try federation.reconcile().agrees)
    #expect(try federation.reconcile().unconfirmed.count == 1)
  }

  @Test func theEndOfAnotherRunExplainsNothing() throws {
    try federation.send("alder", "m0", [1])
    try federation.note("alder", .runEnded, run: "run-2")
    #expect(try federation.reconcile().summary == ["missingIngress alder.example 0"])
  }

  @Test func theReceiversRecordOfTheEndExplains() throws {
    try federation.exchange("alder", "m0")
    try federation.send("alder", "m1", [1])
    var draft = AuditRecord.Draft(.connectionClosed)
    draft.source = .init(name: try OrganizationName("birch.example"))
    try federation.ingress.append(draft)
    #expect(try !federation.reconcile().agrees)
    draft.source = .init(name: try OrganizationName("alder.example"))
    try federation.ingress.append(draft)
    #expect(try federation.reconcile().agrees)
    #expect(try federation.reconcile().unconfirmed.count == 1)
  }

  @Test func nothingExplainsAHoleBeforeAConfirmedMessage() throws {
    try federation.send("alder", "m0", [1, 2, 3])
    try federation.note("alder", .delivery, delivery: ("m0", .failed))
    try federation.exchange("alder", "m1")
    #expect(try federation.reconcile().summary == ["missingIngress alder.example 0"])
  }

  @Test func aClaimOfDeliveryExplainsNothing() throws {
    try federation.send("alder", "m0", [1, 2, 3])
    try federation.note("alder", .delivery, delivery: ("m0", .succeeded))
    try federation.note("alder", .runEnded)
    #expect(try federation.reconcile().summary == ["missingIngress alder.example 0"])
  }

  @Test func aReceiptMustNameItsEntry() throws {
    try federation.send("alder", "m0", [1, 2, 3])
    let received = try federation.receive("alder", "m0", [1, 2, 3])
    try federation.note("alder", .delivery, delivery: ("m0", .succeeded), receipt: received.receipt)
    #expect(try federation.reconcile().agrees)
    let forged = AuditRecord.Receipt(index: received.sequence, leaf: LeafHash(hashing: [1]))
    try federation.note("alder", .delivery, delivery: ("m0", .succeeded), receipt: forged)
    #expect(try federation.reconcile().summary == ["missingIngress alder.example 2"])
  }

  @Test func messagesToOthersAreLeftAlone() throws {
    try federation.exchange("alder", "m0")
    var draft = AuditRecord.Draft(.messageSent)
    draft.destination = .init(name: try OrganizationName("elsewhere.example"))
    _ = try federation.writer("alder").recordEgress(draft, message: try Fixed.label("m1"), payload: [1])
    let report = try federation.reconcile()
    #expect(report.agrees)
    #expect(report.sentElsewhere == 1)
  }

  @Test func whoseLogsAreNotGivenIsNamed() throws {
    try federation.exchange("alder", "m0")
    try federation.exchange("birch", "m1")
    #expect(try federation.reconcile().json.text.contains("\"notGiven\":[]"))
    let report = try AuditReconciliation.reconcile(
      egress: ["\(federation.directory.path)/alder"], ingress: federation.ingressPath)
    #expect(report.senders == ["alder.example"])
    #expect(report.differences.map(report.isOfOther) == [true])
    let json = report.json.text
    #expect(json.contains("\"agrees\":false") && json.contains("\"notGiven\":[\"birch.example\"]"))
  }

  /// A record without a sender is of nobody whose log could be given.
  @Test func aMessageOfNobodyIsNoOthers() throws {
    try federation.exchange("alder", "m0")
    var draft = try federation.draft(.messageReceived)
    draft.destination = nil
    draft.source = .init(address: "10.0.0.1:1")
    _ = try federation.ingress.recordIngress(
      draft, message: AuditRecord.Message(label: try Fixed.label("m1"), payload: [1]))
    let report = try federation.reconcile()
    #expect(report.differences.map(report.isOfOther) == [false])
  }

  /// Who removes every entry of a log does not make it a log that was not given.
  @Test func anEmptiedLogIsStillItsKeepers() throws {
    try federation.exchange("alder", "m0")
    try federation.writer("alder").close()
    let path = "\(federation.directory.path)/alder/journal"
    try write([], to: path)
    let report = try federation.reconcile()
    #expect(report.senders == ["alder.example"])
    #expect(report.differences.map(report.isOfOther) == [false])
  }

  @Test func aMissingLogIsAnError() throws {
    let path = "\(federation.directory.path)/nowhere"
    #expect(throws: AuditLogError.noJournal(path: "\(path)/journal")) {
      try AuditReconciliation.reconcile(egress: [path], ingress: federation.ingressPath)
    }
  }
}
