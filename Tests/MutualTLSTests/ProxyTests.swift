import Cryptography
import Foundation
import GRPCCore
@_spi(CustomByteBufferAllocator) import NIOCore
import NIOEmbedded
import Synchronization
import Testing

@testable import MutualTLS

@Suite(.timeLimit(.minutes(1)))
struct ProxyTests {
  private static func connect(
    to server: TestServer, through proxy: TestProxy, host: String = "127.0.0.1",
    authorization: ProxyCredentials? = nil, timeout: Duration = .seconds(10),
    observer: any HandshakeObserver = IgnoringHandshakes()
  ) async throws -> MutualTLSClientTransport {
    try await MutualTLSClientTransport.connect(
      host: host, port: server.transport.port,
      context: server.clientContext(as: server.alpha, observer: observer), timeout: timeout,
      via: HTTPProxy(host: "127.0.0.1", port: proxy.port, authorization: authorization))
  }

  private static func credentials(_ user: String, _ password: String) -> ProxyCredentials? {
    var secret = SecretBytes(count: password.utf8.count)
    secret.withUnsafeMutableBytes { $0.copyBytes(from: Array(password.utf8)) }
    return ProxyCredentials(user: user, password: secret)
  }

  @Test func callsGoThroughATunnelFromEndToEnd() async throws {
    let server = try TestServer()
    let proxy = try await TestProxy(.tunnel)
    let block = [UInt8](repeating: 7, count: 1 << 20)
    try await server.serving {
      let transport = try await Self.connect(to: server, through: proxy, host: "localhost")
      // The server's own certificate, and one exporter value on both sides: nobody in between.
      #expect(transport.peer.fingerprint == server.identity.fingerprint)
      guard case .established(_, _, let exporter)? = await server.handshakes.next()?.outcome else {
        Issue.record("not established")
        return
      }
      #expect(exporter == transport.peer.exporter)
      try await withGRPCClient(transport: transport) { client in
        for _ in 0..<4 {
          let answer = try await client.call(EchoService.echo, block)
          #expect(answer == block)
        }
      }
      #expect(proxy.requests.count == 1)
      let target = "localhost:\(server.transport.port)"
      #expect(proxy.requests.first == "CONNECT \(target) HTTP/1.1\r\nHost: \(target)\r\n\r\n")
    }
  }

  @Test func credentialsAreSentWhenThereAreSome() async throws {
    let server = try TestServer()
    let proxy = try await TestProxy(.tunnel)
    try await server.serving {
      // The example of RFC 7617, and one for each number of filling characters.
      for (user, password, expected) in [
        ("Aladdin", "open sesame", "QWxhZGRpbjpvcGVuIHNlc2FtZQ=="), ("a", "", "YTo="), ("a", "b", "YTpi"),
      ] {
        let credentials = try #require(Self.credentials(user, password))
        try await Self.connect(to: server, through: proxy, authorization: credentials).closeNow()
        #expect(proxy.requests.last?.contains("\r\nProxy-Authorization: Basic \(expected)\r\n") == true)
      }
    }
    #expect(Self.credentials("a:b", "x") == nil)
    #expect(Self.credentials("a\r\nX: y", "x") == nil)
    #expect(Self.credentials("a", "x\r\nX: y") == nil)
  }

  @Test(arguments: [(403, false), (407, false), (502, true), (503, true)])
  func aRefusalOfTheProxyIsItsOwn(_ status: Int, isTransient: Bool) async throws {
    let server = try TestServer()
    let proxy = try await TestProxy(.status(status))
    let observer = EventList()
    let error = await #expect(throws: TransportError.self) {
      try await Self.connect(to: server, through: proxy, observer: observer)
    }
    #expect(error == .proxy(host: "127.0.0.1", port: proxy.port, status: status))
    #expect(error?.isProxyFaultTransient == isTransient)
    #expect(error?.message.hasPrefix("The proxy 127.0.0.1, port \(proxy.port), refused") == true)
    // There was no handshake to speak of.
    #expect(observer.events.isEmpty)
  }

  @Test func aProxyThatCannotReachTheServerSaysSo() async throws {
    let server = try TestServer()
    let proxy = try await TestProxy(.tunnel)
    let nobody = try ListeningSocket(host: "127.0.0.1", port: 0).port
    await #expect(throws: TransportError.proxy(host: "127.0.0.1", port: proxy.port, status: 502)) {
      try await MutualTLSClientTransport.connect(
        host: "127.0.0.1", port: nobody, context: server.clientContext(as: server.alpha),
        via: HTTPProxy(host: "127.0.0.1", port: proxy.port))
    }
  }

  /// Behaviours, and what is said of them.
  static let unusable: [(TestProxy.Behavior, ProxyFault)] = [
    (.bytes(Array("SSH-2.0-OpenSSH_9.2\r\n".utf8), isEndless: false), .notHTTP),
    (.bytes(Array("HTTP/2 200\r\n\r\n".utf8), isEndless: false), .notHTTP),
    (.bytes(Array("HTTP/1.1 two\r\n\r\n".utf8), isEndless: false), .notHTTP),
    (.bytes([0, 1, 2, 3], isEndless: true), .notHTTP),
    (
      .bytes(Array("HTTP/1.1 200 OK\r\nX-Filler: \(String(repeating: "x", count: 100))\r\n".utf8), isEndless: true),
      .answerTooLong(maximum: 8192)
    ),
    (
      .bytes(Array("HTTP/1.1 200 ".utf8) + [UInt8](repeating: 0x61, count: 20_000), isEndless: false),
      .answerTooLong(maximum: 8192)
    ),
    (.hangUp, .closed), (.silence, .timedOut),
  ]

  @Test(arguments: unusable.indices)
  func aProxyThatCannotBeUsedIsNamed(_ index: Int) async throws {
    let (behavior, fault) = Self.unusable[index]
    let server = try TestServer()
    let proxy = try await TestProxy(behavior)
    let observer = EventList()
    let timeout: Duration = if case .silence = behavior { .milliseconds(200) } else { .seconds(10) }
    await #expect(throws: TransportError.proxyUnusable(host: "127.0.0.1", port: proxy.port, fault: fault)) {
      try await Self.connect(to: server, through: proxy, timeout: timeout, observer: observer)
    }
    #expect(observer.events.isEmpty)
  }

  @Test func aProxyThatIsNotThereIsNamed() async throws {
    let server = try TestServer()
    let context = try server.clientContext(as: server.alpha)
    let nobody = try ListeningSocket(host: "127.0.0.1", port: 0).port
    for (host, port) in [("127.0.0.1", nobody), ("no-such-proxy.invalid", 3128)] {
      let error = await #expect(throws: TransportError.self) {
        try await MutualTLSClientTransport.connect(
          host: "server.example", port: 443, context: context, via: HTTPProxy(host: host, port: port))
      }
      guard case .proxyUnusable(host, port, let fault)? = error else {
        Issue.record("\(String(describing: error))")
        continue
      }
      switch fault {
      case .unreachable: #expect(port == nobody)
      case .nameNotFound: #expect(port == 3128)
      case .timedOut, .closed, .notHTTP, .answerTooLong: Issue.record("\(fault)")
      }
    }
  }

  @Test func aRefusalOfTheServerIsNotTheProxys() async throws {
    let server = try TestServer()
    let proxy = try await TestProxy(.tunnel)
    try await server.serving {
      let unknown = try server.federation.identity("alpha.example")
      let error = await #expect(throws: TransportError.self) {
        try await MutualTLSClientTransport.connect(
          host: "127.0.0.1", port: server.transport.port, context: server.clientContext(as: unknown),
          via: HTTPProxy(host: "127.0.0.1", port: proxy.port))
      }
      #expect(error?.code == "tls-refused-by-peer")
    }
  }

  @Test func aTunnelCutForIdlenessIsNoticedAndMadeAnew() async throws {
    let server = try TestServer()
    let proxy = try await TestProxy(.idleLimit(.seconds(4)))
    try await server.serving {
      for _ in 0..<2 {
        let transport = try await Self.connect(to: server, through: proxy)
        // Returns because the proxy cut the connection: nobody else closes it.
        await transport.waitForClose()
        guard case .connected? = await server.connections.next(),
          case .disconnected? = await server.connections.next()
        else {
          Issue.record("the server did not notice")
          return
        }
      }
      #expect(proxy.requests.count == 2)
    }
  }

  // MARK: The answer, byte by byte

  @Test(arguments: [1, 2, 5, 1000])
  func anAnswerInPiecesIsTheSameAnswer(_ size: Int) {
    let bytes = Array("HTTP/1.0 200 OK\r\nVia: x\r\n\r\nrest".utf8)
    var answer = ProxyAnswer()
    var steps: [ProxyAnswer.Step] = []
    var rest: [UInt8] = []
    for start in stride(from: 0, to: bytes.count, by: size) {
      let piece = Array(bytes[start..<min(start + size, bytes.count)])
      if steps.last == .status(200) {
        rest += piece
      } else {
        steps.append(answer.receive(ByteBuffer(bytes: piece)))
        rest += answer.takeRest().map { Array($0.readableBytesView) } ?? []
      }
    }
    #expect(steps.last == .status(200) && steps.dropLast().allSatisfy { $0 == .incomplete })
    #expect(rest == Array("rest".utf8))
  }

  @Test func whatFollowsTheAnswerIsTheServers() throws {
    let channel = EmbeddedChannel()
    let proxy = try HTTPProxy(host: "proxy.example", port: 3128)
    try channel.pipeline.syncOperations.addHandler(
      ProxyTunnelHandler(proxy: proxy, host: "::1", port: 443, timeout: .seconds(1)) { Issue.record("\($0)") })
    channel.connect(to: try SocketAddress(ipAddress: "127.0.0.1", port: 1), promise: nil)
    let request = try #require(try channel.readOutbound(as: ByteBuffer.self))
    #expect(String(buffer: request).hasPrefix("CONNECT [::1]:443 HTTP/1.1\r\n"))
    try channel.writeInbound(ByteBuffer(string: "HTTP/1.1 204 Fine\r\n\r\nhello"))
    #expect(try channel.readInbound(as: ByteBuffer.self) == ByteBuffer(string: "hello"))
    // The tunnel's handler is gone.
    channel.embeddedEventLoop.advanceTime(by: .seconds(2))
    try channel.writeInbound(ByteBuffer(string: "HTTP/1.1 500 No\r\n\r\n"))
    #expect(try channel.readInbound(as: ByteBuffer.self) == ByteBuffer(string: "HTTP/1.1 500 No\r\n\r\n"))
    _ = try channel.finish()
  }

  // MARK: Credentials in memory

  /// Nothing but one piece of memory ever holds them outside of what is guarded, and it is overwritten after use.
  @Test func credentialsLeaveNoCopyBehind() throws {
    for count in [1, 100, 500, 1024] {
      let password = String(repeating: "pass", count: count / 4 + 1).prefix(count)
      let credentials = try #require(Self.credentials("user", String(password)))
      let channel = EmbeddedChannel()
      channel.allocator = WatchedMemory.allocator
      try channel.pipeline.syncOperations.addHandler(
        ProxyTunnelHandler(
          proxy: HTTPProxy(host: "proxy.example", port: 3128, authorization: credentials), host: "server.example",
          port: 443, timeout: .seconds(1)
        ) { Issue.record("\($0)") })
      channel.connect(to: try SocketAddress(ipAddress: "127.0.0.1", port: 1), promise: nil)
      // This channel keeps what a socket would have sent by now.
      let request = try #require(try channel.readOutbound(as: ByteBuffer.self))
      #expect(request.readableBytes > count)
      let isWiped = request.withVeryUnsafeBytes { $0.allSatisfy { $0 == 0 } }
      #expect(isWiped)
      try channel.writeInbound(ByteBuffer(string: "HTTP/1.1 200 Fine\r\n\r\n"))
      _ = try channel.finish()
    }
    #expect(WatchedMemory.copyCount.load(ordering: .relaxed) == 0)
    // It would have been seen.
    var buffer = WatchedMemory.allocator.buffer(capacity: 16)
    buffer.writeBytes(WatchedMemory.secret)
    buffer.reserveCapacity(1000)
    #expect(WatchedMemory.copyCount.load(ordering: .relaxed) == 1)
  }
}

/// Memory for buffers that looks for credentials in what is copied from or given back.
private enum WatchedMemory {
  /// The beginning of `user:pass`, as it is sent.
  static let secret = Array("dXNlcjpw".utf8)
  static let copyCount = Atomic(0)
  /// Before each piece of memory stands its size.
  private static let headerByteCount = 16

  static let allocator = ByteBufferAllocator(
    allocate: { allocate($0) },
    reallocate: { old, oldCount, newCount in
      let new = allocate(newCount)
      guard let old else { return new }
      watch(old, oldCount)
      new.copyMemory(from: old, byteCount: min(oldCount, newCount))
      (old - headerByteCount).deallocate()
      return new
    },
    deallocate: { old in
      watch(old, (old - headerByteCount).load(as: Int.self))
      (old - headerByteCount).deallocate()
    },
    copy: { destination, source, count in
      watch(source, count)
      destination.copyMemory(from: source, byteCount: count)
    })

  private static func allocate(_ count: Int) -> UnsafeMutableRawPointer {
    let memory = UnsafeMutableRawPointer.allocate(byteCount: headerByteCount + count, alignment: 16)
    memory.initializeMemory(as: UInt8.self, repeating: 0, count: headerByteCount + count)
    memory.storeBytes(of: count, as: Int.self)
    return memory + headerByteCount
  }

  private static func watch(_ memory: UnsafeRawPointer, _ count: Int) {
    let bytes = UnsafeRawBufferPointer(start: memory, count: count)
    guard count >= secret.count else { return }
    for start in 0...(count - secret.count) where bytes[start..<(start + secret.count)].elementsEqual(secret) {
      copyCount.add(1, ordering: .relaxed)
      return
    }
  }
}
