import Cryptography

/// Why a message between a log and a witness is not one. The rule that was broken, never the content: that is hostile.
public enum WitnessMessageError: BlamedError, Equatable {
  case request(RequestDefect)
  case answer(AnswerDefect)
  /// The checkpoint of a request.
  case checkpoint(TransparencyLogError)
  /// A status that the protocol does not know.
  case unexpectedStatus(Int)

  public enum RequestDefect: String, Sendable {
    case tooLong, oldSize, hashLine, tooManyHashes, unterminated
  }

  public enum AnswerDefect: String, Sendable {
    case tooLong, noSignature, signatureLine, tooManySignatures, contentType, size
  }

  public var code: String {
    switch self {
    case .request: "witness-request-malformed"
    case .answer: "witness-answer-malformed"
    case .checkpoint(let error): error.code
    case .unexpectedStatus: "witness-status-unexpected"
    }
  }

  public var blame: Blame { .peer }

  public var message: String {
    switch self {
    case .request(let defect): "the request to the witness is not valid: \(defect.explanation)"
    case .answer(let defect): "the witness's answer is not valid: \(defect.explanation)"
    case .checkpoint(let error): error.message
    case .unexpectedStatus(let status): "the witness answered with status \(status)"
    }
  }

  public var remedy: String {
    switch self {
    case .request, .checkpoint: "Send what C2SP tlog-witness describes under add-checkpoint."
    case .answer, .unexpectedStatus: "Check that the address is a witness's, and ask its keeper."
    }
  }
}

extension WitnessMessageError.RequestDefect {
  var explanation: String {
    switch self {
    case .tooLong: "it is longer than \(WitnessRequest.maximumBytes) bytes"
    case .oldSize: "its first line is not 'old' and a plain decimal number"
    case .hashLine: "a proof line is not 32 bytes in canonical base64"
    case .tooManyHashes: "it has more than \(WitnessRequest.maximumHashes) proof lines"
    case .unterminated: "no empty line separates the proof from the checkpoint"
    }
  }
}

extension WitnessMessageError.AnswerDefect {
  var explanation: String {
    switch self {
    case .tooLong: "it is too long"
    case .noSignature: "it has no signature line"
    case .signatureLine: "a line is not a signature line that ends in a newline"
    case .tooManySignatures: "it has too many signature lines"
    case .contentType: "a conflict is not of type \(WitnessResponse.sizeContentType)"
    case .size: "a conflict does not name a size in one plain decimal line"
    }
  }
}

/// Asks a witness to cosign a checkpoint: the body of `add-checkpoint`. Implements C2SP tlog-witness.
///
/// Nothing in it is verified by holding it: that is ``WitnessRule``'s.
public struct WitnessRequest: Hashable, Sendable {
  public static let maximumHashes = 63
  /// The proof and a checkpoint with some hundred signatures.
  public static let maximumBytes = 1 << 16

  /// Of the checkpoint that the witness cosigned last, as far as the log knows; 0 for none.
  public let oldSize: UInt64
  /// That the old tree is the beginning of the checkpoint's.
  public let hashes: [TreeHash]
  public let checkpoint: SignedCheckpoint

  /// - Throws: `request(.tooManyHashes)`, `request(.tooLong)` for a checkpoint with too many signatures.
  public init(oldSize: UInt64, hashes: [TreeHash], checkpoint: SignedCheckpoint) throws(WitnessMessageError) {
    guard hashes.count <= Self.maximumHashes else { throw .request(.tooManyHashes) }
    self.oldSize = oldSize
    self.hashes = hashes
    self.checkpoint = checkpoint
    guard serialized.count <= Self.maximumBytes else { throw .request(.tooLong) }
  }

  /// Reads a request as ``serialized`` writes it; there is one text for each.
  public init(parsing bytes: [UInt8]) throws(WitnessMessageError) {
    guard bytes.count <= Self.maximumBytes else { throw .request(.tooLong) }
    var reader = LineReader(bytes)
    guard let line = reader.next(maximum: 32), let text = LineReader.value(of: "old", in: line),
      let oldSize = Checkpoint.parseSize(text)
    else { throw .request(.oldSize) }
    self.oldSize = oldSize
    do { hashes = try reader.hashes(maximum: Self.maximumHashes) } catch {
      switch error {
      case .unterminated: throw .request(.unterminated)
      case .malformed: throw .request(.hashLine)
      case .tooMany: throw .request(.tooManyHashes)
      }
    }
    do { checkpoint = try SignedCheckpoint(parsing: reader.rest) } catch { throw .checkpoint(error) }
  }

  public var serialized: [UInt8] {
    Array("old \(oldSize)\n\(LineReader.text(of: hashes))".utf8) + checkpoint.serialized
  }

  var consistency: ConsistencyProof {
    ConsistencyProof(from: oldSize, to: checkpoint.checkpoint.size, hashes: hashes)
  }
}
