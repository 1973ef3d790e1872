import Cryptography

/// What a log commits to: its origin, its size and the root of its tree. Implements C2SP tlog-checkpoint.
public struct Checkpoint: Hashable, Sendable {
  public let origin: String
  public let size: UInt64
  public let root: TreeHash
  /// Further signed lines that others may have added; none of ours.
  public let extensionLines: [String]

  public init(origin: OrganizationName, size: UInt64, root: TreeHash) {
    self.origin = origin.value
    self.size = size
    self.root = root
    extensionLines = []
  }

  /// Reads the text of a checkpoint note.
  ///
  /// - Throws: `malformedCheckpoint`: the size must be decimal without leading zeros, the root canonical base64.
  public init(parsing text: [UInt8]) throws(TransparencyLogError) {
    guard text.last == 0x0A else { throw .malformedCheckpoint(.lineCount) }
    let lines = text.dropLast().split(separator: 0x0A, omittingEmptySubsequences: false)
      .map { String(decoding: $0, as: UTF8.self) }
    guard lines.count >= 3 else { throw .malformedCheckpoint(.lineCount) }
    guard !lines[0].isEmpty else { throw .malformedCheckpoint(.emptyOrigin) }
    guard let size = Self.parseSize(lines[1]) else { throw .malformedCheckpoint(.size) }
    guard let bytes = try? Base64.decode(lines[2], maximum: 64), let root = try? TreeHash(bytes: bytes),
      Base64.encode(bytes).utf8.elementsEqual(lines[2].utf8)
    else { throw .malformedCheckpoint(.root) }
    guard !lines.dropFirst(3).contains("") else { throw .malformedCheckpoint(.emptyExtension) }
    origin = lines[0]
    self.size = size
    self.root = root
    extensionLines = Array(lines.dropFirst(3))
  }

  /// The text that is signed, ending in a newline.
  public var text: String {
    ([origin, String(size), Base64.encode(root.bytes)] + extensionLines).map { $0 + "\n" }.joined()
  }

  static func parseSize(_ text: String) -> UInt64? {
    guard text.utf8.allSatisfy({ (0x30...0x39).contains($0) }), text == "0" || text.utf8.first != 0x30 else {
      return nil
    }
    return UInt64(text)
  }
}

/// A checkpoint together with the note that carries its signatures.
///
/// Parsing does not verify: ask `status(of:)`.
public struct SignedCheckpoint: Hashable, Sendable {
  /// A checkpoint has three short lines and a signature for each witness.
  public static let maximumBytes = 1 << 20

  public let checkpoint: Checkpoint
  public private(set) var note: SignedNote

  /// Signs a checkpoint under the name that is also its origin.
  public static func signing(
    origin: OrganizationName, size: UInt64, root: TreeHash, key: borrowing LogSigningKey
  ) throws(TransparencyLogError) -> SignedCheckpoint {
    let checkpoint = Checkpoint(origin: origin, size: size, root: root)
    var note = try SignedNote(text: checkpoint.text)
    try note.sign(name: origin, key: key)
    return SignedCheckpoint(checkpoint: checkpoint, note: note)
  }

  private init(checkpoint: Checkpoint, note: SignedNote) {
    self.checkpoint = checkpoint
    self.note = note
  }

  /// - Throws: `malformedNote`, `malformedCheckpoint`.
  public init(parsing bytes: [UInt8]) throws(TransparencyLogError) {
    guard bytes.count <= Self.maximumBytes else { throw .malformedNote(.tooLong) }
    note = try SignedNote(parsing: bytes)
    checkpoint = try Checkpoint(parsing: note.text)
  }

  public var serialized: [UInt8] { note.serialized }

  /// Whether the log's key has signed.
  public func status(of key: NoteVerifierKey<LogKeyRole>) -> NoteSignatureStatus { note.status(of: key) }

  /// The same with the lines of some keys of its log alone; nil if none of them has one.
  public func signed(onlyBy keys: [NoteVerifierKey<LogKeyRole>]) -> SignedCheckpoint? {
    let bare = note.keeping { line in keys.contains { $0.name == line.name && $0.id == line.keyID } }
    return bare.signatures.isEmpty ? nil : SignedCheckpoint(checkpoint: checkpoint, note: bare)
  }

  /// Adds a witness's cosignature; an earlier one of the same witness is replaced.
  public mutating func add(_ cosignature: Cosignature) throws(TransparencyLogError) {
    try note.add(cosignature.noteSignature)
  }

  /// The time at which a witness says that it saw this checkpoint, or why there is none.
  public func cosignature(by witness: NoteVerifierKey<WitnessKeyRole>) -> CosignatureStatus {
    guard let claimed = note.signature(by: witness) else { return .absent }
    guard let cosignature = try? Cosignature(claimed), cosignature.verifies(text: note.text, witness: witness) else {
      return .invalid
    }
    return .valid(time: cosignature.time)
  }
}
