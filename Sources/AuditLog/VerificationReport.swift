import Cryptography
import TransparencyLog

/// What an offline verification of one log checked, what it found, and what it could not check.
public struct VerificationReport: Hashable, Sendable {
  public static let schema = "bauta/audit-verify/1"

  public enum Result: String, Sendable { case passed, failed, notChecked }

  public enum CheckName: String, Sendable, CaseIterable {
    /// The checkpoint parses and the log's key signed it.
    case checkpoint
    /// Known witnesses cosigned the checkpoint, or the earlier one in `checkpoint.cosigned`, as many as the policy asks
    /// for; and the earlier one is signed by the log's key and the beginning of the log.
    case cosignatures
    /// Each line is canonical JSON of the schema, in sequence, chained to the one before.
    case journal
    /// The journal's entries give the root that the checkpoint was signed over.
    case root
    /// Every hash in every tile, at every level, is that of the journal's entries.
    case tiles
    /// Every entry in every bundle is the journal's.
    case entryBundles
    /// All files that a log of this size has are there, and no others.
    case layout
    /// Entries after the checkpoint.
    case unsignedTail
    /// Recorded bytes against bytes on the wire.
    case byteAccounting
  }

  public struct Check: Hashable, Sendable {
    public let name: CheckName
    public let result: Result
    /// File, entry and byte, relative to the log's directory; empty when the check is about the whole log.
    public let at: String
    public let detail: String
  }

  /// The log's directory.
  public let log: String
  /// From the checkpoint; nil without one that parses.
  public let origin: String?
  public let size: UInt64?
  public let root: TreeHash?
  /// Entries after the checkpoint.
  public let unsignedTail: UInt64
  /// Entries that are no longer kept, as a record in the log says; their hashes are, and were checked.
  public let pruned: UInt64
  public let checks: [Check]

  /// True if the checkpoint is authentic and nothing failed. What was not checked does not count: read the list.
  public var verified: Bool {
    checks.contains { $0.name == .checkpoint && $0.result == .passed } && !checks.contains { $0.result == .failed }
  }

  /// `pruned` is there only if it is not 0.
  public var json: CanonicalJSON {
    var members: [String: CanonicalJSON] = [
      "schema": .string(Self.schema),
      "log": .string(log),
      "origin": origin.map { .string($0) } ?? .null,
      "size": size.map { .integer(Int64(clamping: $0)) } ?? .null,
      "root": root.map { .string($0.hexadecimal) } ?? .null,
      "verified": .boolean(verified),
      "unsignedTail": .integer(Int64(clamping: unsignedTail)),
      "checks": .array(
        checks.map { check in
          .object([
            "name": .string(check.name.rawValue), "result": .string(check.result.rawValue),
            "at": .string(check.at), "detail": .string(check.detail),
          ])
        }),
    ]
    if pruned > 0 { members["pruned"] = .integer(Int64(clamping: pruned)) }
    return .object(members)
  }
}

/// Which witnesses count, and how many of them must have cosigned.
public struct CosignerPolicy: Hashable, Sendable {
  public let witnesses: [NoteVerifierKey<WitnessKeyRole>]
  public let quorum: Int

  /// - Parameter witnesses: each counts once, however often it is named.
  public init(witnesses: [NoteVerifierKey<WitnessKeyRole>], quorum: Int) {
    var seen: Set<NoteVerifierKey<WitnessKeyRole>> = []
    self.witnesses = witnesses.filter { seen.insert($0).inserted }
    self.quorum = quorum
  }

  /// How many of them have cosigned a checkpoint; one key counts once, under whatever names.
  func cosigners(of checkpoint: SignedCheckpoint) -> Int {
    let valid = witnesses.filter { if case .valid = checkpoint.cosignature(by: $0) { true } else { false } }
    return Set(valid.map(\.key)).count
  }
}
