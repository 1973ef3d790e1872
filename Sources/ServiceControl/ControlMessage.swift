public import Cryptography
import Foundation

/// What its owner asks of a service that runs in a directory: one JSON object on one line.
public struct ControlRequest: Codable, Sendable, Equatable {
  /// Bytes of a request, its newline included.
  static let maximumBytes = 1 << 20

  /// What to do, such as `status`; the service knows which there are.
  public let command: String
  public let arguments: [String: String]

  public init(_ command: String, _ arguments: [String: String] = [:]) {
    self.command = command
    self.arguments = arguments
  }

  /// An argument, or an error that names it.
  ///
  /// - Throws: ``ControlError/badRequest(_:)``.
  public func required(_ name: String) throws(ControlError) -> String {
    guard let value = arguments[name] else { throw .badRequest("it lacks '\(name)'") }
    return value
  }
}

/// Why a service could not be asked, or what it answered instead.
public enum ControlError: BlamedError, Equatable {
  /// Nothing runs in the directory.
  case notRunning(directory: String)
  /// Something runs in the directory already.
  case alreadyRunning(directory: String)
  case system(operation: String, path: String, reason: String)
  /// The service's answer ended before it was complete.
  case interrupted
  case malformedAnswer
  case badRequest(String)
  /// More requests at a time than a service takes.
  case busy
  /// What the service says of the request, in its words.
  case service(code: String, blame: Blame, message: String, remedy: String)

  public var code: String {
    switch self {
    case .notRunning: "service-not-running"
    case .alreadyRunning: "service-already-running"
    case .system: "control-socket"
    case .interrupted: "control-interrupted"
    case .malformedAnswer: "control-malformed"
    case .badRequest: "control-bad-request"
    case .busy: "control-busy"
    case .service(let code, _, _, _): code
    }
  }

  public var blame: Blame {
    switch self {
    case .notRunning, .alreadyRunning, .badRequest: .caller
    case .system, .interrupted, .malformedAnswer, .busy: .local
    case .service(_, let blame, _, _): blame
    }
  }

  public var message: String {
    switch self {
    case .notRunning(let directory): "no service runs in \(directory)"
    case .alreadyRunning(let directory): "a service runs in \(directory) already"
    case .system(let operation, let path, let reason): "cannot \(operation) \(path): \(reason)"
    case .interrupted: "the service ended before it had answered"
    case .malformedAnswer: "the service's answer cannot be read"
    case .badRequest(let what): "the request is not one that the service takes: \(what)"
    case .busy: "the service is answering \(ControlListener.maximumConnections) requests already"
    case .service(_, _, let message, _): message
    }
  }

  public var remedy: String {
    switch self {
    case .notRunning: "Start it: bauta server --directory DIR, or bauta client --stay --data FILE --directory DIR"
    case .alreadyRunning: "Stop it first, or ask it: bauta server status --directory DIR"
    case .system: "Check the directory, its permissions and the free space."
    case .interrupted: "See its log, and ask again."
    case .malformedAnswer, .badRequest: "Run the same release of bauta as the service."
    case .busy: "End a 'bauta run watch' that nobody needs, and ask again."
    case .service(_, _, _, let remedy): remedy
    }
  }
}

/// The last line of an answer.
struct ControlEnd: Codable {
  static let schema = "bauta/control-end/1"

  struct Failure: Codable {
    let code: String
    let blame: String
    let message: String
    let remedy: String
  }

  var schema = ControlEnd.schema
  /// Nil where the request was carried out.
  let error: Failure?

  init(_ error: (any Error)?) {
    self.error = error.map { error in
      guard let error = error as? any BlamedError else {
        return Failure(
          code: "unexpected", blame: Blame.local.rawValue, message: "unexpected failure: \(type(of: error))",
          remedy: "See the service's log.")
      }
      return Failure(code: error.code, blame: error.blame.rawValue, message: error.message, remedy: error.remedy)
    }
  }

  var failure: ControlError? {
    error.map {
      .service(code: $0.code, blame: Blame(rawValue: $0.blame) ?? .local, message: $0.message, remedy: $0.remedy)
    }
  }
}

/// Lines of JSON.
enum ControlLine {
  static func write(_ value: some Encodable) -> [UInt8] {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    guard let data = try? encoder.encode(value) else { return [0x0A] }
    return [UInt8](data) + [0x0A]
  }
}
