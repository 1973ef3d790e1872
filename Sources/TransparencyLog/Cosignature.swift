import Cryptography

/// Whether a checkpoint carries a witness's cosignature.
public enum CosignatureStatus: Hashable, Sendable {
  /// Unix seconds at which the witness signed.
  case valid(time: UInt64)
  case absent
  case invalid
}

/// A witness's statement that, at a time, a checkpoint was consistent with all it had seen of that log.
///
/// Implements cosignature/v1 of C2SP tlog-cosignature (signature type 0x04). Whoever makes one must have checked
/// consistency before: this type cannot.
public struct Cosignature: Hashable, Sendable {
  public let name: NoteKeyName
  public let keyID: NoteKeyID
  /// Unix seconds, 1 to 2⁶³ − 1.
  public let time: UInt64
  public let signature: Signature

  /// Signs a checkpoint.
  ///
  /// - Throws: `malformedCosignature` when the time is out of range, `signing`.
  public init(
    of checkpoint: Checkpoint, name: OrganizationName, key: borrowing WitnessSigningKey, time: UInt64
  ) throws(TransparencyLogError) {
    guard Self.isInRange(time) else { throw .malformedCosignature }
    do {
      signature = try key.signNote(text: Self.message(time: time, text: Array(checkpoint.text.utf8)))
    } catch { throw .signing(error) }
    let verifier = NoteVerifierKey(organization: name, key: key.verifyingKey)
    self.name = verifier.name
    keyID = verifier.id
    self.time = time
  }

  /// Reads the signature line of a cosignature.
  ///
  /// - Throws: `malformedCosignature`.
  public init(_ line: NoteSignature) throws(TransparencyLogError) {
    guard line.bytes.count == 72, let signature = try? Signature(bytes: Array(line.bytes.dropFirst(8))) else {
      throw .malformedCosignature
    }
    let time = line.bytes.prefix(8).reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
    guard Self.isInRange(time) else { throw .malformedCosignature }
    name = line.name
    keyID = line.keyID
    self.time = time
    self.signature = signature
  }

  public var noteSignature: NoteSignature {
    let encodedTime = (0..<8).map { UInt8(truncatingIfNeeded: time >> (56 - 8 * UInt64($0))) }
    return NoteSignature(name: name, keyID: keyID, bytes: encodedTime + signature.bytes)
  }

  /// Whether `witness` signed this time with the text of a checkpoint.
  public func verifies(text: [UInt8], witness: NoteVerifierKey<WitnessKeyRole>) -> Bool {
    name == witness.name && keyID == witness.id
      && witness.key.verifyNote(signature, text: Self.message(time: time, text: text))
  }

  private static func isInRange(_ time: UInt64) -> Bool { time > 0 && time <= UInt64(Int64.max) }

  private static func message(time: UInt64, text: [UInt8]) -> [UInt8] {
    Array("cosignature/v1\ntime \(time)\n".utf8) + text
  }
}
