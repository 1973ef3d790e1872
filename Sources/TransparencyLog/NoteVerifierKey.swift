import Cryptography

/// The name of a key in a signed note: not empty, no white space, no control character, no plus sign.
///
/// Our own keys carry organisation names; others' (a public witness) may be any such name.
public struct NoteKeyName: Hashable, Sendable, CustomStringConvertible {
  public static let maximumBytes = 255

  public let value: String

  /// - Throws: `malformedKeyName`.
  public init(_ text: String) throws(TransparencyLogError) {
    let isAllowed = text.unicodeScalars.allSatisfy { scalar in
      !scalar.properties.isWhitespace && scalar.value >= 0x20 && !(0x7F...0x9F).contains(scalar.value)
        && scalar != "+"
    }
    guard !text.isEmpty, text.utf8.count <= Self.maximumBytes, isAllowed else {
      throw .malformedKeyName
    }
    value = text
  }

  public init(_ organization: OrganizationName) {
    value = organization.value
  }

  public var description: String { value }

  public static func == (left: NoteKeyName, right: NoteKeyName) -> Bool {
    // By bytes: `String` compares by canonical equivalence.
    left.value.utf8.elementsEqual(right.value.utf8)
  }

  public func hash(into hasher: inout Hasher) {
    for byte in value.utf8 { hasher.combine(byte) }
  }
}

/// How a key signs, as the first byte of its encoding says.
public enum NoteSignatureType: UInt8, Sendable {
  /// The text of the note.
  case ed25519 = 0x01
  /// A time and the text of a checkpoint: C2SP tlog-cosignature, version 1.
  case timestampedCosignature = 0x04
}

/// A key role that may appear in a signed note.
public protocol NoteKeyRole: KeyRole {
  static var noteSignatureType: NoteSignatureType { get }
}

/// A role whose keys sign the text of a note as it is; a witness key never does.
public protocol NoteSigningRole: NoteKeyRole {}

extension NoteSigningRole {
  public static var noteSignatureType: NoteSignatureType { .ed25519 }
}

extension IdentityKeyRole: NoteSigningRole {}
extension LogKeyRole: NoteSigningRole {}
extension WitnessKeyRole: NoteKeyRole {
  public static var noteSignatureType: NoteSignatureType { .timestampedCosignature }
}

/// The four bytes by which a signature line points to its key. Not an identifier to trust: collisions are cheap.
public struct NoteKeyID: Hashable, Sendable, CustomStringConvertible {
  public let value: UInt32

  public init(_ value: UInt32) {
    self.value = value
  }

  /// SHA-256(name ‖ 0x0A ‖ type ‖ public key), the first four bytes.
  public init(name: NoteKeyName, type: NoteSignatureType, publicKey: [UInt8]) {
    let digest = SHA256Digest(hashing: Array(name.value.utf8) + [0x0A, type.rawValue] + publicKey)
    value = digest.bytes.prefix(4).reduce(0) { $0 << 8 | UInt32($1) }
  }

  public var bytes: [UInt8] { (0..<4).map { UInt8(truncatingIfNeeded: value >> (24 - 8 * $0)) } }

  public var description: String { Hexadecimal.encode(bytes) }
}

/// A named public key as it stands in a `.vkey` file: `name+keyID+base64(type ‖ key)` (C2SP signed-note).
public struct NoteVerifierKey<Role: NoteKeyRole>: Hashable, Sendable, CustomStringConvertible {
  public let name: NoteKeyName
  public let key: VerifyingKey<Role>
  public let id: NoteKeyID

  public init(name: NoteKeyName, key: VerifyingKey<Role>) {
    self.name = name
    self.key = key
    id = NoteKeyID(name: name, type: Role.noteSignatureType, publicKey: key.bytes)
  }

  public init(organization: OrganizationName, key: VerifyingKey<Role>) {
    self.init(name: NoteKeyName(organization), key: key)
  }

  /// Reads the one line of a `.vkey` file; one final newline is allowed.
  ///
  /// - Throws: `malformedVerifierKey` with what is wrong, `malformedKeyName`.
  public init(_ text: String) throws(TransparencyLogError) {
    var line = Array(text.utf8)
    guard line.count <= 512 else { throw .malformedVerifierKey(.tooLong) }
    if line.last == 0x0A { line.removeLast() }
    // Only the first two plus signs separate: base64 may hold more.
    let parts = line.split(separator: 0x2B, maxSplits: 2, omittingEmptySubsequences: false)
    guard parts.count == 3, parts[1].count == 8,
      let nameText = String(validating: parts[0], as: UTF8.self),
      let keyText = String(validating: parts[2], as: UTF8.self),
      let encodedID = String(validating: parts[1], as: UTF8.self)
    else { throw .malformedVerifierKey(.shape) }
    let name = try NoteKeyName(nameText)
    guard let encoded = try? Base64.decode(keyText, maximum: 64), let type = encoded.first else {
      throw .malformedVerifierKey(.shape)
    }
    guard type == Role.noteSignatureType.rawValue else { throw .malformedVerifierKey(.wrongSignatureType) }
    guard let key = try? VerifyingKey<Role>(bytes: Array(encoded.dropFirst())) else {
      throw .malformedVerifierKey(.invalidKey)
    }
    self.init(name: name, key: key)
    guard encodedID == id.description else { throw .malformedVerifierKey(.keyIDMismatch) }
  }

  /// The line without a newline.
  public var text: String { "\(name)+\(id)+\(Base64.encode([Role.noteSignatureType.rawValue] + key.bytes))" }

  public var description: String { text }

  /// The name as an organisation's, if it is one.
  public var organization: OrganizationName? { try? OrganizationName(name.value) }
}
