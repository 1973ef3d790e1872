import AuditLog
import Cryptography
import Foundation
import Testing
import TransparencyLog

@testable import bauta

/// The page of an audit report: well-formed, self-contained, with the figures of the JSON, whatever the log holds.
@Suite struct AuditReportTests {
  private final class Place {
    let path = NSTemporaryDirectory() + "bauta-report-\(UUID().uuidString)"

    deinit { try? FileManager.default.removeItem(atPath: path) }
  }

  /// A log with these records, verified and read.
  private static func log(
    _ place: Place, _ name: String = "alder.example", _ fill: (AuditLogWriter) throws -> Void
  ) throws -> AuditReport.Log {
    let directory = "\(place.path)/\(name)"
    let writer = try AuditLogWriter(
      directory: "\(directory)/log", organization: try OrganizationName(name), logKey: LogSigningKey.generate(),
      clock: { Date(timeIntervalSince1970: 1_772_357_400) })
    try fill(writer)
    let key = writer.verifierKey.text
    try writer.close()
    return try read(directory, key: key)
  }

  private static func read(_ directory: String, key: String) throws -> AuditReport.Log {
    let verification = AuditVerifier.verify(logDirectory: directory, verifierKey: key, cosigners: nil)
    return AuditReport.Log(
      directory: directory, analysis: try LogAnalysis(directory: directory, verification: verification),
      verification: verification, key: key, keyOrigin: .besideLog)
  }

  private static func report(_ logs: [AuditReport.Log]) throws -> AuditReport {
    AuditReport(time: try #require(AuditTime(milliseconds: 1_772_360_000_000)), logs: logs)
  }

  private static func page(_ report: AuditReport) throws -> (html: String, reader: PageReader) {
    let html = ReportPage(report: report, command: "bauta audit report alder").html
    return (html, try PageReader(html))
  }

  private static func send(
    _ writer: AuditLogWriter, _ kind: String, bytes: Int, number: Int,
    _ fill: (inout AuditRecord.Draft) -> Void = { _ in }
  ) throws {
    var draft = AuditRecord.Draft(.messageSent)
    draft.destination = .init(name: try OrganizationName("hub.example"))
    fill(&draft)
    let id = try #require(MessageIdentifier("m\(number)"))
    _ = try writer.recordEgress(
      draft, message: MessageLabel(id: id, kind: kind), payload: [UInt8](repeating: 7, count: bytes))
  }

  @Test func theFiguresAreThoseOfTheJSON() throws {
    let place = Place()
    let log = try Self.log(place) { writer in
      for number in 0..<30 {
        try Self.send(writer, ["hello", "poll", "masked-input"][number % 3], bytes: 100 + number, number: number) {
          draft in
          guard number % 3 == 2 else { return }
          draft.run = "run-\(number % 2)"
          draft.task = "fit"
          draft.maskedInput = .init(
            dimension: 50, counters: 2, bits: 32, masks: 4, epsilonCharged: AuditDecimal("0.5"),
            epsilonTotal: AuditDecimal("\(number)"))
          draft.cohortSizes = .init(u2: 5, u3: nil)
        }
      }
    }
    let report = try Self.report([log])
    let (_, reader) = try Self.page(report)
    guard case .object(let root) = report.json, case .array(let logs)? = root["logs"],
      case .object(let first)? = logs.first, case .object(let figures)? = first["figures"],
      case .object(let sent)? = figures["sent"], case .object(let groups)? = sent["groups"],
      case .array(let list)? = groups["groups"]
    else {
      Issue.record("the JSON has another form")
      return
    }
    var expected: Set<[String]> = [["all", "30", "3435"]]
    for case .object(let entry) in list {
      guard case .object(let message)? = entry["message"], case .string(let kind)? = message["kind"],
        case .object(let tally)? = entry["figures"], case .integer(let count)? = tally["count"],
        case .integer(let bytes)? = tally["bytes"]
      else { continue }
      expected.insert([kind, "\(count)", "\(bytes)"])
    }
    #expect(expected.count == 4)
    let shown = reader.rows("What left, by kind and destination").map { row in
      [row[0], row[2].replacingOccurrences(of: ",", with: ""), row[3].replacingOccurrences(of: ",", with: "")]
    }
    #expect(Set(shown) == expected)
    #expect(reader.rows("Every term").count == 10)
    #expect(reader.rows("Each run").count == 2)
    #expect(reader.rows("The latest charges").last?.last == "29")
    #expect(reader.text.contains("together ε = 5.0000"))
    // The exact sum is there for programs too.
    #expect(reader.elements.contains { $0.name == "data" && $0.attributes["value"] == "3435" })
  }

  @Test func theFirstWordSaysWhetherItIsVerified() throws {
    let place = Place()
    let good = try Self.log(place) { writer in try Self.send(writer, "hello", bytes: 10, number: 1) }
    let body = try #require(try Self.page(Self.report([good])).html.split(separator: "<body>").last)
    let words = body.split(separator: ">").lazy.map { $0.prefix { $0 != "<" } }
      .first { !$0.allSatisfy(\.isWhitespace) }
    #expect(words == "VERIFIED")

    let journal = "\(good.directory)/log/journal"
    let text = try String(contentsOfFile: journal, encoding: .utf8)
    try text.replacingOccurrences(of: "hello", with: "hallo").write(toFile: journal, atomically: true, encoding: .utf8)
    let bad = try Self.read(good.directory, key: try #require(good.key))
    let report = try Self.report([bad])
    #expect(!report.isVerified)
    let reader = try Self.page(report).reader
    #expect(reader.elements.first { $0.attributes["class"] == "stamp bad" }?.text == "NOT VERIFIED")
    #expect(reader.text.contains("Do not rely on the figures below"))
    #expect(reader.rows("Checks of the log of alder.example").contains { $0[1] == "FAILED" })
  }

  /// Whoever is refused chooses what stands in the record: none of it becomes markup.
  @Test(arguments: [
    "<script>alert(1)</script>", "\" onload=\"alert(1)", "' x='", "&lt;b&gt; & <!-- ", "]]></style><style>",
    "\u{202E}txt.exe\u{2066}", "שלום عليكم", "\u{FFFE}\u{FFFF}\u{200B}", String(repeating: "W", count: 1024),
    "=HYPERLINK(\"http://example.com\")",
  ])
  func hostileTextStaysText(_ text: String) throws {
    let place = Place()
    let log = try Self.log(place) { writer in
      for event in AuditRecord.Event.allCases {
        var draft = AuditRecord.Draft(event)
        draft.source = .init(claimedName: text, address: text)
        draft.handshake = .init(version: text, cipher: text, group: text)
        draft.clock = text
        draft.actor = .init(service: text)
        draft.federation = text
        draft.run = text
        draft.task = text
        draft.approver = text
        draft.purpose = text
        draft.retention = text
        draft.reason = text
        draft.policy = .init(.refused, rule: text)
        draft.error = .init(code: text, blame: .peer)
        draft.checkpoint = .init(
          origin: text, size: 4, root: try TreeHash(hexadecimal: String(repeating: "ab", count: 32)), witness: text)
        if event == .messageReceived {
          let id = try #require(MessageIdentifier("m"))
          draft.message = .init(label: MessageLabel(id: id, kind: text, stage: text), payload: [1])
        }
        try writer.append(draft)
      }
      try Self.send(writer, text, bytes: 3, number: 9) { draft in
        draft.destination = .init(address: text)
        draft.maskedInput = .init(dimension: 1, counters: 1, bits: 32, masks: 2)
      }
    }
    let (html, reader) = try Self.page(Self.report([log]))
    let plain = try Self.page(
      Self.report([try Self.log(Place()) { try Self.send($0, "hello", bytes: 1, number: 1) }]))
    #expect(reader.elements.filter { $0.name == "style" }.count == 1)
    let known = Set(plain.reader.elements.map(\.name)).union(["b"])
    #expect(Set(reader.elements.map(\.name)).subtracting(known).isEmpty)
    for element in reader.elements {
      #expect(element.attributes.keys.allSatisfy { !$0.hasPrefix("on") && $0 != "style" && $0 != "src" })
      if let link = element.attributes["href"] { #expect(link.hasPrefix("#")) }
    }
    // Steering characters are gone, and long names are shortened everywhere.
    #expect(
      !html.unicodeScalars.contains { ["\u{202E}", "\u{2066}", "\u{200B}", "\u{FFFE}", "\u{FFFF}"].contains($0) })
    #expect(!html.contains(String(repeating: "W", count: 500)))
    #expect(reader.text.contains("VERIFIED, but a CONFLICT is on record"))
    #expect(reader.text.contains("CONFLICT ON RECORD"))
  }

  @Test func everyEventAndEveryControlIsOnThePage() throws {
    let log = try Self.log(Place()) { writer in
      for event in AuditRecord.Event.allCases { try writer.append(AuditRecord.Draft(event)) }
    }
    let reader = try Self.page(Self.report([log])).reader
    let events = Dictionary(uniqueKeysWithValues: reader.rows("Every kind of event").map { ($0[0], $0[1]) })
    #expect(events == Dictionary(uniqueKeysWithValues: AuditRecord.Event.allCases.map { ($0.rawValue, "1") }))
    let empty = try Self.page(Self.report([try Self.log(Place()) { _ in }])).reader
    for event in AuditRecord.Event.allCases { #expect(empty.text.contains(event.rawValue)) }
    for control in Control.all { #expect(reader.text.contains(control.reference + control.title)) }
    for name in VerificationReport.CheckName.allCases where log.verification.checks.contains(where: { $0.name == name })
    {
      #expect(reader.rows("Checks of the log").contains { $0[0].hasSuffix(name.rawValue) })
    }
  }

  /// A record of the most refusals is a chart and a table like any other, of a bounded size.
  @Test func aLogOfManyKindsGivesAPageOfBoundedSize() throws {
    let log = try Self.log(Place()) { writer in
      var drafts: [AuditRecord.Draft] = []
      for number in 0..<3000 {
        var draft = AuditRecord.Draft(.handshakeRefused)
        draft.source = .init(claimedName: "name-\(number)" + String(repeating: "x", count: 900), address: "a\(number)")
        draft.error = .init(code: "code-\(number)", blame: .peer)
        drafts.append(draft)
      }
      try writer.append(contentsOf: drafts)
    }
    let (html, reader) = try Self.page(Self.report([log]))
    #expect(html.utf8.count < 300_000)
    #expect(reader.rows("Connections that were refused").map { $0[2] }.contains("2,936"))
  }

  /// Alder's message to hub, and what hub has on record.
  private static func compared(
    sent: Int = 1, keyOrigin: AuditReport.KeyOrigin = .manifest("federation.note"),
    _ received: (AuditLogWriter, AuditRecord.Message) throws -> Void
  ) throws -> AuditReport {
    let place = Place()
    defer { withExtendedLifetime(place) {} }
    let alder = try log(place) { writer in
      for number in 0..<sent { try send(writer, "hello", bytes: 10, number: number) }
    }
    let message = AuditRecord.Message(
      label: MessageLabel(id: try #require(MessageIdentifier("m0")), kind: "hello"),
      payload: [UInt8](repeating: 7, count: 10))
    let hub = try log(place, "hub.example") { writer in try received(writer, message) }
    let result = try AuditReconciliation.reconcile(egress: [alder.directory], ingress: hub.directory)
    return AuditReport(
      time: try #require(AuditTime(milliseconds: 1_772_360_000_000)), logs: [alder],
      comparison: .init(
        directory: hub.directory, verification: hub.verification, key: hub.key, keyOrigin: keyOrigin, result: result))
  }

  private static func receive(_ writer: AuditLogWriter, _ message: AuditRecord.Message, from name: String?) throws {
    var draft = AuditRecord.Draft(.messageReceived)
    draft.source = .init(name: try name.map { try OrganizationName($0) }, address: "10.0.0.1:1")
    _ = try writer.recordIngress(draft, message: message)
  }

  /// Messages of others do not matter where their logs are not given; a message of nobody does.
  @Test func theReceiversLogMustAgreeAsFarAsLogsAreGiven() throws {
    let all = try Self.compared { writer, message in
      try Self.receive(writer, message, from: "alder.example")
      try Self.receive(writer, message, from: "birch.example")
    }
    #expect(all.isVerified)
    #expect(all.comparison?.ofOthers == 1)
    #expect(try Self.page(all).reader.text.contains("1 message of organisations whose logs are not here"))
    let nobody = try Self.compared { writer, message in
      try Self.receive(writer, message, from: "alder.example")
      try Self.receive(writer, message, from: nil)
    }
    #expect(!nobody.isVerified)
    #expect(nobody.comparison?.ofOthers == 0)
    #expect(try Self.page(nobody).reader.rows("Differences").count == 1)
  }

  @Test func whereNothingWasComparedNothingAgrees() throws {
    let report = try Self.compared(sent: 0) { writer, message in
      try Self.receive(writer, message, from: "birch.example")
    }
    #expect(report.comparison?.differences == [])
    #expect(!report.isVerified)
    let text = try Self.page(report).reader.text
    #expect(text.contains("there was nothing to compare with the receiver's log"))
    #expect(text.contains("Nothing was compared"))
  }

  /// The page says with which key the receiver's log was verified, and its commands do the same again.
  @Test(arguments: [AuditReport.KeyOrigin.manifest("federation.note"), .besideLog])
  func theReceiversKeyIsTold(_ origin: AuditReport.KeyOrigin) throws {
    let report = try Self.compared(keyOrigin: origin) { writer, message in
      try Self.receive(writer, message, from: "alder.example")
    }
    let (html, reader) = try Self.page(report)
    let comparison = try #require(report.comparison)
    #expect(reader.text.contains(try #require(comparison.key)))
    let isManifest = origin != .besideLog
    #expect(html.contains("bauta audit verify \(comparison.directory) --manifest federation.note") == isManifest)
    #expect(reader.text.contains("from the signed manifest federation.note") == isManifest)
  }

  @Test func itNeedsNothingButItself() throws {
    let log = try Self.log(Place()) { writer in try Self.send(writer, "hello", bytes: 10, number: 1) }
    let (html, reader) = try Self.page(Self.report([log]))
    for word in ["http://", "https://", "src=", "url(", "@import", "<script", "<link", "<img", "<iframe"] {
      #expect(!html.contains(word), "\(word)")
    }
    // No markup of ours was taken for text.
    #expect(!reader.text.contains("<"))
    let style = try #require(reader.elements.first { $0.name == "style" }?.text)
    let hash = Data(SHA256Digest(hashing: Array(style.utf8)).bytes).base64EncodedString()
    let policy = try #require(
      reader.elements.first { $0.attributes["http-equiv"] == "Content-Security-Policy" }?.attributes["content"])
    #expect(policy.hasPrefix("default-src 'none'; style-src 'sha256-\(hash)';"))
  }

  @Test(arguments: [("12", 12, 12), ("12..15", 12, 15), ("0..0", 0, 0)] as [(String, UInt64, UInt64)])
  func rangesOfEntries(_ text: String, _ first: UInt64, _ last: UInt64) {
    #expect(EntryRange(argument: text).map { [$0.first, $0.last] } == [first, last])
  }

  @Test(arguments: ["", "-1", "1.", "1..", "..1", "2..1", "1...2", "1.2", "a", "18446744073709551615", "1..2..3"])
  func whatIsNoRange(_ text: String) { #expect(EntryRange(argument: text) == nil) }
}
