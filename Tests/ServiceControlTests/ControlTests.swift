import Cryptography
import Foundation
import Synchronization
import Testing

@testable import ServiceControl

/// Away from the pool on which the service answers: these calls block.
private func blocking<Value: Sendable>(_ body: @escaping @Sendable () throws -> Value) async throws -> Value {
  try await withCheckedThrowingContinuation { continuation in
    Thread { continuation.resume(with: Result(catching: body)) }.start()
  }
}

@Suite("Operator's socket")
struct ControlTests {
  struct Fault: BlamedError {
    let code = "run-unknown"
    let blame = Blame.caller
    let message = "no such run"
    let remedy = "See: bauta run list"
  }

  private func temporaryDirectory(_ name: String = "") throws -> String {
    let path = NSTemporaryDirectory() + "control-\(UUID().uuidString)" + name
    try FileManager.default.createDirectory(
      atPath: path, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
    return path
  }

  private func listen(in directory: String) throws -> ControlListener {
    try ControlListener(directory: directory) { request, answer in
      switch request.command {
      case "echo": try answer.send("{\"text\":\"\(try request.required("text"))\"}")
      case "count": for index in 0..<500 { try answer.send("{\"index\":\(index)}") }
      case "wait":
        try answer.send("{}")
        try await Task.sleep(for: .seconds(600))
      default: throw Fault()
      }
    }
  }

  @Test(
    "Requests are answered line by line, and errors come with code, blame and remedy",
    arguments: ["", String(repeating: "/long-name-of-a-folder", count: 20)])
  func answers(suffix: String) async throws {
    try await blocking { try self.answersBlocking(suffix) }
  }

  private func answersBlocking(_ suffix: String) throws {
    let directory = try temporaryDirectory(suffix)
    #expect(throws: ControlError.notRunning(directory: directory)) {
      try ControlClient.ask(.init("echo"), of: directory)
    }
    let listener = try listen(in: directory)
    defer { listener.close() }
    #expect(ControlClient.isRunning(in: directory))
    #expect(try ControlClient.ask(.init("echo", ["text": "é"]), of: directory) == ["{\"text\":\"é\"}"])
    #expect(try ControlClient.ask(.init("count"), of: directory).count == 500)
    #expect(
      throws: ControlError.service(
        code: "run-unknown", blame: .caller, message: "no such run", remedy: "See: bauta run list")
    ) {
      try ControlClient.ask(.init("other"), of: directory)
    }
    #expect { try ControlClient.ask(.init("echo"), of: directory) } throws: {
      ($0 as? ControlError)?.code == "control-bad-request"
    }
  }

  @Test("Only the owner can open it; it is gone with the service, and a dead one is replaced")
  func life() async throws {
    try await blocking { try self.lifeBlocking() }
  }

  private func lifeBlocking() throws {
    let directory = try temporaryDirectory()
    var listener = try listen(in: directory)
    let path = directory + "/control.sock"
    let mode = try FileManager.default.attributesOfItem(atPath: path)[.posixPermissions] as? Int
    #expect(mode == 0o600)
    #expect(throws: ControlError.alreadyRunning(directory: directory)) { _ = try self.listen(in: directory) }
    #expect(ControlClient.isRunning(in: directory))
    listener.close()
    #expect(!FileManager.default.fileExists(atPath: path))
    #expect(throws: ControlError.notRunning(directory: directory)) { try ControlClient.ask(.init("x"), of: directory) }
    #expect(FileManager.default.createFile(atPath: path, contents: nil))
    listener = try listen(in: directory)
    #expect(ControlClient.isRunning(in: directory))
    listener.close()
  }

  @Test("Garbage, endless lines and clients that go away harm nobody else")
  func hostile() async throws {
    try await blocking { try self.hostileBlocking() }
  }

  private func hostileBlocking() throws {
    let directory = try temporaryDirectory()
    let listener = try listen(in: directory)
    defer { listener.close() }
    for bytes in [Array("not json\n".utf8), Array("{}\n".utf8), [UInt8](repeating: 0x41, count: (1 << 20) + 7)] {
      let socket = try ControlSocket.open(in: directory)
      _ = ControlSocket.write(bytes, to: socket)
      var reader = ControlReader(socket: socket, maximumBytes: 65_536)
      if case .line(let line) = reader.next() {
        #expect(String(decoding: line, as: UTF8.self).contains("control-bad-request"))
      }
      close(socket)
    }
    // Watchers that have gone give their places back.
    for _ in 0..<(2 * ControlListener.maximumConnections) {
      let socket = try ControlSocket.open(in: directory)
      _ = ControlSocket.write(ControlLine.write(ControlRequest("wait")), to: socket)
      var reader = ControlReader(socket: socket, maximumBytes: 65_536)
      guard case .line(let line) = reader.next() else {
        Issue.record("no answer")
        return
      }
      if String(decoding: line, as: UTF8.self).contains("control-busy") { usleep(20_000) }
      close(socket)
    }
    #expect(throws: Never.self) {
      for _ in 0..<200 {
        do throws(ControlError) {
          _ = try ControlClient.ask(.init("echo", ["text": "x"]), of: directory)
          return
        } catch {
          guard error.code == "control-busy" else { throw error }
          usleep(20_000)
        }
      }
      throw ControlError.busy
    }
  }

  @Test("The service's end is told to whoever waits for an answer")
  func interrupted() async throws {
    try await blocking { try self.interruptedBlocking() }
  }

  private func interruptedBlocking() throws {
    let directory = try temporaryDirectory()
    let listener = try listen(in: directory)
    let seen = Mutex<ControlError?>(nil)
    let done = DispatchSemaphore(value: 0)
    Thread {
      do throws(ControlError) {
        try ControlClient.send(.init("wait"), to: directory) { _ in listener.close() }
      } catch { seen.withLock { $0 = error } }
      done.signal()
    }.start()
    done.wait()
    let code = seen.withLock { $0?.code }
    #expect(code == "unexpected" || code == "control-interrupted")
  }
}
