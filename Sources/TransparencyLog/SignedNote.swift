import Cryptography

/// One signature line: who, which key, and what that key made of the text.
public struct NoteSignature: Hashable, Sendable {
  public let name: NoteKeyName
  public let keyID: NoteKeyID
  /// 64 bytes for Ed25519, 72 for a timestamped cosignature, anything for kinds we do not know.
  public let bytes: [UInt8]

  public init(name: NoteKeyName, keyID: NoteKeyID, bytes: [UInt8]) {
    self.name = name
    self.keyID = keyID
    self.bytes = bytes
  }

  /// `— name base64(keyID ‖ signature)`, newline included.
  public var line: String { "— \(name) \(Base64.encode(keyID.bytes + bytes))\n" }
}

/// Whether a note carries a key's signature.
public enum NoteSignatureStatus: Hashable, Sendable {
  case valid
  /// No line bears the key's name and ID.
  case absent
  /// A line claims to be the key's and is not.
  case invalid
}

/// Text with signatures, as people can read and mail it. Implements C2SP signed-note.
///
/// Holding one says nothing about its signatures: ask `status(of:)` with a key that you trust.
public struct SignedNote: Hashable, Sendable {
  public static let maximumBytes = 4 << 20
  public static let maximumSignatures = 4096
  /// Of kinds that we do not verify too: signed-note names almost 5 kB for those that withstand quantum computers.
  static let maximumSignatureBytes = 8192

  /// What is signed, final newline included.
  public let text: [UInt8]
  public private(set) var signatures: [NoteSignature]

  /// An unsigned note, to be signed.
  ///
  /// - Throws: `malformedNote` if the text is empty, not UTF-8, has a control character other than the newline, does
  ///   not end in a newline, or is too long.
  public init(text: [UInt8]) throws(TransparencyLogError) {
    try Self.validate(text)
    guard !text.isEmpty else { throw .malformedNote(.emptyText) }
    guard text.last == 0x0A else { throw .malformedNote(.textWithoutFinalNewline) }
    self.text = text
    signatures = []
  }

  public init(text: String) throws(TransparencyLogError) {
    try self.init(text: Array(text.utf8))
  }

  /// Reads a note that has at least one signature line.
  ///
  /// - Throws: `malformedNote`.
  public init(parsing note: [UInt8]) throws(TransparencyLogError) {
    try Self.validate(note)
    guard note.last == 0x0A else { throw .malformedNote(.signatureLine) }
    guard let blank = note.indices.dropLast().last(where: { note[$0] == 0x0A && note[$0 + 1] == 0x0A }) else {
      throw .malformedNote(.noSeparator)
    }
    guard blank > 0 else { throw .malformedNote(.emptyText) }
    text = Array(note[...blank])
    let lines = note[(blank + 2)...].split(separator: 0x0A, omittingEmptySubsequences: false).dropLast()
    guard !lines.isEmpty else { throw .malformedNote(.noSignature) }
    guard lines.count <= Self.maximumSignatures else { throw .malformedNote(.tooManySignatures) }
    var seen: Set<SignerKey> = []
    var signatures: [NoteSignature] = []
    for line in lines {
      let signature = try Self.signature(parsing: line)
      guard seen.insert(SignerKey(name: signature.name, id: signature.keyID)).inserted else {
        throw .malformedNote(.duplicateSignature)
      }
      signatures.append(signature)
    }
    self.signatures = signatures
  }

  public var textString: String { String(decoding: text, as: UTF8.self) }

  /// The note as it is stored and sent.
  public var serialized: [UInt8] {
    var note = text
    note.append(0x0A)
    for signature in signatures { note.append(contentsOf: signature.line.utf8) }
    return note
  }

  /// Adds a signature; one by the same key is replaced.
  ///
  /// - Throws: `malformedNote(.tooManySignatures)`.
  public mutating func add(_ signature: NoteSignature) throws(TransparencyLogError) {
    if let place = signatures.firstIndex(where: { $0.name == signature.name && $0.keyID == signature.keyID }) {
      signatures[place] = signature
      return
    }
    guard signatures.count < Self.maximumSignatures else { throw .malformedNote(.tooManySignatures) }
    signatures.append(signature)
  }

  /// The same with some of its lines.
  func keeping(_ isKept: (NoteSignature) -> Bool) -> SignedNote {
    var note = self
    note.signatures.removeAll { !isKept($0) }
    return note
  }

  /// Signs the text under an organisation's name.
  public mutating func sign<Role: NoteSigningRole>(
    name: OrganizationName, key: borrowing SigningKey<Role>
  ) throws(TransparencyLogError) {
    let made: Signature
    do { made = try key.signNote(text: text) } catch { throw .signing(error) }
    let verifier = NoteVerifierKey(organization: name, key: key.verifyingKey)
    try add(NoteSignature(name: verifier.name, keyID: verifier.id, bytes: made.bytes))
  }

  /// Whether `key` has signed this text.
  public func status<Role: NoteSigningRole>(of key: NoteVerifierKey<Role>) -> NoteSignatureStatus {
    guard let claimed = signature(by: key) else { return .absent }
    guard let signature = try? Signature(bytes: claimed.bytes) else { return .invalid }
    return key.key.verifyNote(signature, text: text) ? .valid : .invalid
  }

  func signature<Role>(by key: NoteVerifierKey<Role>) -> NoteSignature? {
    signatures.first { $0.keyID == key.id && $0.name == key.name }
  }

  private struct SignerKey: Hashable {
    let name: NoteKeyName
    let id: NoteKeyID
  }

  private static func validate(_ bytes: [UInt8]) throws(TransparencyLogError) {
    guard bytes.count <= maximumBytes else { throw .malformedNote(.tooLong) }
    guard bytes.allSatisfy({ ($0 >= 0x20 && $0 != 0x7F) || $0 == 0x0A }) else {
      throw .malformedNote(.controlCharacter)
    }
    guard String(validating: bytes, as: UTF8.self) != nil else { throw .malformedNote(.notUTF8) }
  }

  /// `— name base64(keyID ‖ signature)`, without the newline.
  static func signature(parsing line: ArraySlice<UInt8>) throws(TransparencyLogError) -> NoteSignature {
    let prefix = Array("— ".utf8)
    guard line.starts(with: prefix) else { throw .malformedNote(.signatureLine) }
    let parts = line.dropFirst(prefix.count).split(separator: 0x20, omittingEmptySubsequences: false)
    guard parts.count == 2,
      let name = String(validating: parts[0], as: UTF8.self).flatMap({ try? NoteKeyName($0) }),
      let text = String(validating: parts[1], as: UTF8.self),
      let blob = try? Base64.decode(text, maximum: maximumSignatureBytes), blob.count > 4,
      Base64.encode(blob).utf8.elementsEqual(text.utf8)
    else { throw .malformedNote(.signatureLine) }
    let id = NoteKeyID(blob.prefix(4).reduce(0) { $0 << 8 | UInt32($1) })
    return NoteSignature(name: name, keyID: id, bytes: Array(blob.dropFirst(4)))
  }
}
