import Cryptography
import Foundation
import Testing
import TransparencyLog

@testable import AuditLog

@Suite struct AuditRecordTests {
  /// A record with every field set.
  private func fullRecord() throws -> AuditRecord {
    var draft = AuditRecord.Draft(.messageSent)
    draft.clock = "system"
    draft.actor = .init(service: "client", keyID: NoteKeyID(0xC74F_20A3))
    let peer = AuditRecord.Peer(
      name: try OrganizationName("hub.example"), claimedName: "hub.example", address: "127.0.0.1:7443",
      tlsPeer: CertificateKeyHash(hashing: [1]), exporter: SHA256Digest(hashing: [2]))
    draft.destination = peer
    draft.source = peer
    draft.handshake = .init(version: "TLSv1.3", cipher: "TLS_AES_256_GCM_SHA384", group: "x25519")
    draft.suppressed = .init(
      count: 900, first: AuditTime(milliseconds: 1), last: AuditTime(milliseconds: 60_001), addresses: 3)
    draft.federation = "fraud.example"
    draft.manifest = ManifestHash(hashing: [3])
    draft.plan = PlanHash(hashing: [4])
    draft.run = "run-1"
    draft.round = 2
    draft.attempt = 0
    draft.task = "train"
    draft.context = ContextDigest(hashing: [5])
    draft.transcript = TranscriptDigest(hashing: [6])
    draft.message = .init(
      label: MessageLabel(
        id: try #require(MessageIdentifier("m-1")), kind: "maskedInput", stage: "MaskedInputCollection", resendOf: 3),
      payload: Array("payload".utf8))
    draft.messageID = MessageIdentifier("m-0")
    draft.maskedInput = .init(
      dimension: 50, counters: 3, bits: 32, masks: 5, clip: AuditDecimal("8"), localNoise: AuditDecimal(0.5),
      epsilonCharged: AuditDecimal("0.1"), epsilonTotal: AuditDecimal("1.25e-1"),
      commitment: Digest<CommitmentRole>(hashing: [7]))
    draft.model = ModelHash(hashing: [8])
    draft.program = ProgramHash(hashing: [9])
    draft.cohortSizes = .init(u2: 5, u3: 4)
    draft.policy = .init(.allowed, rule: "cohort.minimum")
    draft.approver = "security officer"
    draft.purpose = "fraud-2026"
    draft.retention = "six-years"
    draft.outcome = .failed
    draft.error = .init(code: "tls-refused", blame: .peer)
    draft.receipt = .init(index: 9, leaf: LeafHash(hashing: [10]))
    draft.traffic = .init(
      plaintextBytes: 1_033, frames: [.data: .init(frames: 1, bytes: 1_000)], headerLists: 0,
      headersSHA256: SHA256Digest(hashing: [11]))
    draft.checkpoint = .init(
      origin: "birch.example", size: 7, root: TreeHash(hashing: [12]), witness: "hub.example",
      witnessKeyID: NoteKeyID(1))
    draft.opening = .init(
      organization: try OrganizationName("cedar.example"), slot: 1, statement: SHA256Digest(hashing: [13]),
      auditor: SHA256Digest(hashing: [14]))
    draft.pruned = .init(below: 256)
    draft.stateVersion = 12
    draft.reason = "restored from the backup of 1 March"
    return AuditRecord(
      organization: try OrganizationName("alder.example"), sequence: 7, previous: LeafHash(hashing: [0]),
      time: try #require(AuditTime(Fixed.clock())), content: draft)
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
        == SHA256Digest(hashing: Array("payload".utf8)).hexadecimal)
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
    #expect(defect(replacing: #""approver":"security officer","#, by: #""approved":"x","#) == .field("approved"))
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
    #expect(defect(replacing: #""frames":1}"#, by: #""frames":-1}"#) == .field("traffic.data.frames"))
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
    #expect(message.chunks == 5)
    // One chunk is not the same as one piece: the hashes are of different kinds.
    #expect(AuditRecord.Message(label: label, chunks: [[1]]) != AuditRecord.Message(label: label, payload: [1]))
  }
}
