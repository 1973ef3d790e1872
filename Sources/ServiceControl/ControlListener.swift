import Cryptography
import Foundation
import Synchronization

/// The service's end: takes requests of its owner, and answers each with lines of JSON until it is done.
///
/// A request can do whatever the service lets its owner do, so who may open the socket is who may operate the service:
/// the directory is 0700, the socket 0600, and the kernel says whose process is at the other end.
public final class ControlListener: Sendable {
  /// Requests that are answered at a time.
  public static let maximumConnections = 16

  /// Answers one request: yields lines, each one JSON object without newlines, and returns or throws.
  public typealias Handler = @Sendable (ControlRequest, ControlAnswer) async throws -> Void

  private struct State {
    var connections: Set<Int32> = []
    var isClosed = false
  }

  private let directory: String
  private let socket: Int32
  private let handler: Handler
  private let state = Mutex(State())

  /// Listens from now on. The caller holds the lock of the directory's log, so that no other service runs in it.
  ///
  /// - Throws: ``ControlError``.
  public init(directory: String, handler: @escaping Handler) throws(ControlError) {
    self.directory = directory
    self.handler = handler
    socket = try ControlSocket.listen(in: directory)
    let thread = Thread { [self] in acceptAll() }
    thread.name = "control"
    thread.start()
  }

  /// Waits until every answer that is being given is complete, but no longer than a second: before ``close()``, so that who
  /// watches a run is told how it ended.
  public func finishAnswers() async {
    for _ in 0..<100 where state.withLock({ !$0.connections.isEmpty }) {
      try? await Task.sleep(for: .milliseconds(10))
    }
  }

  /// Takes no request any more, and ends the answers that are being given.
  public func close() {
    state.withLock { state in
      guard !state.isClosed else { return }
      state.isClosed = true
      unlink(ControlSocket.path(in: directory))
      shutdown(socket, Int32(SHUT_RDWR))
      // Within the lock: none of them is closed meanwhile, so that each number is still that connection's.
      for connection in state.connections { shutdown(connection, Int32(SHUT_RDWR)) }
    }
  }

  private func acceptAll() {
    while true {
      let connection = accept(socket, nil, nil)
      if connection < 0 {
        if state.withLock({ $0.isClosed }) { break }
        // Out of descriptors, or a peer that gave up: neither ends the service.
        usleep(50_000)
        continue
      }
      _ = fcntl(connection, F_SETFD, FD_CLOEXEC)
      take(connection)
    }
    Glibc.close(socket)
  }

  private func take(_ connection: Int32) {
    guard ControlSocket.isTrusted(connection) else {
      Glibc.close(connection)
      return
    }
    ControlSocket.limitStalls(of: connection, reading: true)
    let isAdmitted = state.withLock { state in
      guard !state.isClosed, state.connections.count < Self.maximumConnections else { return false }
      state.connections.insert(connection)
      return true
    }
    guard isAdmitted else {
      _ = ControlSocket.write(ControlLine.write(ControlEnd(ControlError.busy)), to: connection)
      Glibc.close(connection)
      return
    }
    let thread = Thread { [self] in serve(connection) }
    thread.start()
  }

  private func serve(_ connection: Int32) {
    var reader = ControlReader(socket: connection, maximumBytes: ControlRequest.maximumBytes)
    guard case .line(let line) = reader.next(),
      let request = try? JSONDecoder().decode(ControlRequest.self, from: Data(line))
    else {
      finish(connection, ControlError.badRequest("it is not one line of JSON"))
      return
    }
    let answer = ControlAnswer(socket: connection)
    let done = DispatchSemaphore(value: 0)
    let failure = Mutex<(any Error)?>(nil)
    let task = Task { [handler] in
      do { try await handler(request, answer) } catch { failure.withLock { $0 = error } }
      // The descriptor is closed after the signal, and its number may be another's then.
      shutdown(connection, Int32(SHUT_RD))
      done.signal()
    }
    // Nothing more is expected: whoever asked has gone when this returns, or the answer is complete.
    waitForEnd(of: connection)
    task.cancel()
    done.wait()
    finish(connection, failure.withLock { $0 })
  }

  private func waitForEnd(of connection: Int32) {
    var byte: UInt8 = 0
    while true {
      let count = recv(connection, &byte, 1, 0)
      if count < 0, errno == EINTR || errno == EAGAIN || errno == EWOULDBLOCK { continue }
      // More than one line is no request of ours.
      return
    }
  }

  private func finish(_ connection: Int32, _ error: (any Error)?) {
    _ = ControlSocket.write(ControlLine.write(ControlEnd(error)), to: connection)
    state.withLock { state in
      _ = state.connections.remove(connection)
      Glibc.close(connection)
    }
  }
}

/// Where the lines of one answer go.
public final class ControlAnswer: Sendable {
  private let socket: Int32
  private let lock = Mutex(())

  init(socket: Int32) { self.socket = socket }

  /// Sends one line.
  ///
  /// - Parameter line: one JSON object without newlines.
  /// - Throws: ``ControlError/interrupted`` if nobody reads it.
  public func send(_ line: String) throws(ControlError) {
    let bytes = line.utf8.filter { $0 != 0x0A } + [0x0A]
    guard lock.withLock({ _ in ControlSocket.write(Array(bytes), to: socket) }) else { throw .interrupted }
  }
}
