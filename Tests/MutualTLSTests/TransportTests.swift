import Cryptography
import Foundation
import GRPCCore
import Testing

@testable import MutualTLS

@Suite(.timeLimit(.minutes(1)))
struct TransportTests {
  @Test func callsReachTheServerAndItsAnswersComeBack() async throws {
    let server = try TestServer()
    try await server.serving {
      try await server.withClient(as: server.alpha) { client in
        for message in [Array("hello".utf8), []] {
          let answer = try await client.call(EchoService.echo, message)
          #expect(answer == message)
        }
      }
    }
  }

  @Test func bothSidesRecordTheSameConnection() async throws {
    let server = try TestServer()
    let observer = Recorder<HandshakeEvent>()
    try await server.serving {
      let transport = try await MutualTLSClientTransport.connect(
        host: "127.0.0.1", port: server.transport.port,
        context: server.clientContext(as: server.alpha, observer: observer))
      let seenByServer = try #require(await server.handshakes.next())
      let seenByClient = try #require(await observer.next())
      for event in [seenByServer, seenByClient] {
        #expect(event.version == "TLSv1.3")
        #expect(event.cipher == "TLS_AES_256_GCM_SHA384")
        #expect(event.group == "x25519")
      }
      #expect(seenByServer.role == .server && seenByClient.role == .client)
      #expect(seenByServer.peerFingerprint == server.alpha.fingerprint)
      #expect(seenByServer.peerNames == ["alpha.example"])
      #expect(seenByServer.peerSerial == server.alpha.chain[0].serial)
      #expect(seenByServer.remoteAddress.hasPrefix("127.0.0.1:"))
      #expect(seenByClient.remoteAddress == "127.0.0.1:\(server.transport.port)")
      #expect(seenByClient.peerFingerprint == server.identity.fingerprint)
      #expect(transport.peer.name.value == "server.example")

      guard case .established(_, _, let there) = seenByServer.outcome,
        case .established(_, _, let here) = seenByClient.outcome
      else {
        Issue.record("not established")
        return
      }
      #expect(there == here && here == transport.peer.exporter && here.count == 64)
      transport.closeNow()
      await transport.waitForClose()
    }
  }

  @Test func exporterValuesDifferBetweenConnections() async throws {
    let server = try TestServer()
    try await server.serving {
      let first = try await server.connect(as: server.alpha)
      let second = try await server.connect(as: server.alpha)
      #expect(first.peer.exporter != second.peer.exporter)
    }
  }

  @Test func largeMessagesStreamBothWays() async throws {
    let server = try TestServer()
    let count = 16
    let block = (0..<(1 << 20)).map { UInt8(truncatingIfNeeded: $0 &* 31 &+ ($0 >> 8)) }
    try await server.serving {
      try await server.withClient(as: server.alpha) { client in
        let request = StreamingClientRequest<[UInt8]> { writer in
          for index in 0..<count { try await writer.write([UInt8(index)] + block) }
        }
        let received = try await client.bidirectionalStreaming(
          request: request, descriptor: EchoService.echo, serializer: RawBytesSerializer(),
          deserializer: RawBytesDeserializer(), options: .defaults
        ) { response in
          var indices: [UInt8] = []
          for try await message in response.messages {
            #expect(message.dropFirst().elementsEqual(block))
            indices.append(message.first ?? 255)
          }
          return indices
        }
        #expect(received == (0..<count).map { UInt8($0) })
      }
    }
  }

  @Test func aMessageAboveTheLimitIsRefused() async throws {
    var limits = TransportLimits()
    limits.maximumMessageByteCount = 64 * 1024
    let server = try TestServer(limits: limits)
    try await server.serving {
      try await server.withClient(as: server.alpha) { client in
        let fits = [UInt8](repeating: 7, count: 64 * 1024)
        let answer = try await client.call(EchoService.echo, fits)
        #expect(answer == fits)
        await #expect(throws: RPCError.self) { try await client.call(EchoService.echo, fits + [7]) }
      }
    }
  }

  @Test func theLimitHoldsForAnswersToo() async throws {
    var limits = TransportLimits()
    limits.maximumMessageByteCount = 64 * 1024
    let server = try TestServer()
    try await server.serving {
      try await server.withClient(as: server.alpha, limits: limits) { client in
        let large = [UInt8](repeating: 7, count: 128 * 1024)
        await #expect(throws: RPCError.self) { try await client.call(EchoService.echo, large) }
      }
    }
  }

  @Test func aBusyPortIsATypedError() throws {
    let server = try TestServer()
    let port = server.transport.port
    #expect(throws: TransportError.addressInUse(host: "127.0.0.1", port: port)) {
      try ListeningSocket(host: "127.0.0.1", port: port)
    }
    #expect(throws: TransportError.invalidPort(70_000)) { try ListeningSocket(host: "127.0.0.1", port: 70_000) }
    #expect(throws: TransportError.addressUnavailable(host: "192.0.2.1")) {
      try ListeningSocket(host: "192.0.2.1", port: 0)
    }
  }

  @Test func aPortIsFreeAgainWhenItsTransportIsGone() throws {
    var server: TestServer? = try TestServer()
    let port = try #require(server?.transport.port)
    server = nil
    #expect(try ListeningSocket(host: "127.0.0.1", port: port).port == port)
  }

  @Test func nobodyListeningIsATypedError() async throws {
    let server = try TestServer()
    let port = try ListeningSocket(host: "127.0.0.1", port: 0).port
    let context = try server.clientContext(as: server.alpha)
    await #expect(throws: TransportError.connectionRefused(host: "127.0.0.1", port: port)) {
      try await MutualTLSClientTransport.connect(host: "127.0.0.1", port: port, context: context)
    }
    await #expect(throws: TransportError.nameNotFound(host: "no-such-host.invalid")) {
      try await MutualTLSClientTransport.connect(host: "no-such-host.invalid", port: 443, context: context)
    }
  }

  @Test func theServerNoticesConnectionsComeAndGo() async throws {
    let server = try TestServer()
    try await server.serving {
      let transport = try await server.connect(as: server.beta)
      guard case .connected(let peer)? = await server.connections.next() else {
        Issue.record("no connection seen")
        return
      }
      #expect(peer.name.value == "beta.example" && peer.exporter == transport.peer.exporter)
      #expect(server.transport.connectedOrganizations == [peer.name])
      transport.closeNow()
      #expect(await server.connections.next() == .disconnected(peer))
      #expect(server.transport.connectedOrganizations.isEmpty)
    }
  }

  @Test func connectionsAboveTheLimitAreRefused() async throws {
    var limits = TransportLimits()
    limits.maximumConnections = 1
    let server = try TestServer(limits: limits)
    try await server.serving {
      let first = try await server.connect(as: server.alpha)
      _ = await server.handshakes.next()
      await #expect(throws: TransportError.self) { try await server.connect(as: server.beta) }
      #expect(await server.handshakes.nextRefusal() == .connectionLimit(maximum: 1))
      // Once the first is gone on the server's side too, there is room again, and the server still accepts.
      first.closeNow()
      for await change in server.connections.stream {
        if case .disconnected = change { break }
      }
      let second = try await retrying { try await server.connect(as: server.beta) }
      #expect(second.peer.name.value == "server.example")
      second.closeNow()
    }
  }

  @Test func aTransportThatIsNeverUsedIsReleasedWithoutHarm() async throws {
    let server = try TestServer()
    try await server.serving {
      for _ in 0..<8 { _ = try await server.connect(as: server.alpha) }
    }
  }
}

/// The place of a closed connection becomes free a moment after its observer was told: tries until it is.
private func retrying<R: Sendable>(_ body: () async throws -> R) async throws -> R {
  while true {
    do { return try await body() } catch is TransportError { await Task.yield() }
  }
}

@Suite(.timeLimit(.minutes(1)))
struct PeerIdentityTests {
  private static func answer(
    _ client: GRPCClient<MutualTLSClientTransport>, metadata: Metadata = [:]
  ) async throws -> [String] {
    let bytes = try await client.call(EchoService.whoAmI, [], metadata: metadata)
    return String(decoding: bytes, as: UTF8.self).split(separator: " ").map(String.init)
  }

  @Test func handlersSeeWhoCalls() async throws {
    let server = try TestServer()
    try await server.serving {
      for (identity, name) in [(server.alpha, "alpha.example"), (server.beta, "beta.example")] {
        let transport = try await server.connect(as: identity)
        let exporter = transport.peer.exporter
        try await withGRPCClient(transport: transport) { client in
          let answer = try await PeerIdentityTests.answer(client)
          #expect(answer == [name, name, exporter, "0"])
        }
      }
    }
  }

  @Test func aForgedIdentityIsStripped() async throws {
    let server = try TestServer()
    try await server.serving {
      let beta = try await server.connect(as: server.beta)
      _ = await server.connections.next()
      // The numbers of the connections are those that this process gave them: beta's is among them.
      try await server.withClient(as: server.alpha) { client in
        for number in 0...(beta.peer.connection + 8) {
          let forged: Metadata = [
            "bauta-peer-connection": "\(number)", "bauta-peer-name": "beta.example", "Bauta-Peer-Extra": "x",
          ]
          let answer = try await PeerIdentityTests.answer(client, metadata: forged)
          #expect(answer.prefix(2) == ["alpha.example", "alpha.example"] && answer.last == "0")
        }
      }
      beta.closeNow()
    }
  }

  @Test func aRequestWithoutIdentityIsRejected() async throws {
    let parts = try LinkParts()
    let registry = ConnectionRegistry(
      limits: TransportLimits(), contexts: try parts.context(.server, observer: IgnoringHandshakes()),
      observer: IgnoringConnections())
    let interceptor = PeerIdentityInterceptor(registry: registry)
    for metadata: Metadata in [[:], ["bauta-peer-connection": "1"], ["bauta-peer-connection": "x"]] {
      let response = try await withServerContextRPCCancellationHandle { handle in
        let context = ServerContext(
          descriptor: EchoService.echo, remotePeer: "", localPeer: "", cancellation: handle)
        let messages = RPCAsyncSequence<[UInt8], any Error>(wrapping: AsyncThrowingStream { $0.finish() })
        return try await interceptor.intercept(
          request: StreamingServerRequest(metadata: metadata, messages: messages), context: context
        ) { _, _ in
          Issue.record("the handler was reached")
          return StreamingServerResponse<[UInt8]> { _ in [:] }
        }
      }
      guard case .failure(let error) = response.accepted else {
        Issue.record("not rejected")
        continue
      }
      #expect(error.code == .unauthenticated)
    }
  }
}
