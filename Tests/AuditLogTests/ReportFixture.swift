import AuditLog
import Cryptography
import TransparencyLog

/// Records made by hand, for figures that are known.
struct ReportFixture {
  private(set) var records: [AuditRecord] = []
  private let organization: OrganizationName

  init(_ name: String = "alder.example") throws { organization = try OrganizationName(name) }

  mutating func add(
    _ event: AuditRecord.Event, at milliseconds: Int64, _ fill: (inout AuditRecord.Draft) throws -> Void = { _ in }
  ) throws {
    var draft = AuditRecord.Draft(event)
    try fill(&draft)
    guard let time = AuditTime(milliseconds: milliseconds) else { throw TestFailure("no such time") }
    records.append(
      AuditRecord(
        organization: organization, sequence: UInt64(records.count), previous: nil, time: time, content: draft))
  }

  mutating func send(
    _ kind: String, bytes: Int, to name: String = "hub.example", at milliseconds: Int64, resendOf: UInt64? = nil,
    _ fill: (inout AuditRecord.Draft) throws -> Void = { _ in }
  ) throws {
    let peer = AuditRecord.Peer(name: try OrganizationName(name), exporter: SHA256Digest(hashing: [7]))
    let message = try Self.message(kind, bytes: bytes, number: records.count, resendOf: resendOf)
    try add(.messageSent, at: milliseconds) { draft in
      draft.destination = peer
      draft.message = message
      try fill(&draft)
    }
  }

  static func message(
    _ kind: String, bytes: Int, number: Int, resendOf: UInt64? = nil
  ) throws -> AuditRecord.Message {
    guard let id = MessageIdentifier("m\(number)") else { throw TestFailure("no such identifier") }
    return AuditRecord.Message(
      label: MessageLabel(id: id, kind: kind, resendOf: resendOf), payload: [UInt8](repeating: 1, count: bytes))
  }

  var figures: LogFigures {
    var figures = LogFigures()
    for record in records { figures.add(record) }
    return figures
  }

  /// A record with every field that there is.
  static func everyField(_ event: AuditRecord.Event = .messageSent) throws -> AuditRecord.Draft {
    var draft = AuditRecord.Draft(event)
    let digest = SHA256Digest(hashing: [1])
    func role<Role>() throws -> Digest<Role> { try Digest(hexadecimal: digest.hexadecimal) }
    let time = AuditTime(milliseconds: 1000)
    draft.clock = "ntp"
    draft.actor = .init(service: "client", keyID: NoteKeyID(7))
    let peer = AuditRecord.Peer(
      name: try OrganizationName("hub.example"), claimedName: "claimed", address: "127.0.0.1:1", tlsPeer: try role(),
      exporter: digest)
    draft.destination = peer
    draft.source = peer
    draft.handshake = .init(version: "TLSv1.3", cipher: "TLS_AES_256_GCM_SHA384", group: "x25519")
    draft.suppressed = .init(count: 3, first: time, last: time, addresses: 2)
    draft.federation = "fraud.example"
    draft.manifest = try role()
    draft.plan = try role()
    draft.run = "run-1"
    draft.round = 1
    draft.attempt = 1
    draft.task = "fit"
    draft.context = try role()
    draft.transcript = try role()
    draft.message = try Self.streamed()
    draft.messageID = MessageIdentifier("other")
    draft.maskedInput = .init(
      dimension: 10, counters: 2, bits: 32, masks: 4, clip: AuditDecimal("8.0"), localNoise: AuditDecimal("0.5"),
      epsilonCharged: AuditDecimal("0.25"), epsilonTotal: AuditDecimal("1.5"), commitment: try role())
    draft.model = try role()
    draft.program = try role()
    draft.cohortSizes = .init(u2: 5, u3: 4)
    draft.policy = .init(.allowed, rule: "control")
    draft.approver = "alder.example"
    draft.purpose = "purpose-1"
    draft.retention = "six-years"
    draft.outcome = .succeeded
    draft.error = .init(code: "some-error", blame: .peer)
    draft.receipt = .init(index: 3, leaf: try role())
    var frames: [AuditRecord.Traffic.Frame: AuditRecord.Traffic.Count] = [:]
    for frame in AuditRecord.Traffic.Frame.allCases { frames[frame] = .init(frames: 1, bytes: 2) }
    draft.traffic = .init(plaintextBytes: 112, frames: frames, headerLists: 1, headersSHA256: digest)
    draft.checkpoint = .init(
      origin: "alder.example", size: 9, root: try role(), witness: "birch.example", witnessKeyID: NoteKeyID(9))
    draft.opening = .init(
      organization: try OrganizationName("alder.example"), slot: 1, statement: digest, auditor: digest)
    draft.pruned = .init(below: 4)
    draft.stateVersion = 6
    draft.reason = "because"
    return draft
  }

  private static func streamed() throws -> AuditRecord.Message {
    guard let id = MessageIdentifier("streamed") else { throw TestFailure("no such identifier") }
    return AuditRecord.Message(
      label: MessageLabel(id: id, kind: "masked-input", stage: "masked-input", resendOf: 1), chunks: [[1], [2, 3]])
  }
}
