import ArgumentParser
import Cryptography
import Foundation
import Learning
import Training

/// What a command says when it fails: one line, what to do, and a status for scripts.
struct Failure: Sendable {
  let code: String
  let blame: Blame
  let message: String
  let remedy: String
  let status: Status

  /// The exit statuses of the program; zero is success.
  enum Status: Int32, Sendable {
    case done = 0
    case failed = 1
    case usage = 2
    /// A run stopped because too few organisations took part.
    case tooFewParticipants = 3
    /// A run ended with the model of an earlier round because a privacy budget is spent.
    case budgetSpent = 4
  }

  init(code: String, blame: Blame, message: String, remedy: String, status: Status? = nil) {
    self.code = code
    self.blame = blame
    // Some messages end in a full stop; one line of output has none.
    self.message = message.hasSuffix(".") ? String(message.dropLast()) : message
    self.remedy = remedy
    self.status = status ?? (blame == .participants ? .tooFewParticipants : .failed)
  }

  init(_ error: any Error) {
    switch error {
    case let error as CommandError:
      self.init(
        code: error.code, blame: error.blame, message: error.message, remedy: error.remedy,
        status: error.isUsage ? .usage : .failed)
    case let error as LearningError:
      let blame: String = error.blame
      self.init(local: error.code, blame, error.message, error.remedy)
    case let error as TrainingError:
      let blame: String = error.blame
      self.init(local: error.code, blame, error.message, error.remedy)
    case let error as RunFailure where error.kind == .budgetSpent:
      self.init(
        code: error.code, blame: error.blame, message: error.message, remedy: error.remedy, status: .budgetSpent)
    case let error as any BlamedError:
      self.init(code: error.code, blame: error.blame, message: error.message, remedy: error.remedy)
    case is CancellationError:
      self.init(code: "interrupted", blame: .caller, message: "interrupted", remedy: "Start the command again.")
    case _:
      self.init(
        code: "unexpected", blame: .local, message: error.localizedDescription,
        remedy: "Check the machine's disk and memory; if it happens again, report it with the command you gave.")
    }
  }

  /// Data that cannot be learned from blame the participants only inside a run; at the command line they are a failure.
  private init(local code: String, _ blame: String, _ message: String, _ remedy: String) {
    self.init(
      code: code, blame: Blame(rawValue: blame) ?? .local, message: message, remedy: remedy, status: .failed)
  }

  var json: JSONValue {
    .object([
      "error": .object([
        "code": .string(code), "blame": .string(blame.rawValue), "message": .string(message),
        "remedy": .string(remedy),
      ])
    ])
  }

  func report(to output: Output, asJSON: Bool) {
    if asJSON {
      output.json(json)
    } else {
      output.line("\("bauta:", .bad) \(Self.oneLine(message))")
      if !remedy.isEmpty { output.line("  → \(Self.oneLine(remedy))") }
    }
    output.flush()
  }

  private static func oneLine(_ text: String) -> String {
    text.split(whereSeparator: \.isNewline).joined(separator: " ")
  }
}

/// What is wrong with how a command was used, or with what it found, where no module below has an error of its own.
enum CommandError: BlamedError, Equatable {
  /// Arguments that contradict each other, or that are needed and missing.
  case usage(String, remedy: String)
  case missing(path: String, what: String)
  case exists(path: String)
  case unreadable(path: String, reason: String)
  case unwritable(path: String, reason: String)
  case tooLarge(path: String, limit: Int)
  case confirmationNeeded(what: String)
  case notConfirmed
  case outputFailed(reason: String)
  /// A file that is not what the command needs.
  case unsuitable(path: String, problem: String, remedy: String)
  /// What another error says, and the file it is about.
  case inFile(path: String, code: String, problem: String, remedy: String)

  static func about(_ path: String, _ error: some BlamedError) -> CommandError {
    .inFile(path: path, code: error.code, problem: error.message, remedy: error.remedy)
  }

  var isUsage: Bool {
    switch self {
    case .usage, .confirmationNeeded: true
    case .missing, .exists, .unreadable, .unwritable, .tooLarge, .notConfirmed, .outputFailed, .unsuitable, .inFile:
      false
    }
  }

  var code: String {
    switch self {
    case .usage: "usage"
    case .missing: "file-missing"
    case .exists: "file-exists"
    case .unreadable: "file-not-readable"
    case .unwritable: "file-not-writable"
    case .tooLarge: "file-too-large"
    case .confirmationNeeded: "confirmation-needed"
    case .notConfirmed: "not-confirmed"
    case .outputFailed: "output-failed"
    case .unsuitable: "file-unsuitable"
    case .inFile(_, let code, _, _): code
    }
  }

  var blame: Blame {
    switch self {
    case .usage, .missing, .exists, .unreadable, .tooLarge, .confirmationNeeded, .notConfirmed, .unsuitable,
      .inFile:
      .caller
    case .unwritable, .outputFailed: .local
    }
  }

  var message: String {
    switch self {
    case .usage(let problem, _): problem
    case .missing(let path, let what): "\(path): there is no such \(what)"
    case .exists(let path): "\(path) exists already"
    case .unreadable(let path, let reason): "cannot read \(path): \(reason)"
    case .unwritable(let path, let reason): "cannot write \(path): \(reason)"
    case .tooLarge(let path, let limit): "\(path) is larger than \(limit) bytes"
    case .confirmationNeeded(let what): "\(what) needs your confirmation, and there is no terminal to ask at"
    case .notConfirmed: "not confirmed; nothing was changed"
    case .outputFailed(let reason): "the result could not be written: \(reason)"
    case .unsuitable(let path, let problem, _), .inFile(let path, _, let problem, _): "\(path): \(problem)"
    }
  }

  var remedy: String {
    switch self {
    case .usage(_, let remedy): remedy
    case .missing: "Check the path."
    case .exists: "Choose another name, or move it away first; nothing is overwritten."
    case .unreadable: "Check the path and that you may read the file."
    case .unwritable: "Check that the directory exists, may be written to and has space."
    case .tooLarge: "Check that this is the file you meant."
    case .confirmationNeeded: "Read what it would do, then give --yes."
    case .notConfirmed: "Compare the fingerprints with the other side, then start the command again."
    case .outputFailed: "Check the disk or the program that reads the output."
    case .unsuitable(_, _, let remedy), .inFile(_, _, _, let remedy): remedy
    }
  }
}
