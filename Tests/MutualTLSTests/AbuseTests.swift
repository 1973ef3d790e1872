import Cryptography
import Foundation
import GRPCCore
import NIOCore
import NIOPosix
import Synchronization
import Testing

@testable import MutualTLS

/// Sends as much as is taken, without end; or reads nothing until it is let.
private final class GreedyService: RegistrableRPCService {
  static let flood = MethodDescriptor(fullyQualifiedService: "test.Greedy", method: "Flood")
  static let hold = MethodDescriptor(fullyQualifiedService: "test.Greedy", method: "Hold")
  static let block = [UInt8](repeating: 1, count: 1 << 20)

  let mayRead = Recorder<Void>()

  func registerMethods<Transport: ServerTransport>(with router: inout RPCRouter<Transport>) {
    router.registerHandler(
      forMethod: GreedyService.flood, deserializer: RawBytesDeserializer(), serializer: RawBytesSerializer()
    ) { _, _ in
      StreamingServerResponse { writer in
        while !Task.isCancelled { try await writer.write(GreedyService.block) }
        return [:]
      }
    }
    router.registerHandler(
      forMethod: GreedyService.hold, deserializer: RawBytesDeserializer(), serializer: RawBytesSerializer()
    ) { [self] request, _ in
      StreamingServerResponse { writer in
        _ = await self.mayRead.next()
        var count = 0
        for try await message in request.messages { count += message.count }
        try await writer.write(Array("\(count)".utf8))
        return [:]
      }
    }
  }
}

/// Members that misuse what they may: over real sockets, seen by the observer of connections.
@Suite(.timeLimit(.minutes(2)))
struct AbuseTests {
  private static func limits(stallTimeout: Duration) -> TransportLimits {
    var limits = TransportLimits()
    limits.stallTimeout = stallTimeout
    return limits
  }

  /// The first reason for which the server closes a connection.
  private static func closure(seenBy server: TestServer) async -> ConnectionClosure? {
    for await change in server.connections.stream {
      if case .closing(let peer, let reason) = change {
        #expect(peer.name.value == "alpha.example")
        return reason
      }
    }
    return nil
  }

  @Test func aFrameThatIsNotFinishedEndsTheConnection() async throws {
    let server = try TestServer(limits: Self.limits(stallTimeout: .seconds(2)))
    try await server.serving {
      let client = try await RawHTTP2Client(to: server)
      let headers = try RawHTTP2Client.headerBlock(path: "/test.Echo/Echo")
      let frame = RawHTTP2Client.frame(type: RawHTTP2Client.headers, flags: 4, stream: 1, headers)
      await client.send(
        RawHTTP2Client.preface + RawHTTP2Client.frame(type: RawHTTP2Client.settings) + frame.dropLast(3))
      #expect(await Self.closure(seenBy: server) == .slowWriter)
      #expect(await client.endsOrGoesAway())
    }
  }

  @Test func aReaderThatTakesNothingEndsTheConnection() async throws {
    let server = try TestServer(limits: Self.limits(stallTimeout: .seconds(2)))
    try await server.serving(with: [GreedyService()]) {
      let client = try await RawHTTP2Client(to: server)
      // As much as HTTP/2 can grant, and then no reading.
      let window: [UInt8] = [0x7F, 0xFF, 0xFF, 0xFF]
      let headers = try RawHTTP2Client.headerBlock(path: "/test.Greedy/Flood")
      await client.send(
        RawHTTP2Client.preface + RawHTTP2Client.frame(type: RawHTTP2Client.settings, [0, 4] + window)
          + RawHTTP2Client.frame(type: 8, [0x7F, 0xFE, 0, 0]))
      // The server's settings: the connection stands.
      #expect(await client.seen.next() == .frame(RawHTTP2Client.settings))
      try await client.channel.setOption(.autoRead, value: false).get()
      await client.send(
        RawHTTP2Client.frame(type: RawHTTP2Client.headers, flags: 4, stream: 1, headers))
      #expect(await Self.closure(seenBy: server) == .slowReader)
    }
  }

  @Test func controlFramesWithoutMeasureEndTheConnection() async throws {
    let server = try TestServer()
    try await server.serving {
      let client = try await RawHTTP2Client(to: server)
      await client.send(RawHTTP2Client.preface + RawHTTP2Client.frame(type: RawHTTP2Client.settings))
      let settings = RawHTTP2Client.frame(type: RawHTTP2Client.settings)
      await client.send((0..<2000).flatMap { _ in settings })
      #expect(await Self.closure(seenBy: server) == .controlFlood)
      #expect(await client.endsOrGoesAway())
    }
  }

  /// What the HTTP/2 handler itself bounds.
  @Test(arguments: ["large headers", "rapid reset", "continuations", "empty data"])
  func theHTTP2HandlerEndsAbuse(_ abuse: String) async throws {
    let server = try TestServer()
    try await server.serving {
      let client = try await RawHTTP2Client(to: server)
      let block = try RawHTTP2Client.headerBlock(path: "/test.Echo/Echo")
      let preface = RawHTTP2Client.preface + RawHTTP2Client.frame(type: RawHTTP2Client.settings)
      switch abuse {
      case "large headers":
        // Above the list size that is announced, 16 KiB, within a single frame's 16 KiB thanks to no compression of it.
        let large = try RawHTTP2Client.headerBlock(path: "/test.Echo/Echo", extraByteCount: 40_000)
        var frames = RawHTTP2Client.frame(type: 1, flags: 0, stream: 1, Array(large.prefix(16_000)))
        frames += RawHTTP2Client.frame(type: 9, flags: 0, stream: 1, Array(large.dropFirst(16_000).prefix(16_000)))
        frames += RawHTTP2Client.frame(type: 9, flags: 4, stream: 1, Array(large.dropFirst(32_000)))
        await client.send(preface + frames)
      case "rapid reset":
        var frames: [UInt8] = []
        for index in UInt32(0)..<2000 {
          frames += RawHTTP2Client.frame(type: 1, flags: 4, stream: 2 * index + 1, block)
          frames += RawHTTP2Client.frame(type: 3, stream: 2 * index + 1, [0, 0, 0, 8])
        }
        await client.send(preface + frames)
      case "continuations":
        var frames = RawHTTP2Client.frame(type: 1, flags: 0, stream: 1, block)
        for _ in 0..<50 { frames += RawHTTP2Client.frame(type: 9, flags: 0, stream: 1) }
        await client.send(preface + frames)
      default:
        var frames = RawHTTP2Client.frame(type: 1, flags: 4, stream: 1, block)
        for _ in 0..<50 { frames += RawHTTP2Client.frame(type: 0, flags: 0, stream: 1) }
        await client.send(preface + frames)
      }
      #expect(await client.endsOrGoesAway())
      // Others are served.
      try await server.withClient(as: server.beta) { client in
        let answer = try await client.call(EchoService.echo, [1])
        #expect(answer == [1])
      }
    }
  }

  /// A server that does not read makes the sender wait: no more is under way than the window, what sockets hold
  /// and the few messages that gRPC takes in advance on either side.
  @Test func aSenderWaitsForAServerThatDoesNotRead() async throws {
    let server = try TestServer()
    let service = GreedyService()
    let written = Mutex(0)
    try await server.serving(with: [service]) {
      try await server.withClient(as: server.alpha) { client in
        let request = StreamingClientRequest<[UInt8]> { writer in
          for _ in 0..<300 {
            try await writer.write(GreedyService.block)
            written.withLock { $0 += 1 }
          }
        }
        async let answer: [UInt8] = client.clientStreaming(
          request: request, descriptor: GreedyService.hold, serializer: RawBytesSerializer(),
          deserializer: RawBytesDeserializer(), options: .defaults
        ) { try $0.message }
        // Until nothing moves any more: how far a sender runs ahead of its own event loop depends on the machine.
        var (before, now) = (-1, 0)
        while now != before || now == 0 {
          try await Task.sleep(for: .seconds(1))
          (before, now) = (now, written.withLock { $0 })
        }
        #expect(now < 300)
        service.mayRead.record(())
        let count = try await answer
        #expect(count == Array("\(300 << 20)".utf8))
      }
    }
  }
}

/// Both address families.
@Suite(.timeLimit(.minutes(1)))
struct AddressFamilyTests {
  static let hasIPv6 = (try? ListeningSocket(host: "::1", port: 0)) != nil

  private static func serving(
    _ parts: LinkParts, host: String, _ body: (MutualTLSServerTransport, TLSContext) async throws -> Void
  )
    async throws -> [HandshakeEvent]
  {
    let events = EventList()
    let transport = try MutualTLSServerTransport.make(
      host: host, port: 0, context: parts.context(.server, observer: events))
    let client = try parts.context(.client, observer: IgnoringHandshakes())
    try await withEchoServer(transport) { try await body(transport, client) }
    return events.events
  }

  @Test(.enabled(if: hasIPv6, "this machine has no IPv6 loopback"))
  func oneSocketServesBothFamilies() async throws {
    let events = try await Self.serving(LinkParts(), host: "::") { transport, context in
      for host in ["::1", "127.0.0.1"] {
        let client = try await MutualTLSClientTransport.connect(host: host, port: transport.port, context: context)
        try await withGRPCClient(transport: client) { client in
          let answer = try await client.call(EchoService.echo, [6])
          #expect(answer == [6])
        }
      }
    }
    // An IPv4 caller is written as one.
    #expect(events.count == 2)
    #expect(events[0].remoteAddress.hasPrefix("[::1]:") && events[1].remoteAddress.hasPrefix("127.0.0.1:"))
  }

  /// `localhost` is one or two addresses; the server has only one of them.
  @Test(arguments: ["127.0.0.1", "::1"])
  func aNameIsTriedAtAllItsAddresses(_ host: String) async throws {
    guard host != "::1" || Self.hasIPv6 && Self.localhostHasIPv6 else { return }
    let events = try await Self.serving(LinkParts(), host: host) { transport, context in
      let client = try await MutualTLSClientTransport.connect(
        host: "localhost", port: transport.port, context: context)
      #expect(client.peer.name.value == "server.example")
      client.closeNow()
    }
    #expect(events.count == 1)
  }

  private static var localhostHasIPv6: Bool {
    let hosts = (try? String(contentsOfFile: "/etc/hosts", encoding: .utf8)) ?? ""
    return hosts.split(separator: "\n").contains { line in
      let words = line.split(whereSeparator: \.isWhitespace)
      return words.first == "::1" && words.dropFirst().contains("localhost")
    }
  }
}
