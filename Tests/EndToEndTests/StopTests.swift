import Cryptography
import Dispatch
import Federation
import FederationClient
import Foundation
import Synchronization
import Testing
import TransparencyLog

/// A client that is told to stop before it has come to its work.
@Suite(.timeLimit(.minutes(2)))
struct StopTests {
  /// Takes connections one by one, keeps each waiting, and answers none.
  private final class MuteWitness: Sendable {
    let port: UInt16
    private let descriptor: Int32
    private let taken = Mutex(0)
    private let first = AsyncStream<Void>.makeStream()

    init() throws {
      let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
      try #require(descriptor >= 0)
      var address = sockaddr_in()
      address.sin_family = sa_family_t(AF_INET)
      address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
      var length = socklen_t(MemoryLayout<sockaddr_in>.size)
      let isBound = withUnsafeMutablePointer(to: &address) { pointer in
        pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
          bind(descriptor, $0, length) == 0 && listen(descriptor, 16) == 0 && getsockname(descriptor, $0, &length) == 0
        }
      }
      try #require(isBound)
      self.descriptor = descriptor
      port = UInt16(bigEndian: address.sin_port)
      DispatchQueue.global().async { [self] in takeAll() }
    }

    var count: Int { taken.withLock { $0 } }

    func waitForFirst() async { for await _ in first.stream { return } }

    func end() { shutdown(descriptor, Int32(SHUT_RDWR)) }

    private func takeAll() {
      while true {
        let connection = accept(descriptor, nil, nil)
        guard connection >= 0 else { break }
        taken.withLock { $0 += 1 }
        first.continuation.yield()
        usleep(300_000)
        close(connection)
      }
      close(descriptor)
    }
  }

  @Test("Witnesses that do not answer keep no client from stopping: the one that is asked is the last")
  func muteWitnesses() async throws {
    let runner = try SessionRunner()
    defer { runner.remove() }
    _ = try await FederationRunTests.demonstrate("--rounds 1 --organizations 4", in: runner)
    let directory = "\(runner.directory)/demo/alder"
    let witness = try MuteWitness()
    defer { witness.end() }
    let count = 16
    let keys = try (1...count).map { number in
      NoteVerifierKey<WitnessKeyRole>(
        organization: try OrganizationName("watch\(number).example"), key: WitnessSigningKey.generate().verifyingKey)
    }
    let path = "\(directory)/policy.yaml"
    let policy = try String(contentsOfFile: path, encoding: .utf8)
    let rules = keys.map { "    - {key: \"\($0)\", url: \"http://127.0.0.1:\(witness.port)\"}\n" }.joined()
    try
      (policy.prefix(upTo: policy.range(of: "\naudit:")?.lowerBound ?? policy.endIndex) + "\naudit:\n  witnesses:\n"
      + rules)
      .write(toFile: path, atomically: true, encoding: .utf8)

    let client = try OrganizationClient(directory: directory, data: "\(directory)/data.csv", settings: .init())
    let staying = Task { try await client.stay { _ in } }
    await witness.waitForFirst()
    staying.cancel()
    try await staying.value
    #expect(witness.count < count / 2)
  }
}
