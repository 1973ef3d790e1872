import Cryptography
import Foundation
import NIOCore
import NIOPosix
import Testing

@testable import MutualTLS

/// Nothing of a connection stays when it is over, however it ended. `.ci/check-leaks` runs this suite under valgrind.
@Suite(.timeLimit(.minutes(5)))
struct LeakTests {
  /// Handshakes of each outcome.
  private static let count = 8

  /// In memory: established, altered on the way, cut off in each flight, given up by either side.
  @Test func connectionsInMemoryAreReleased() throws {
    let parts = try LinkParts()
    for round in 0..<Self.count {
      for outcome in 0..<5 {
        var random = SeededBytes(seed: UInt64(round))
        var link: MemoryLink? = try MemoryLink(parts)
        let contexts = [link?.client.context, link?.server.context].compactMap { $0 }
        #expect(contexts.map(\.liveConnections) == [1, 1])
        try link?.connect()
        switch outcome {
        case 0:
          try link?.exchange()
          link?.server.channel.writeAndFlush(ByteBuffer(bytes: [42]), promise: nil)
          try link?.exchange()
        case 1: try link?.exchange { sender, _, bytes in sender == .server ? random.mutation(of: bytes) : bytes }
        case 2: try link?.exchange { sender, _, bytes in sender == .client ? random.mutation(of: bytes) : bytes }
        case 3: try link?.exchange { sender, flight, bytes in sender == .client && flight == 1 ? [] : bytes }
        default:
          try link?.client.cut()
          link?.server.channel.close(promise: nil)
        }
        link?.finish()
        link = nil
        #expect(contexts.map(\.liveConnections) == [0, 0], "round \(round), outcome \(outcome)")
      }
    }
  }

  /// Over sockets and with gRPC: accepted, refused by the server, refused by the client, left in the middle.
  @Test func connectionsOverSocketsAreReleased() async throws {
    let server = try TestServer()
    let hello = try TLSConnection(context: server.clientContext(as: server.alpha), serverName: nil)
    _ = hello.handshake()
    let flight = try #require(hello.takeOutput(allocator: ByteBufferAllocator()))
    let accepted = try server.clientContext(as: server.alpha)
    let unknown = try server.clientContext(as: server.federation.identity("alpha.example"))
    let refusing = try server.clientContext(as: server.alpha, verifier: PinTable([:]))
    try await server.serving {
      for _ in 0..<Self.count {
        let transport = try await MutualTLSClientTransport.connect(
          host: "127.0.0.1", port: server.transport.port, context: accepted)
        transport.closeNow()
        await transport.waitForClose()
        for context in [unknown, refusing] {
          await #expect(throws: TransportError.self) {
            try await MutualTLSClientTransport.connect(host: "127.0.0.1", port: server.transport.port, context: context)
          }
        }
        let stranger = try await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
          .connect(host: "127.0.0.1", port: server.transport.port).get()
        try await stranger.writeAndFlush(flight)
        try await stranger.close()
      }
      // Every handshake came to an end, with one event each.
      for _ in 0..<4 * Self.count { _ = await server.handshakes.next() }
    }
    for context in [server.context, accepted, unknown, refusing] {
      // What lingers does so for half a second.
      while context.liveConnections > 0 { try await Task.sleep(for: .milliseconds(20)) }
      #expect(context.liveConnections == 0)
    }
  }
}

/// Loses connections on purpose: what `.ci/check-leaks` must find before it trusts its own silence.
@Suite struct LeakControlTests {
  @Test(
    .enabled(
      if: ProcessInfo.processInfo.environment["CHECK_LEAKS_CONTROL"] != nil, "only .ci/check-leaks loses memory"))
  func connectionsAreLost() throws {
    let context = try LinkParts().context(.client, observer: IgnoringHandshakes())
    for _ in 0..<8 { _ = Unmanaged.passRetained(try TLSConnection(context: context, serverName: nil)) }
    #expect(context.liveConnections == 8)
  }
}
