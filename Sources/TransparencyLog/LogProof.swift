import Cryptography

/// Why a proof is not one. The place and the rule, never the content: that is hostile.
public enum LogProofError: BlamedError, Equatable {
  case malformed(Defect)
  /// The checkpoint at its end.
  case checkpoint(TransparencyLogError)

  public enum Defect: String, Sendable {
    case tooLong, firstLine, extra, extraTooLong, index, indexNotInTree, hashLine, tooManyHashes, unterminated
  }

  public var code: String {
    switch self {
    case .malformed: "log-proof-malformed"
    case .checkpoint(let error): error.code
    }
  }

  public var blame: Blame { .peer }

  public var message: String {
    switch self {
    case .malformed(let defect): "the proof is not valid: \(defect.explanation)"
    case .checkpoint(let error): "the checkpoint of the proof: \(error.message)"
    }
  }

  public var remedy: String { "Ask for the proof again; it is a text file that begins with \(LogProof.firstLine)." }
}

extension LogProofError.Defect {
  var explanation: String {
    switch self {
    case .tooLong: "it is longer than \(LogProof.maximumBytes) bytes"
    case .firstLine: "its first line is not \(LogProof.firstLine)"
    case .extra: "its extra line is not canonical base64 of at least one byte"
    case .extraTooLong: "its extra data is longer than \(LogProof.maximumExtraBytes) bytes"
    case .index: "it has no index line with a plain decimal number"
    case .indexNotInTree: "its index is not below the size of its checkpoint"
    case .hashLine: "a hash line is not 32 bytes in canonical base64"
    case .tooManyHashes: "it has more than \(LogProof.maximumHashes) hashes"
    case .unterminated: "no empty line separates its hashes from its checkpoint"
    }
  }
}

/// That an entry is in a log whose checkpoint, and who cosigned it, come along: all that a third party needs besides
/// the keys that it trusts. Implements C2SP tlog-proof, version 1.
///
/// Parsing does not verify: ask ``verify(leaf:log:witnesses:quorum:)``.
public struct LogProof: Hashable, Sendable {
  public static let fileExtension = "tlog-proof"
  /// A full entry fits in the extra data.
  public static let maximumExtraBytes = 65_535
  public static let maximumHashes = 64
  public static let maximumBytes = SignedCheckpoint.maximumBytes + (1 << 17)
  static let firstLine = "c2sp.org/tlog-proof@v1"

  /// Of the entry, below the size of the checkpoint.
  public let index: UInt64
  /// From the leaf's sibling upwards.
  public let hashes: [TreeHash]
  /// Whatever the author added: nothing authenticates it. Never empty.
  public let extra: [UInt8]?
  public let checkpoint: SignedCheckpoint

  /// - Parameter extra: empty is the same as none.
  /// - Throws: `malformed` when the index is not in the tree or something is too long.
  public init(
    index: UInt64, hashes: [TreeHash], checkpoint: SignedCheckpoint, extra: [UInt8]? = nil
  ) throws(LogProofError) {
    guard index < checkpoint.checkpoint.size else { throw .malformed(.indexNotInTree) }
    guard hashes.count <= Self.maximumHashes else { throw .malformed(.tooManyHashes) }
    guard extra?.count ?? 0 <= Self.maximumExtraBytes else { throw .malformed(.extraTooLong) }
    self.index = index
    self.hashes = hashes
    self.checkpoint = checkpoint
    self.extra = extra.flatMap { $0.isEmpty ? nil : $0 }
  }

  /// Reads a proof as ``serialized`` writes it; there is one text for each proof.
  public init(parsing bytes: [UInt8]) throws(LogProofError) {
    guard bytes.count <= Self.maximumBytes else { throw .malformed(.tooLong) }
    var reader = LineReader(bytes)
    guard let first = reader.next(maximum: 64), first.utf8.elementsEqual(Self.firstLine.utf8) else {
      throw .malformed(.firstLine)
    }
    var line = reader.next(maximum: 16 + (Self.maximumExtraBytes + 2) / 3 * 4)
    var extra: [UInt8]?
    if let text = line.flatMap({ LineReader.value(of: "extra", in: $0) }) {
      guard let decoded = try? Base64.decode(text, maximum: Self.maximumExtraBytes), !decoded.isEmpty else {
        throw .malformed(.extra)
      }
      extra = decoded
      line = reader.next(maximum: 32)
    }
    guard let text = line.flatMap({ LineReader.value(of: "index", in: $0) }), let index = Checkpoint.parseSize(text)
    else { throw .malformed(.index) }
    let hashes: [TreeHash]
    do { hashes = try reader.hashes(maximum: Self.maximumHashes) } catch {
      switch error {
      case .unterminated: throw .malformed(.unterminated)
      case .malformed: throw .malformed(.hashLine)
      case .tooMany: throw .malformed(.tooManyHashes)
      }
    }
    let checkpoint: SignedCheckpoint
    do { checkpoint = try SignedCheckpoint(parsing: reader.rest) } catch { throw .checkpoint(error) }
    try self.init(index: index, hashes: hashes, checkpoint: checkpoint, extra: extra)
  }

  public var serialized: [UInt8] {
    let extraLine = extra.map { "extra \(Base64.encode($0))\n" } ?? ""
    let head = "\(Self.firstLine)\n\(extraLine)index \(index)\n\(LineReader.text(of: hashes))"
    return Array(head.utf8) + checkpoint.serialized
  }

  public var inclusion: InclusionProof {
    InclusionProof(index: index, size: checkpoint.checkpoint.size, hashes: hashes)
  }
}

/// What holding a proof against keys and an entry has shown.
public struct LogProofVerification: Hashable, Sendable {
  public enum Failure: Hashable, Sendable {
    /// The checkpoint is of another log than the key.
    case foreignOrigin
    /// The checkpoint does not bear the signature of the log's key, or bears one that is not valid.
    case notSigned(NoteSignatureStatus)
    /// The entry is not at this place of the tree.
    case notIncluded
    /// A witness's line is not its cosignature.
    case invalidCosignature(NoteKeyName)
    case tooFewWitnesses(found: Int, needed: Int)

    public var message: String {
      switch self {
      case .foreignOrigin: "the checkpoint is of another log than the key"
      case .notSigned(.invalid): "the log's signature on the checkpoint is not valid"
      case .notSigned(.absent), .notSigned(.valid): "the log's key has not signed the checkpoint"
      case .notIncluded: "the entry is not in the log at this place"
      case .invalidCosignature(let name): "the cosignature of \(name) is not valid"
      case .tooFewWitnesses(let found, let needed): "\(found) witnesses cosigned; \(needed) are needed"
      }
    }
  }

  /// A witness that cosigned, and when: Unix seconds.
  public struct Cosigner: Hashable, Sendable {
    public let name: NoteKeyName
    public let time: UInt64
  }

  public let cosigners: [Cosigner]
  public let failures: [Failure]
  public var isValid: Bool { failures.isEmpty }
}

extension LogProof {
  /// Holds the proof against an entry and the keys that the reader trusts; needs nothing else.
  ///
  /// - Parameters:
  ///   - leaf: the hash of the entry: `MerkleHashing.leaf`.
  ///   - log: the log's key; its name is the origin that is expected.
  ///   - witnesses: one key under two names, or twice, counts once.
  ///   - quorum: how many of them must have cosigned.
  public func verify(
    leaf: LeafHash, log: NoteVerifierKey<LogKeyRole>, witnesses: [NoteVerifierKey<WitnessKeyRole>] = [],
    quorum: Int = 0
  ) -> LogProofVerification {
    var failures: [LogProofVerification.Failure] = []
    if !checkpoint.checkpoint.origin.utf8.elementsEqual(log.name.value.utf8) { failures.append(.foreignOrigin) }
    let status = checkpoint.status(of: log)
    if status != .valid { failures.append(.notSigned(status)) }
    if !inclusion.verifies(leaf: leaf, root: checkpoint.checkpoint.root) { failures.append(.notIncluded) }
    var cosigners: [LogProofVerification.Cosigner] = []
    var counted: Set<WitnessVerifyingKey> = []
    for witness in witnesses {
      switch checkpoint.cosignature(by: witness) {
      case .valid(let time):
        guard counted.insert(witness.key).inserted else { continue }
        cosigners.append(LogProofVerification.Cosigner(name: witness.name, time: time))
      case .absent: break
      case .invalid: failures.append(.invalidCosignature(witness.name))
      }
    }
    if cosigners.count < quorum { failures.append(.tooFewWitnesses(found: cosigners.count, needed: quorum)) }
    return LogProofVerification(cosigners: cosigners, failures: failures)
  }
}

extension TileReader {
  /// A proof for the entry at `index` under the checkpoint that lies beside the tiles.
  ///
  /// It believes the tiles: hold the proof against the log's key before it goes out.
  ///
  /// - Parameter includingEntry: the entry itself travels as the extra data, so that the proof stands alone.
  /// - Throws: `outOfRange` for an entry that no checkpoint covers yet, and file errors.
  public static func proof(
    directory: TileDirectory, index: UInt64, includingEntry: Bool
  ) throws(TransparencyLogError) -> LogProof {
    guard let checkpoint = try directory.checkpoint() else {
      throw .missingFile(path: "\(directory.path)/checkpoint")
    }
    let size = checkpoint.checkpoint.size
    let reader = TileReader(directory: directory, size: size)
    guard let inclusion = try reader.inclusionProof(index: index) else {
      throw .outOfRange(requested: index, size: size)
    }
    let entry = includingEntry ? try reader.entry(at: index) : nil
    do {
      return try LogProof(index: index, hashes: inclusion.hashes, checkpoint: checkpoint, extra: entry)
    } catch { throw .outOfRange(requested: index, size: size) }
  }
}
