public import AuditLog
public import Cryptography
public import TransparencyLog

/// Why a log or a witness cannot be served.
public enum LogServiceError: BlamedError, Equatable {
  /// The system's words.
  case cannotListen(address: String, reason: String)

  public var code: String {
    switch self {
    case .cannotListen: "log-service-listen"
    }
  }

  public var blame: Blame {
    switch self {
    case .cannotListen: .local
    }
  }

  public var message: String {
    switch self {
    case .cannotListen(let address, let reason): "cannot listen on \(address): \(reason)"
    }
  }

  public var remedy: String {
    switch self {
    case .cannotListen: "Choose another address or port, or stop what uses it."
    }
  }
}

/// Why there is no cosignature of a witness.
public enum WitnessClientError: BlamedError, Equatable {
  case malformedURL
  /// No connection, or it broke. The system's words.
  case unreachable(witness: String, reason: String)
  case timedOut(witness: String)
  /// The answer is not HTTP, too long, or not what a witness answers.
  case invalidAnswer(witness: String)
  case malformedMessage(witness: String, WitnessMessageError)
  case refused(witness: String, WitnessRefusal)
  /// The witness has cosigned more of our log than there is: our log was put back to an earlier state.
  case rolledBack(witness: String, size: UInt64)
  /// The witness has cosigned another root of this size: there are two histories of our log.
  case otherHistory(witness: String, size: UInt64)
  /// What the witness cosigned at this size is not the beginning of our log.
  case notConsistent(witness: String, size: UInt64)
  /// The witness named one size and then another: somebody else submits for our log at the same time.
  case conflict(witness: String, size: UInt64)
  /// No line of the answer is a cosignature of the witness's key over our checkpoint.
  case notCosigned(witness: String)
  /// Our own log could not give the proof.
  case log(TransparencyLogError)
  /// What was to be sent, or what became of it, could not be put on the record.
  case notRecorded(AuditLogError)

  public var code: String {
    switch self {
    case .malformedURL: "witness-url-malformed"
    case .unreachable: "witness-unreachable"
    case .timedOut: "witness-timed-out"
    case .invalidAnswer: "witness-answer-invalid"
    case .malformedMessage(_, let error): error.code
    case .refused: "witness-refused"
    case .rolledBack: "witness-log-rolled-back"
    case .otherHistory: "witness-other-history"
    case .notConsistent: "witness-not-consistent"
    case .conflict: "witness-conflict"
    case .notCosigned: "witness-not-cosigned"
    case .log(let error): error.code
    case .notRecorded(let error): error.code
    }
  }

  public var blame: Blame {
    switch self {
    case .malformedURL: .caller
    case .unreachable, .timedOut, .invalidAnswer, .malformedMessage, .refused, .conflict, .notCosigned: .peer
    case .rolledBack, .otherHistory, .notConsistent: .local
    case .log(let error): error.blame
    case .notRecorded(let error): error.blame
    }
  }

  public var message: String {
    switch self {
    case .malformedURL: "the address of a witness is not http://HOST[:PORT][/PREFIX]"
    case .unreachable(let witness, let reason): "the witness \(witness) cannot be reached: \(reason)"
    case .timedOut(let witness): "the witness \(witness) did not answer in time"
    case .invalidAnswer(let witness): "what answers for the witness \(witness) is not a witness"
    case .malformedMessage(let witness, let error): "witness \(witness): \(error.message)"
    case .refused(let witness, let refusal): "the witness \(witness) refused: \(refusal.explanation)"
    case .rolledBack(let witness, let size):
      "the witness \(witness) has cosigned \(size) entries of this log, which is more than there are"
    case .otherHistory(let witness, let size):
      "the witness \(witness) has cosigned another history of this log with \(size) entries"
    case .notConsistent(let witness, let size):
      "the \(size) entries that the witness \(witness) has cosigned are not the beginning of this log"
    case .conflict(let witness, let size):
      "the witness \(witness) says that it cosigned \(size) entries of this log, and said otherwise before"
    case .notCosigned(let witness): "the witness \(witness) answered without a cosignature of its key"
    case .log(let error): error.message
    case .notRecorded(let error): error.message
    }
  }

  public var remedy: String {
    switch self {
    case .malformedURL: "Give plain HTTP: what is sent is signed and public. For HTTPS, put a proxy in between."
    case .unreachable, .timedOut: "Check its address and that it runs; the next checkpoint is submitted again."
    case .invalidAnswer, .malformedMessage: "Check that the address is the witness's, and ask its keeper."
    case .refused: "Ask the witness's keeper whether it watches this log, with this log's key."
    case .rolledBack, .otherHistory, .notConsistent:
      "Stop, keep all files, run `bauta audit verify`, and compare with the witness: the log was restored from an "
        + "earlier copy, or changed."
    case .conflict: "Let one process submit the checkpoints of a log."
    case .notCosigned: "Compare the witness's verifier key with its keeper."
    case .log(let error): error.remedy
    case .notRecorded(let error): error.remedy
    }
  }
}
