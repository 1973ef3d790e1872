import AuditLog
import Cryptography
import Foundation
import SecureAggregation
import Testing
import TransparencyLog

/// The logs from which the tables of the independent check are made.
enum SampleLogs {
  /// An entry with every member between two short ones; without `tail` all are under a checkpoint, else the first is.
  static func full(_ directory: String, _ event: AuditRecord.Event, tail: Bool) throws {
    let writer = try openLog(directory)
    try writer.append(.init(.serviceStarted))
    if tail { try writer.publish() }
    try writer.append(fullDraft(event))
    try writer.append(.init(.serviceStopped))
    if !tail { try writer.publish() }
    try FixedWitness.cosign(directory)
  }

  /// `count` short entries, the last `tail` of which are under no checkpoint; cosigned.
  static func plain(_ directory: String, count: Int, tail: Int = 0, tag: String = "r", seed: UInt8 = 1) throws {
    let writer = try openLog(directory, seed: seed)
    let drafts = roundDrafts(count, tag: tag)
    // Small pieces, so that a publication falls due where it does in a run.
    for start in stride(from: 0, to: count - tail, by: 4096) {
      try writer.append(contentsOf: Array(drafts[start..<min(start + 4096, count - tail)]), durable: false)
    }
    try writer.publish()
    try writer.append(contentsOf: Array(drafts[(count - tail)...]))
    try FixedWitness.cosign(directory)
  }

  /// A log of any lines whatever, with the tiles and the checkpoint that fit them: what its keeper can make.
  static func signed(_ entries: [[UInt8]], in directory: String, origin: String = "alder.example") throws {
    var builder = TileBuilder()
    for entry in entries { try builder.append(entry) }
    try VerdictTable.replace("\(directory)/journal", entries.flatMap { $0 + [0x0A] })
    let tiles = TileDirectory(path: directory)
    try tiles.write(builder.completed + builder.partials)
    let checkpoint = try SignedCheckpoint.signing(
      origin: OrganizationName(origin), size: builder.size, root: builder.root, key: Fixed.key())
    try tiles.write(checkpoint)
    try FixedWitness.cosign(directory)
  }

  static func fullDraft(_ event: AuditRecord.Event) throws -> AuditRecord.Draft {
    var draft = AuditRecord.Draft(event)
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
    let identifier = try #require(MessageIdentifier("m-1"))
    draft.message = .init(
      label: MessageLabel(id: identifier, kind: "maskedInput", stage: "MaskedInputCollection", resendOf: 3),
      chunks: [Array("pay".utf8), Array("load".utf8)])
    draft.messageID = identifier
    draft.maskedInput = .init(
      dimension: 50, counters: 3, bits: 32, masks: 5, clip: AuditDecimal("8"), localNoise: AuditDecimal(0.5),
      epsilonCharged: AuditDecimal("0.1"), epsilonTotal: AuditDecimal("1.25e-1"),
      commitment: Digest<CommitmentRole>(hashing: [7]))
    draft.model = ModelHash(hashing: [8])
    draft.program = ProgramHash(hashing: [9])
    try decide(&draft)
    return draft
  }

  private static func decide(_ draft: inout AuditRecord.Draft) throws {
    draft.cohortSizes = .init(u2: 5, u3: 4)
    draft.policy = .init(.allowed, rule: "cohort.minimum")
    draft.approver = "security officer \"A\\Z\" — Zoë"
    draft.purpose = "fraud-2026"
    draft.retention = "six-years"
    draft.outcome = .failed
    draft.error = .init(code: "tls-refused", blame: .peer)
    draft.receipt = .init(index: 9, leaf: LeafHash(hashing: [10]))
    draft.traffic = .init(
      plaintextBytes: 57, frames: [.settings: .init(frames: 1, bytes: 24)], headerLists: 0,
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
  }
}
