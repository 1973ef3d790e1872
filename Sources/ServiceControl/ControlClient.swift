import Cryptography
import Foundation

/// The owner's end: asks the service that runs in a directory.
public enum ControlClient {
  /// Longest line of an answer.
  static let maximumLineBytes = 16 << 20

  /// Whether a service runs in a directory.
  public static func isRunning(in directory: String) -> Bool {
    guard let socket = try? ControlSocket.open(in: directory) else { return false }
    close(socket)
    return true
  }

  /// Sends one request and reads the answer to its end. Blocks the calling thread.
  ///
  /// - Parameter line: is given every line as it comes, one JSON object each.
  /// - Throws: ``ControlError``: `notRunning` where no service runs, `service` with what the service says.
  public static func send(
    _ request: ControlRequest, to directory: String, line use: (String) -> Void = { _ in }
  ) throws(ControlError) {
    let socket = try ControlSocket.open(in: directory)
    defer { close(socket) }
    ControlSocket.limitStalls(of: socket, reading: false)
    guard ControlSocket.write(ControlLine.write(request), to: socket) else { throw .interrupted }
    var reader = ControlReader(socket: socket, maximumBytes: maximumLineBytes)
    while true {
      switch reader.next() {
      case .line(let bytes):
        if let end = try? JSONDecoder().decode(ControlEnd.self, from: Data(bytes)), end.schema == ControlEnd.schema {
          if let failure = end.failure { throw failure }
          return
        }
        guard let text = String(validating: bytes, as: UTF8.self) else { throw .malformedAnswer }
        use(text)
      case .end, .failed: throw .interrupted
      case .tooLong: throw .malformedAnswer
      }
    }
  }

  /// Sends one request and returns the answer's lines.
  ///
  /// - Throws: ``ControlError``.
  public static func ask(_ request: ControlRequest, of directory: String) throws(ControlError) -> [String] {
    var lines: [String] = []
    try send(request, to: directory) { lines.append($0) }
    return lines
  }
}
