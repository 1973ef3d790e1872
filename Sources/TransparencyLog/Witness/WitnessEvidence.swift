import Cryptography

/// Two checkpoints that one log has signed and that do not go together, as a file that can be shown to anyone.
///
///     bauta/witness-evidence/1
///     kind splitView
///     time 1772357400
///     held 312
///     offered 310
///
/// and then, after an empty line, both signed notes as they stand; `held` and `offered` say how many bytes each has.
public struct WitnessEvidence: Hashable, Sendable {
  static let maximumBytes = 2 * WitnessRequest.maximumBytes + 256
  private static let schema = "bauta/witness-evidence/1"

  public let suspicion: WitnessSuspicion
  /// Unix seconds at which the second one came.
  public let time: UInt64
  /// The one that the witness had cosigned.
  public let held: SignedCheckpoint
  public let offered: SignedCheckpoint

  public init(_ suspicion: WitnessSuspicion, held: SignedCheckpoint, offered: SignedCheckpoint, time: UInt64) {
    self.suspicion = suspicion
    self.held = held
    self.offered = offered
    self.time = time
  }

  /// Reads a file of evidence, or returns nil. Signatures are not checked.
  public init?(parsing bytes: [UInt8]) {
    guard bytes.count <= Self.maximumBytes else { return nil }
    var reader = LineReader(bytes)
    func value(_ word: String) -> String? {
      reader.next(maximum: 64).flatMap { LineReader.value(of: word, in: $0) }
    }
    guard reader.next(maximum: 64) == Self.schema,
      let suspicion = value("kind").flatMap({ WitnessSuspicion(rawValue: $0) }),
      let time = value("time").flatMap({ Checkpoint.parseSize($0) }),
      let heldBytes = value("held").flatMap({ Checkpoint.parseSize($0) }),
      let offeredBytes = value("offered").flatMap({ Checkpoint.parseSize($0) }), reader.next(maximum: 1) == ""
    else { return nil }
    let rest = reader.rest
    guard heldBytes <= rest.count, offeredBytes == UInt64(rest.count) - heldBytes,
      let held = try? SignedCheckpoint(parsing: Array(rest[..<Int(heldBytes)])),
      let offered = try? SignedCheckpoint(parsing: Array(rest[Int(heldBytes)...]))
    else { return nil }
    self.init(suspicion, held: held, offered: offered, time: time)
  }

  public var serialized: [UInt8] {
    let (first, second) = (held.serialized, offered.serialized)
    let head = """
      \(Self.schema)
      kind \(suspicion.rawValue)
      time \(time)
      held \(first.count)
      offered \(second.count)


      """
    return Array(head.utf8) + first + second
  }

  /// The same for the same two checkpoints of one kind, whenever they were seen.
  var identifier: String {
    let pair = Array("\(held.checkpoint.text)\n\(offered.checkpoint.text)".utf8)
    return String(SHA256Digest(hashing: pair).hexadecimal.prefix(32))
  }
}
