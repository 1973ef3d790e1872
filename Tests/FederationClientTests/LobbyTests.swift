import AuditLog
import Cryptography
import Federation
import FederationWire
import Foundation
import Synchronization
import Testing

@testable import FederationServer

@Suite("Where sessions begin", .timeLimit(.minutes(1)))
struct LobbyTests {
  private let federation: TestFederation
  private let directory: ServerDirectory
  private let hub = SessionHub(hold: .milliseconds(5))
  private let log: AuditLogWriter
  private let events = Collected()

  private final class Collected: Sendable {
    let all = Mutex<[RunEvent]>([])
  }

  init() throws {
    federation = try TestFederation(isInMemory: true)
    directory = try ServerDirectory.create(at: federation.root.path + "/hub", name: federation.server.name)
    try directory.store(federation.manifest)
    log = try federation.writer(federation.server)
  }

  private func lobby(statementRates: MessageRates = .ofStatements()) throws -> Lobby {
    let events = events
    return Lobby(
      hub: hub, membership: try ServerMembership(directory), log: log, statementRates: statementRates,
      progress: { event in events.all.withLock { $0.append(event) } })
  }

  private func hello(_ party: Party, _ manifest: SignedManifest, pins: [UInt8] = []) throws -> ClientMessage {
    var signed = manifest
    try signed.approve(as: party.name, with: party.identity())
    let approval = try #require(signed.approval(by: party.name))
    return ClientMessage(
      identifier: .random(), run: nil, answers: 0,
      body: .hello(Greeting(manifest: manifest.hash, approval: approval, pins: pins)))
  }

  /// Greets, and returns what the lobby makes of it.
  private func greet(_ lobby: Lobby, _ party: Party, _ message: ClientMessage) async throws -> Lobby.Event {
    async let answer = hub.exchange(message, from: party.name)
    var event = try await lobby.next()
    while case .wake = event { event = try await lobby.next() }
    _ = await answer
    return event
  }

  private func statement(
    _ party: Party, _ sequence: Int, _ text: String, signer: Party? = nil
  ) throws -> SignedPins {
    try SignedPins(
      federation: OrganizationName("fraud.example"), name: party.name, sequence: sequence,
      pins: .init(current: CertificateKeyHash(hashing: Array(text.utf8))),
      signedWith: (signer ?? party).identity())
  }

  private func isGreeted(_ event: Lobby.Event) -> Bool { if case .greeted = event { true } else { false } }

  /// The next instruction for a party after the one with a number.
  private func instruction(_ party: Party, after number: UInt64) async -> (UInt64, ServerMessage.Body) {
    await hub.exchange(
      ClientMessage(identifier: .random(), run: nil, answers: number, body: .poll), from: party.name)
  }

  @Test("A version that waits is shown to everybody, approved over the network, and then in force")
  func approvals() async throws {
    let first = federation.manifest
    var second = try first.successor(.init(minimumCohort: 4))
    try second.approve(as: federation.server.name, with: federation.server.identity())
    try directory.store(second)
    let lobby = try lobby()
    #expect(lobby.membership.current.current.hash == first.hash)
    for party in federation.parties {
      #expect(isGreeted(try await greet(lobby, party, hello(party, first))))
      let (number, body) = await instruction(party, after: 0)
      #expect(number == 1)
      #expect(body == .notice(FederationNotice(manifest: second.serializedText)))
    }
    for party in federation.parties { _ = try await greet(lobby, party, hello(party, second)) }
    #expect(lobby.membership.current.current.hash == second.hash)
    #expect(try directory.manifestInForce()?.hash == second.hash)
    let approvals = try federation.records(federation.server).filter { $0.event == .approval }
    #expect(approvals.map(\.approver) == federation.names.map(\.value))
  }

  @Test("Keys that only the earlier version lists count until the last approval of the later one, and not after")
  func keysOfAnEarlierVersion() async throws {
    let (doum, remaining) = (federation.parties[3], federation.parties.dropLast())
    var second = try federation.manifest.successor(.init(organizations: remaining.map(\.member)))
    try second.approve(as: federation.server.name, with: federation.server.identity())
    try directory.store(second)
    let lobby = try lobby()
    for party in remaining {
      #expect(lobby.membership.current.pins[doum.member.pins.current] == doum.name)
      #expect(lobby.membership.current.organizations.contains(doum.name))
      _ = try await greet(lobby, party, hello(party, second))
    }
    #expect(lobby.membership.current.inForce?.hash == second.hash)
    #expect(lobby.membership.current.pins.count == 3)
    #expect(lobby.membership.current.pins[doum.member.pins.current] == nil)
    #expect(!lobby.membership.current.organizations.contains(doum.name))
    #expect(lobby.membership.current.manifest(federation.manifest.hash) == nil)
  }

  @Test("An old manifest, a foreign signature and a stranger's version are refused")
  func otherManifests() async throws {
    let lobby = try lobby()
    let alder = federation.parties[0]
    let other = try TestFederation(isInMemory: true)
    let event = try await greet(lobby, alder, hello(alder, other.manifest.adding(alder)))
    #expect(!isGreeted(event))
    let (_, notice) = await instruction(alder, after: 0)
    #expect(notice == .notice(FederationNotice(manifest: federation.manifest.serializedText)))
    let (_, body) = await instruction(alder, after: 1)
    #expect(body == .refused(.otherManifest))
  }

  @Test("What an organisation says of its keys is taken once, and what is not its own never")
  func pins() async throws {
    let lobby = try lobby()
    let (alder, birch) = (federation.parties[0], federation.parties[1])
    let own = try statement(alder, 1, "alder-2")
    for _ in 0..<2 { _ = try await greet(lobby, alder, hello(alder, federation.manifest, pins: own.serialized)) }
    let key = CertificateKeyHash(hashing: Array("alder-2".utf8))
    #expect(lobby.membership.current.pins[key] == alder.name)
    #expect(try directory.pinStatements() == [own])
    for wrong in [
      try statement(alder, 1, "alder-3"), try statement(alder, 2, "alder-4", signer: birch),
      try statement(birch, 1, "birch-2"),
    ] {
      let event = try await greet(lobby, alder, hello(alder, federation.manifest, pins: wrong.serialized))
      #expect(isGreeted(event))
    }
    #expect(lobby.membership.current.pins[key] == alder.name)
    #expect(lobby.membership.current.pins.count == 4)
    let records = try federation.records(federation.server).filter { $0.event == .keyChange }
    #expect(records.map { $0.error?.code } == [nil, "pins-forked", "pins-not-of-member", "pins-not-of-member"])
  }

  @Test("A statement that cannot be put on the record does not count, and the lobby says so")
  func unrecordedPins() async throws {
    let lobby = try lobby()
    let alder = federation.parties[0]
    try log.close()
    let message = try hello(
      alder, federation.manifest, pins: statement(alder, 1, "alder-2").serialized)
    await #expect(throws: AuditLogError.self) { try await greet(lobby, alder, message) }
    #expect(lobby.membership.current.statement(of: alder.name) == nil)
    #expect(lobby.membership.current.pins[CertificateKeyHash(hashing: Array("alder-2".utf8))] == nil)
    #expect(try directory.pinStatements().isEmpty)
  }

  @Test(
    "An organisation says ten new things of its keys at once and one a minute, and what is known as often as it likes")
  func statementRates() async throws {
    let time = Mutex(Duration.zero)
    let lobby = try lobby(statementRates: .ofStatements { time.withLock { $0 } })
    let (alder, birch) = (federation.parties[0], federation.parties[1])
    func say(_ party: Party, _ sequence: Int) async throws {
      let note = try statement(party, sequence, "\(party.name) \(sequence)").serialized
      #expect(isGreeted(try await greet(lobby, party, hello(party, federation.manifest, pins: note))))
    }
    func known(_ party: Party) -> Int { lobby.membership.current.sequence(of: party.name) }
    for sequence in 1...10 {
      for _ in 0..<3 { try await say(alder, sequence) }
      #expect(known(alder) == sequence)
    }
    for sequence in 11...13 {
      try await say(alder, sequence)
      #expect(known(alder) == 10)
    }
    #expect(try await lobby.state(statement(alder, 11, "alder.example 11").serialized, by: alder.name) == 10)
    try await say(alder, 10)
    try await say(birch, 1)
    #expect(known(birch) == 1)
    time.withLock { $0 = .seconds(61) }
    try await say(alder, 13)
    #expect(known(alder) == 13)
    try await say(alder, 14)
    #expect(known(alder) == 13)
    let refused = try federation.records(federation.server).filter { $0.error?.code == "too-many-statements" }
    #expect(refused.count == 2 && refused.allSatisfy { $0.source?.name == alder.name })
  }

  @Test("The server's own statement is told to everybody, and who has taken it is known")
  func ownPins() async throws {
    let server = federation.server
    let statement = try SignedPins(
      federation: OrganizationName("fraud.example"), name: server.name, sequence: 1,
      pins: .init(current: server.member.pins.current, next: CertificateKeyHash(hashing: [7])),
      signedWith: server.identity())
    let lobby = try lobby()
    let alder = federation.parties[0]
    _ = try await greet(lobby, alder, hello(alder, federation.manifest))
    #expect(await instruction(alder, after: 0).1 == .wait)
    try directory.store(statement, under: federation.manifest.manifest)
    try lobby.membership.reload()
    await lobby.tellNews()
    await lobby.tellNews()
    let (number, body) = await instruction(alder, after: 0)
    #expect(body == .notice(FederationNotice(pins: statement.serialized)))
    #expect(await instruction(alder, after: number).1 == .wait)
    #expect(await lobby.acknowledgedPins.isEmpty)
    async let ready = hub.exchange(
      ClientMessage(identifier: .random(), run: nil, answers: number, body: .ready), from: alder.name)
    _ = try await lobby.next()
    _ = await ready
    #expect(await lobby.acknowledgedPins == [alder.name: 1])
  }

  @Test("Who is revoked is not among the pins, even in a version that waits, and its session is over")
  func revocation() async throws {
    let lobby = try lobby()
    let alder = federation.parties[0]
    _ = try await greet(lobby, alder, hello(alder, federation.manifest))
    try directory.store(
      Revocation(name: alder.name, identity: alder.member.keys.identity, reason: "left", time: "now"))
    try lobby.membership.reload()
    #expect(lobby.membership.current.pins.count == 3)
    #expect(!lobby.membership.current.organizations.contains(alder.name))
    await hub.dismiss(alder.name)
    guard case .revoked(alder.name) = try await lobby.next() else {
      Issue.record("not told")
      return
    }
    #expect(await lobby.waiting.isEmpty)
    #expect(await instruction(alder, after: 0).1 == .refused(.helloRequired))
  }
}

extension SignedManifest {
  /// Another federation's manifest with this member in it.
  fileprivate func adding(_ party: Party) throws -> SignedManifest {
    manifest.member(named: party.name) == nil
      ? try admitting(party.member)
      : try successor(
        .init(organizations: manifest.organizations.filter { $0.name != party.name } + [party.member]))
  }
}
