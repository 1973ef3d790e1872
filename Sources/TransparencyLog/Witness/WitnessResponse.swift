import Cryptography

/// Why a witness does not cosign, apart from a conflict. The raw value is the HTTP status.
public enum WitnessRefusal: Int, Hashable, Sendable, CaseIterable {
  /// The request is malformed, or its old size is above that of its checkpoint.
  case badRequest = 400
  /// No key that is trusted for the log has signed the checkpoint, or a line claims so and is false.
  case notSigned = 403
  case unknownLog = 404
  /// The proof does not show that the checkpoint continues the one that the witness cosigned last.
  case notConsistent = 422

  public var explanation: String {
    switch self {
    case .badRequest: "the request is malformed or its old size is above the checkpoint's"
    case .notSigned: "no key that is trusted for this log has signed the checkpoint"
    case .unknownLog: "this witness does not know the log"
    case .notConsistent: "the proof does not show that the checkpoint continues the last one"
    }
  }
}

/// What a witness answers. Implements C2SP tlog-witness.
public enum WitnessResponse: Hashable, Sendable {
  public static let maximumBytes = 1 << 14
  public static let maximumSignatures = 64
  public static let sizeContentType = "text/x.tlog.size"

  /// Cosignatures; of any keys, so they must be verified.
  case cosigned([NoteSignature])
  /// The size of the checkpoint that the witness cosigned last. Naming the very size that was asked with says that it
  /// cosigned another root of that size.
  case conflict(size: UInt64)
  case refused(WitnessRefusal)

  /// - Throws: `answer`, `unexpectedStatus`. What a refusal says in words is not looked at.
  public init(status: Int, contentType: String?, body: [UInt8]) throws(WitnessMessageError) {
    guard body.count <= Self.maximumBytes else { throw .answer(.tooLong) }
    if let refusal = WitnessRefusal(rawValue: status) {
      self = .refused(refusal)
    } else if status == 200 {
      self = .cosigned(try Self.signatures(parsing: body))
    } else if status == 409 {
      guard contentType == Self.sizeContentType else { throw .answer(.contentType) }
      var reader = LineReader(body)
      guard let line = reader.next(maximum: 20), reader.rest.isEmpty, let size = Checkpoint.parseSize(line) else {
        throw .answer(.size)
      }
      self = .conflict(size: size)
    } else {
      throw .unexpectedStatus(status)
    }
  }

  public var status: Int {
    switch self {
    case .cosigned: 200
    case .conflict: 409
    case .refused(let refusal): refusal.rawValue
    }
  }

  public var contentType: String {
    switch self {
    case .cosigned, .refused: "text/plain; charset=utf-8"
    case .conflict: Self.sizeContentType
    }
  }

  public var body: [UInt8] {
    switch self {
    case .cosigned(let signatures): Array(signatures.map(\.line).joined().utf8)
    case .conflict(let size): Array("\(size)\n".utf8)
    case .refused(let refusal): Array("\(refusal.explanation)\n".utf8)
    }
  }

  private static func signatures(parsing body: [UInt8]) throws(WitnessMessageError) -> [NoteSignature] {
    guard !body.isEmpty else { throw .answer(.noSignature) }
    guard body.last == 0x0A else { throw .answer(.signatureLine) }
    let lines = body.split(separator: 0x0A, omittingEmptySubsequences: false).dropLast()
    guard lines.count <= maximumSignatures else { throw .answer(.tooManySignatures) }
    var signatures: [NoteSignature] = []
    for line in lines {
      do { signatures.append(try SignedNote.signature(parsing: line)) } catch { throw .answer(.signatureLine) }
    }
    return signatures
  }
}
