public import Cryptography
import NIOHTTP1
public import TransparencyLog

/// What happens while a log or a witness is served.
public enum LogServiceEvent: Sendable {
  case witness(WitnessEvent)
  /// A request was answered with status 500: nothing was cosigned.
  case failed(any BlamedError)
}

/// What a server serves: the files of a log, a witness, or both.
public struct LogSite: Sendable {
  let files: LogFiles?
  let witness: Witness?
  let onEvent: @Sendable (LogServiceEvent) -> Void

  /// - Parameters:
  ///   - logDirectory: the directory that holds `checkpoint` and `tile/`; nothing else in it is served.
  ///   - witness: answers `POST /add-checkpoint`.
  ///   - onEvent: called from any thread; it should not block for long.
  public init(
    logDirectory: String? = nil, witness: Witness? = nil,
    onEvent: @escaping @Sendable (LogServiceEvent) -> Void = { _ in }
  ) {
    files = logDirectory.map { LogFiles(directory: $0) }
    self.witness = witness
    self.onEvent = onEvent
  }

  /// What a request asks for, as its head says.
  enum Route: Sendable {
    case file(LogFiles, LogFiles.Resource, withBody: Bool)
    case addCheckpoint(Witness)
    case methodNotAllowed(allow: String)
    case notFound

    var maximumBodyBytes: Int {
      switch self {
      case .addCheckpoint: WitnessRequest.maximumBytes
      case .file, .methodNotAllowed, .notFound: 0
      }
    }
  }

  func route(_ method: HTTPMethod, _ target: String) -> Route {
    if let files, let resource = LogFiles.Resource(path: target) {
      switch method {
      case .GET: return .file(files, resource, withBody: true)
      case .HEAD: return .file(files, resource, withBody: false)
      case _: return .methodNotAllowed(allow: "GET, HEAD")
      }
    }
    if let witness, target.utf8.elementsEqual("/add-checkpoint".utf8) {
      return method == .POST ? .addCheckpoint(witness) : .methodNotAllowed(allow: "POST")
    }
    return .notFound
  }

  /// The answer to a request whose body is longer than its route takes: it is not read.
  func refusal(of route: Route) -> Answer {
    switch route {
    case .notFound, .methodNotAllowed: answer(route, body: [])
    case .file, .addCheckpoint: Answer(.payloadTooLarge)
    }
  }

  /// Reads a file's length, or asks the witness. Blocks for the time of a disk access.
  func answer(_ route: Route, body: [UInt8]) -> Answer {
    switch route {
    case .notFound: return Answer(.notFound)
    case .methodNotAllowed(let allow): return Answer(.methodNotAllowed, headers: [("Allow", allow)])
    case .file(let files, let resource, let withBody):
      guard let file = files.open(resource) else { return Answer(.notFound) }
      return Answer(
        status: .ok, headers: [("Cache-Control", resource.cacheControl)], contentType: resource.contentType,
        length: file.length, body: withBody ? .file(file) : .bytes([]))
    case .addCheckpoint(let witness):
      do {
        let outcome = try witness.answer(body: body)
        onEvent(.witness(outcome.event))
        let bytes = outcome.response.body
        return Answer(
          status: HTTPResponseStatus(statusCode: outcome.response.status), headers: [("Cache-Control", "no-store")],
          contentType: outcome.response.contentType, length: bytes.count, body: .bytes(bytes))
      } catch {
        onEvent(.failed(error))
        return Answer(.internalServerError)
      }
    }
  }
}

/// What is sent back.
struct Answer: Sendable {
  enum Body: Sendable {
    case bytes([UInt8])
    case file(OpenFile)
  }

  let status: HTTPResponseStatus
  let headers: [(String, String)]
  let contentType: String
  let length: Int
  let body: Body

  init(
    status: HTTPResponseStatus, headers: [(String, String)], contentType: String, length: Int, body: Body
  ) {
    self.status = status
    self.headers = headers
    self.contentType = contentType
    self.length = length
    self.body = body
  }

  /// One without content: its status in words.
  init(_ status: HTTPResponseStatus, headers: [(String, String)] = []) {
    let bytes = Array("\(status.reasonPhrase)\n".utf8)
    self.init(
      status: status, headers: headers + [("Cache-Control", "no-store")], contentType: "text/plain; charset=utf-8",
      length: bytes.count, body: .bytes(bytes))
  }
}
