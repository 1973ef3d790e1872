import Cryptography
import Foundation
import Testing
import TransparencyLog

@testable import AuditLog

@Suite struct AuditRecordTests {
  /// A record with every field set.
  private func fullRecord() throws -> AuditRecord {
    return AuditRecord(
      organization: try OrganizationName("alder.example"), sequence: 7, previous: LeafHash(hashing: [0]),
      time: try #require(AuditTime(Fixed.clock())), content: try SampleLogs.fullDraft(.messageSent))
  }

  @Test func everyFieldSurvives() throws {
    let record = try fullRecord()
    let entry = try record.entry()
    #expect(try AuditRecord(entry: entry) == record)
    let object = try #require(try JSONSerialization.jsonObject(with: Data(entry)) as? [String: Any])
    #expect(object["schema"] as? String == "bauta/audit/1")
    #expect(object["sequence"] as? Int == 7)
    #expect(object["time"] as? String == "2026-03-01T09:30:00.500Z")
    #expect(
      (object["message"] as? [String: Any])?["sha256"] as? String
        == record.message?.sha256.hexadecimal)
    #expect(object["stateVersion"] as? Int == 12)
    #expect(object.count == 40)
  }

  @Test func absentFieldsAreLeftOut() throws {
    let record = AuditRecord(
      organization: try OrganizationName("a.example"), sequence: 0, previous: nil,
      time: try #require(AuditTime(milliseconds: 0)), content: .init(.serviceStarted))
    let text = String(decoding: try record.entry(), as: UTF8.self)
    #expect(
      text == #"{"event":"serviceStarted","organization":"a.example","previous":"","schema":"bauta/audit/1","#
        + #""sequence":0,"time":"1970-01-01T00:00:00.000Z"}"#)
  }

  @Test func unknownMissingAndWrongFieldsAreRefused() throws {
    let entry = String(decoding: try fullRecord().entry(), as: UTF8.self)
    func defect(replacing old: String, by new: String) -> AuditLogError.EntryDefect? {
      precondition(entry.contains(old))
      do {
        _ = try AuditRecord(entry: Array(entry.replacingOccurrences(of: old, with: new).utf8))
        return nil
      } catch { return error.defect }
    }
    #expect(defect(replacing: #""purpose":"fraud-2026","#, by: #""purposes":"x","#) == .field("purposes"))
    #expect(defect(replacing: #""task":"train","#, by: #""task":3,"#) == .field("task"))
    #expect(defect(replacing: "bauta/audit/1", by: "bauta/audit/2") == .schema)
    #expect(defect(replacing: #""event":"messageSent""#, by: #""event":"messageLost""#) == .field("event"))
    #expect(defect(replacing: "alder.example", by: "Alder.example") == .field("organization"))
    #expect(defect(replacing: #""u2":5"#, by: #""u2":-5"#) == .field("cohortSizes.u2"))
    #expect(defect(replacing: #""u2":5"#, by: #""u2":5,"u4":5"#) == .notCanonical)
    #expect(defect(replacing: #""u3":4"#, by: #""u3":4,"u4":5"#) == .field("cohortSizes.u4"))
    #expect(defect(replacing: #""count":900"#, by: #""count":"900""#) == .field("suppressed.count"))
    #expect(defect(replacing: "1970-01-01T00:00:00.001Z", by: "1970-01-01") == .field("suppressed.first"))
    #expect(defect(replacing: "2026-03-01T09", by: "2026-02-30T09") == .field("time"))
    #expect(defect(replacing: #""clip":"8""#, by: #""clip":"0x8""#) == .field("maskedInput.clip"))
    #expect(defect(replacing: #""keyID":"c74f20a3""#, by: #""keyID":"C74f20a3""#) == .field("actor.keyID"))
    #expect(
      defect(replacing: #""witnessKeyID":"00000001""#, by: #""witnessKeyID":"1""#) == .field("checkpoint.witnessKeyID"))
    #expect(defect(replacing: #""frames":1}"#, by: #""frames":-1}"#) == .field("traffic.settings.frames"))
    #expect(defect(replacing: #""slot":1,"#, by: #""slot":"1","#) == .field("opening.slot"))
    #expect(defect(replacing: #""below":256"#, by: #""above":256"#) == .field("pruned.below"))
    #expect(defect(replacing: #""previous":""#, by: #""previous":"0"#) == .field("previous"))
    #expect(defect(replacing: #""time":"#, by: #""time": "#) == .notCanonical)
  }

  @Test func draftsWithForbiddenValuesAreRefused() throws {
    var record = try fullRecord()
    func refused(_ change: (inout AuditRecord.Draft) -> Void) -> AuditLogError? {
      var draft = record.content
      change(&draft)
      let changed = AuditRecord(
        organization: record.organization, sequence: 1, previous: nil, time: record.time, content: draft)
      do {
        _ = try changed.entry()
        return nil
      } catch { return error }
    }
    #expect(refused { $0.run = "a\nb" } == .invalidField("run"))
    #expect(refused { $0.approver = String(repeating: "é", count: 513) } == .invalidField("approver"))
    #expect(refused { $0.round = -1 } == .invalidField("round"))
    #expect(refused { $0.cohortSizes?.u2 = .max } == .invalidField("u2"))
    #expect(refused { $0.purpose = String(repeating: "é", count: 512) } == nil)
    record = try fullRecord()
    #expect(AuditDecimal("1,5") == nil)
    #expect(AuditDecimal("nan") == nil)
    #expect(AuditDecimal(.infinity) == nil)
    #expect(MessageIdentifier("") == nil)
    #expect(MessageIdentifier("A") == nil)
    #expect(MessageIdentifier.random() != MessageIdentifier.random())
  }

  @Test(arguments: [
    (Int64(0), "1970-01-01T00:00:00.000Z"),
    (951_782_400_000, "2000-02-29T00:00:00.000Z"),
    (951_868_799_999, "2000-02-29T23:59:59.999Z"),
    (1_772_357_400_500, "2026-03-01T09:30:00.500Z"),
    (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
    (253_402_300_799_999, "9999-12-31T23:59:59.999Z"),
  ])
  func times(milliseconds: Int64, text: String) throws {
    let time = try #require(AuditTime(milliseconds: milliseconds))
    #expect(time.description == text)
    #expect(AuditTime(text) == time)
    let formatter = ISO8601DateFormatter()
    formatter.formatOptions = [.withInternetDateTime, .withFractionalSeconds]
    #expect(formatter.string(from: time.date) == text)
  }

  @Test func timesOutsideTheFormAreRefused() {
    #expect(AuditTime(milliseconds: -1) == nil)
    #expect(AuditTime(milliseconds: 253_402_300_800_000) == nil)
    #expect(AuditTime(Date(timeIntervalSince1970: .nan)) == nil)
    #expect(AuditTime(Date(timeIntervalSince1970: 1e300)) == nil)
    for text in [
      "2026-02-29T00:00:00.000Z", "2026-13-01T00:00:00.000Z", "2026-01-01 00:00:00.000Z", "2026-01-01T24:00:00.000Z",
      "2026-01-01T00:00:60.000Z", "2026-01-01T00:00:00.000z", "2026-01-01T00:00:00Z", "2026-00-01T00:00:00.000Z",
    ] { #expect(AuditTime(text) == nil, "\(text)") }
  }

  @Test func streamedMessagesHashAsATree() throws {
    let label = try Fixed.label("m")
    let chunks = [[UInt8]](repeating: [1, 2, 3], count: 5)
    let message = AuditRecord.Message(label: label, chunks: chunks)
    let tree = MerkleTree(leaves: chunks.map { MerkleHashing.leaf($0) })
    #expect(message.sha256 == MessageHash(tree.root()))
    #expect(message.bytes == 15)
    #expect(AuditRecord.Message(label: label, payload: [1]).sha256 == MessageHash(hashing: [1]))
    #expect(message.chunks == 5)
    // One chunk is not the same as one piece: the hashes are of different kinds.
    #expect(AuditRecord.Message(label: label, chunks: [[1]]) != AuditRecord.Message(label: label, payload: [1]))
  }
}
