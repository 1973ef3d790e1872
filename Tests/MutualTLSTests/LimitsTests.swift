import Cryptography
import Foundation
import GRPCCore
import NIOCore
import NIOEmbedded
import NIOPosix
import Synchronization
import Testing

@testable import MutualTLS

@Suite struct TokenBucketTests {
  /// What taking gives at each of these times, in milliseconds.
  private static func takes(_ bucket: inout TokenBucket, at times: [Int]) -> [Bool] {
    times.map { bucket.take(at: .milliseconds($0)) }
  }

  @Test func burstThenRate() {
    var bucket = TokenBucket(capacity: 3, perSecond: 2, at: .seconds(100))
    let burst = Self.takes(&bucket, at: [100_000, 100_000, 100_000, 100_000, 100_000])
    #expect(burst == [true, true, true, false, false])
    let rate = Self.takes(&bucket, at: [100_400, 100_600, 100_600])
    #expect(rate == [false, true, false])
    // Never more than the capacity, however long it was silent.
    let late = Self.takes(&bucket, at: [9_000_000, 9_000_000, 9_000_000, 9_000_000])
    #expect(late == [true, true, true, false])
  }

  @Test func aClockThatGoesBackGivesNothing() {
    var bucket = TokenBucket(capacity: 1, perSecond: 1, at: .seconds(100))
    let taken = Self.takes(&bucket, at: [100_000, 50_000, 50_900, 51_100])
    #expect(taken == [true, false, false, true])
  }
}

/// Who may begin a handshake, without network or clock.
@Suite struct HandshakeAdmissionTests {
  private static func limits(_ change: (inout TransportLimits) -> Void) -> TransportLimits {
    var limits = TransportLimits()
    change(&limits)
    return limits
  }

  private static func caller(_ number: Int) -> CallerAddress { .ipv4(UInt32(number)) }

  @Test func oneAddressHasABoundOfItsOwn() {
    var admission = HandshakeAdmission(limits: Self.limits { $0.maximumHandshakesPerAddress = 2 })
    #expect(admission.admit(1, from: Self.caller(1), at: .zero) == .admitted)
    #expect(admission.admit(2, from: Self.caller(1), at: .zero) == .admitted)
    #expect(
      admission.admit(3, from: Self.caller(1), at: .zero)
        == .refused(.handshakeLimit(maximum: 2, isPerAddress: true)))
    #expect(admission.admit(4, from: Self.caller(2), at: .zero) == .admitted)
    admission.end(1)
    admission.end(1)
    #expect(admission.admit(5, from: Self.caller(1), at: .zero) == .admitted)
    #expect(admission.inHandshake == 3)
  }

  @Test func whoHasMostGivesWay() {
    var admission = HandshakeAdmission(
      limits: Self.limits {
        $0.maximumHandshakes = 4
        $0.maximumHandshakesPerAddress = 3
      })
    for connection in UInt64(1)...3 {
      #expect(admission.admit(connection, from: Self.caller(1), at: .zero) == .admitted)
    }
    #expect(admission.admit(4, from: Self.caller(2), at: .zero) == .admitted)
    // All are in use: the oldest of address 1 goes.
    #expect(admission.admit(5, from: Self.caller(3), at: .zero) == .admittedInPlaceOf(1))
    #expect(admission.inHandshake == 4)
    #expect(admission.admit(6, from: Self.caller(4), at: .zero) == .admittedInPlaceOf(2))
    // Each of the four has one; who comes with none takes the oldest's place, who has one does not.
    #expect(
      admission.admit(7, from: Self.caller(2), at: .zero)
        == .refused(.handshakeLimit(maximum: 4, isPerAddress: false)))
    #expect(admission.admit(8, from: Self.caller(5), at: .zero) == .admittedInPlaceOf(3))
  }

  @Test func theRateHoldsForAnAddressAndNotForTheNext() {
    var admission = HandshakeAdmission(
      limits: Self.limits {
        $0.handshakeBurstPerAddress = 2
        $0.handshakesPerSecondPerAddress = 1
      })
    func admit(_ connection: UInt64, _ caller: Int, _ seconds: Double) -> Bool {
      defer { admission.end(connection) }
      return admission.admit(connection, from: Self.caller(caller), at: .seconds(seconds)) == .admitted
    }
    let burst = [admit(1, 1, 0), admit(2, 1, 0), admit(3, 1, 0), admit(4, 2, 0)]
    #expect(burst == [true, true, false, true])
    let rate = [admit(5, 1, 0.5), admit(6, 1, 1.1), admit(7, 1, 1.2)]
    #expect(rate == [false, true, false])
    #expect(admission.admit(8, from: Self.caller(1), at: .seconds(1.2)) == .refused(.handshakeRate(perSecond: 1)))
  }

  @Test func theTableOfAddressesIsBounded() {
    var admission = HandshakeAdmission(
      limits: Self.limits {
        $0.maximumTrackedAddresses = 100
        $0.handshakeBurstPerAddress = 2
        $0.handshakesPerSecondPerAddress = 0.001
      })
    for number in 0..<1000 {
      let connection = UInt64(number)
      #expect(admission.admit(connection, from: Self.caller(number), at: .milliseconds(number)) == .admitted)
      admission.end(connection)
      #expect(admission.trackedAddresses <= 100)
    }
    // Those seen last are remembered.
    #expect(admission.admit(2000, from: Self.caller(999), at: .seconds(1)) == .admitted)
    #expect(
      admission.admit(2001, from: Self.caller(999), at: .seconds(1)) == .refused(.handshakeRate(perSecond: 0.001)))
  }

  @Test func oneCustomerIsOneAddress() throws {
    func caller(_ text: String) throws -> CallerAddress { CallerAddress(try SocketAddress(ipAddress: text, port: 9)) }
    #expect(try caller("192.0.2.1") == caller("192.0.2.1"))
    #expect(try caller("192.0.2.1") != caller("192.0.2.2"))
    #expect(try caller("::ffff:192.0.2.1") == caller("192.0.2.1"))
    #expect(try caller("2001:db8:1:2::1") == caller("2001:db8:1:2:ffff:ffff:ffff:ffff"))
    #expect(try caller("2001:db8:1:2::1") != caller("2001:db8:1:3::1"))
    #expect(CallerAddress(nil) == .unknown)
  }
}

/// The limits on a server that listens.
@Suite(.timeLimit(.minutes(1)))
struct ServerLimitsTests {
  private static func stranger(of server: TestServer) async throws -> any Channel {
    try await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
      .connect(host: "127.0.0.1", port: server.transport.port).get()
  }

  @Test func strangersDoNotKeepOutAnOrganization() async throws {
    var limits = TransportLimits()
    limits.maximumHandshakes = 64
    limits.maximumHandshakesPerAddress = 3
    limits.maximumConnections = 2
    let server = try TestServer(limits: limits)
    try await server.serving {
      // More silent strangers than all connections of organisations; from one address, that of the organisation too.
      var strangers: [any Channel] = []
      for _ in 0..<2 { strangers.append(try await Self.stranger(of: server)) }
      let alpha = try await server.connect(as: server.alpha)
      let beta = try await server.connect(as: server.beta)
      #expect(server.transport.connectedOrganizations.count == 2)
      for _ in 0..<2 { strangers.append(try await Self.stranger(of: server)) }
      // The last of them is above the bound of its address; an organisation's connections do not count there.
      var refusals: [HandshakeRefusal] = []
      while refusals.isEmpty, let event = await server.handshakes.next() {
        if let refusal = event.refusal { refusals.append(refusal) }
      }
      #expect(refusals == [.handshakeLimit(maximum: 3, isPerAddress: true)])
      for stranger in strangers { stranger.close(promise: nil) }
      alpha.closeNow()
      beta.closeNow()
    }
  }

  @Test func aStrangerOfAnAddressWithMostGivesWay() async throws {
    // An address without strangers takes the place of one that has most: here a stranger of 127.0.0.2.
    var limits = TransportLimits()
    limits.maximumHandshakes = 2
    let server = try TestServer(limits: limits)
    try await server.serving {
      let strangers = [try await Self.stranger(of: server), try await Self.stranger(of: server)]
      let local = try SocketAddress(ipAddress: "127.0.0.2", port: 0)
      let other = try await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton).bind(to: local)
        .connect(host: "127.0.0.1", port: server.transport.port).get()
      let event = try #require(await server.handshakes.next())
      #expect(event.refusal == .handshakeLimit(maximum: 2, isPerAddress: false))
      #expect(event.remoteAddress.hasPrefix("127.0.0.1:"))
      for channel in strangers + [other] { channel.close(promise: nil) }
    }
  }

  @Test func anAddressThatComesTooOftenIsRefusedBeforeAnythingIsRead() async throws {
    var limits = TransportLimits()
    limits.handshakeBurstPerAddress = 2
    limits.handshakesPerSecondPerAddress = 0.001
    let server = try TestServer(limits: limits)
    try await server.serving {
      let first = try await server.connect(as: server.alpha)
      let second = try await server.connect(as: server.beta)
      await #expect(throws: TransportError.self) { try await server.connect(as: server.alpha) }
      var refusals: [HandshakeRefusal] = []
      while refusals.isEmpty, let event = await server.handshakes.next() {
        if let refusal = event.refusal { refusals.append(refusal) }
      }
      #expect(refusals == [.handshakeRate(perSecond: 0.001)])
      first.closeNow()
      second.closeNow()
    }
  }

  @Test func theOldestConnectionOfAnOrganizationIsReplaced() async throws {
    var limits = TransportLimits()
    limits.maximumConnectionsPerOrganization = 2
    let server = try TestServer(limits: limits)
    try await server.serving {
      let beta = try await server.connect(as: server.beta)
      var transports: [MutualTLSClientTransport] = []
      for _ in 0..<3 { transports.append(try await server.connect(as: server.alpha)) }
      await transports[0].waitForClose()
      var closings: [ConnectionChange] = []
      for await change in server.connections.stream {
        if case .closing = change { closings.append(change) }
        if case .disconnected = change { break }
      }
      guard closings.count == 1, case .closing(let peer, .replaced) = closings[0] else {
        Issue.record("\(closings)")
        return
      }
      #expect(peer.exporter == transports[0].peer.exporter)
      // The others go on, those of other organisations too.
      for transport in transports.dropFirst() + [beta] {
        try await withGRPCClient(transport: transport) { client in
          let answer = try await client.call(EchoService.echo, [1])
          #expect(answer == [1])
        }
      }
    }
  }

  @Test func whenAllConnectionsAreInUseAnOrganizationReplacesItsOwn() async throws {
    var limits = TransportLimits()
    limits.maximumConnections = 1
    let server = try TestServer(limits: limits)
    try await server.serving {
      let first = try await server.connect(as: server.alpha)
      await #expect(throws: TransportError.self) { try await server.connect(as: server.beta) }
      let second = try await server.connect(as: server.alpha)
      await first.waitForClose()
      #expect(server.transport.connectedOrganizations.map(\.value) == ["alpha.example"])
      second.closeNow()
    }
  }

  @Test func streamsBeyondTheLimitWait() async throws {
    var limits = TransportLimits()
    limits.maximumConcurrentCalls = 2
    let server = try TestServer(limits: limits)
    try await server.serving {
      try await server.withClient(as: server.alpha) { client in
        // More at once than are allowed: they follow one another, and all are answered.
        try await withThrowingTaskGroup(of: [UInt8].self) { group in
          for number in UInt8(0)..<20 { group.addTask { try await client.call(EchoService.echo, [number]) } }
          var answers: Set<[UInt8]> = []
          for try await answer in group { answers.insert(answer) }
          #expect(answers.count == 20)
        }
      }
    }
  }
}

/// What replaces what while the server runs.
@Suite(.timeLimit(.minutes(1)))
struct ContextReloadTests {
  @Test func handshakesThatBeginLaterSeeTheNewCredentials() async throws {
    let parts = try LinkParts()
    let renewed = try parts.federation.identity("server.example", profile: .server())
    let table = try pins((parts.client, "alpha.example"))
    func context(_ identity: TLSIdentity, role: TLSRole, _ verifier: any PinVerifier) throws -> TLSContext {
      try TLSContext(
        role: role, identity: identity, authorities: [parts.federation.authority.certificate], verifier: verifier)
    }
    let contexts = ReloadableTLSContext(try context(parts.server, role: .server, table))
    let transport = try MutualTLSServerTransport.make(host: "127.0.0.1", port: 0, context: contexts)
    try await withEchoServer(transport) {
      func connect() async throws -> MutualTLSClientTransport {
        try await MutualTLSClientTransport.connect(
          host: "127.0.0.1", port: transport.port,
          context: context(
            parts.client, role: .client, pins((parts.server, "server.example"), (renewed, "server.example"))))
      }
      let old = try await connect()
      #expect(old.peer.fingerprint == parts.server.fingerprint)
      contexts.replace(with: try context(renewed, role: .server, table))
      let new = try await connect()
      #expect(new.peer.fingerprint == renewed.fingerprint)
      // The connection made before goes on.
      try await withGRPCClient(transport: old) { client in
        let answer = try await client.call(EchoService.echo, [7])
        #expect(answer == [7])
      }
      // A context whose pins are others: what it does not accept is refused, and closed when asked.
      let none = PinTable([:])
      contexts.replace(with: try context(renewed, role: .server, none))
      await #expect(throws: TransportError.self) { try await connect() }
      transport.disconnectPeers(refusedBy: none)
      await new.waitForClose()
    }
  }
}
