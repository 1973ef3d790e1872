import Cryptography
import FederationWire

/// A long instruction that arrives in parts, each asked for after the one before.
///
/// Parts follow each other without gap or overlap, and belong to the same bytes by their hash. Memory is bounded by
/// ``FederationWire/WireLimits/instructionBytes``, and so is the number of parts: one that is not the last has at least
/// ``minimumPartBytes``.
struct InstructionAssembly: Sendable {
  static let minimumPartBytes = 64 * 1024

  let instruction: UInt64
  let total: UInt64
  let hash: SHA256Digest
  private(set) var bytes: [UInt8] = []

  /// Begins with the first part.
  ///
  /// - Throws: ``ClientError/unexpected(_:)``.
  init(_ first: PartOfInstruction, of instruction: UInt64) throws(ClientError) {
    self.instruction = instruction
    total = first.total
    hash = first.hash
    try append(first)
  }

  private init(instruction: UInt64, goingOn earlier: InstructionAssembly) {
    self.instruction = instruction
    total = earlier.total
    hash = earlier.hash
    bytes = earlier.bytes
  }

  var isComplete: Bool { UInt64(bytes.count) == total }
  /// Where the next part begins.
  var next: InstructionPart { InstructionPart(instruction: instruction, offset: UInt64(bytes.count)) }

  /// Takes the part that was asked for.
  ///
  /// - Throws: ``ClientError/unexpected(_:)``: a part of other bytes, one that does not follow, or one that is too short.
  mutating func append(_ part: PartOfInstruction) throws(ClientError) {
    guard part.total == total, part.hash == hash else {
      throw .unexpected("a part of another instruction than the parts before")
    }
    guard part.offset == UInt64(bytes.count) else { throw .unexpected("a part that does not follow the part before") }
    guard part.total <= UInt64(WireLimits.instructionBytes), UInt64(part.bytes.count) <= total - part.offset else {
      throw .unexpected("a part beyond the end of its instruction")
    }
    // Shorter ones would let a server have this organisation record questions without end.
    guard UInt64(part.bytes.count) >= min(total - part.offset, UInt64(Self.minimumPartBytes)) else {
      throw .unexpected("a part that is too short")
    }
    bytes += part.bytes
  }

  /// The same bytes, announced again from their beginning under another number: goes on with what is there.
  ///
  /// - Returns: nil where the first part is not the beginning of what is there.
  func goingOn(with first: PartOfInstruction, of instruction: UInt64) -> InstructionAssembly? {
    guard first.total == total, first.hash == hash, first.offset == 0, bytes.starts(with: first.bytes) else {
      return nil
    }
    return InstructionAssembly(instruction: instruction, goingOn: self)
  }

  /// The whole, once it is complete.
  ///
  /// - Throws: ``ClientError/unexpected(_:)`` if the bytes are not those that were announced.
  func whole() throws(ClientError) -> [UInt8] {
    guard isComplete, SHA256Digest(hashing: bytes) == hash else {
      throw .unexpected("parts that do not make up the instruction that they are of")
    }
    return bytes
  }
}
