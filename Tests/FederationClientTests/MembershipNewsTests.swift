import AuditLog
import Cryptography
import Federation
import FederationWire
import Foundation
import Synchronization
import Testing

@testable import FederationClient

@Suite("What a client is told of its federation", .timeLimit(.minutes(1)))
struct MembershipNewsTests {
  private let federation: TestFederation
  private let run: HostileRun
  private var alder: Party { federation.parties[0] }
  private var hub: Party { federation.server }

  init() throws {
    federation = try TestFederation()
    run = try HostileRun(federation)
  }

  private struct Seen {
    let result: Result<ClientOutcome, ClientError>
    let arrivals: [ScriptedServer.Arrival]
    let events: [ClientEvent]
    let records: [AuditRecord]

    var kinds: [String] { arrivals.map(\.message.kind) }
    var proposed: [Int] { events.compactMap { if case .proposed(let version, _) = $0 { version } else { nil } } }
    var forged: Int { events.count { if case .forgedPins = $0 { true } else { false } } }
    var refusals: [String] {
      records.compactMap { $0.event == .policyDecision && $0.policy?.decision == .refused ? $0.policy?.rule : nil }
    }
    var greeted: [ManifestHash] {
      arrivals.compactMap { if case .hello(let greeting) = $0.message.body { greeting.manifest } else { nil } }
    }
  }

  private func play(
    _ script: [ScriptedServer.Reply], awaited: CertificateKeyHash? = nil,
    action: @escaping @Sendable (Int) -> Void = { _ in }
  ) async throws -> Seen {
    let before = (try? federation.records(alder).count) ?? 0
    let server = ScriptedServer(
      logPath: federation.logPath(alder), script, awaited: awaited, action: action)
    let events = Mutex<[ClientEvent]>([])
    let result = try await federation.takePart(
      alder, link: server, idlePause: .milliseconds(1), progress: { event in events.withLock { $0.append(event) } })
    #expect(federation.verify(alder))
    return Seen(
      result: result, arrivals: await server.arrivals, events: events.withLock { $0 },
      records: Array(try federation.records(alder).dropFirst(before)))
  }

  /// The version after another, signed by those who are named.
  private func successor(
    of manifest: SignedManifest? = nil, minimumCohort: Int = 4, by signers: [Party]
  ) throws -> SignedManifest {
    var next = try (manifest ?? federation.manifest).successor(Manifest.Amendment(minimumCohort: minimumCohort))
    for party in signers { try next.approve(as: party.name, with: party.identity()) }
    return next
  }

  private func notice(pins: [UInt8] = [], manifest: SignedManifest? = nil) -> ScriptedServer.Reply {
    .body(.notice(FederationNotice(pins: pins, manifest: manifest?.serializedText ?? "")))
  }

  private func statement(
    _ name: Party? = nil, sequence: Int = 1, key: [UInt8] = [1], next: [UInt8]? = nil, signer: Party? = nil
  ) throws -> SignedPins {
    try SignedPins(
      federation: federation.manifest.manifest.federation, name: (name ?? hub).name, sequence: sequence,
      pins: .init(current: CertificateKeyHash(hashing: key), next: next.map { CertificateKeyHash(hashing: $0) }),
      signedWith: (signer ?? name ?? hub).identity())
  }

  // MARK: - Versions

  @Test("While a later version waits for others, runs go on under the one in force; under the later one once all agree")
  func versionInForce() async throws {
    let first = federation.manifest
    let later = try successor(by: [alder, hub])
    try federation.place(alder).store(later)
    let waiting = try await play([run.announcement(), run.end(), run.end()])
    #expect(waiting.kinds == ["hello", "acceptance", "ready"])
    #expect(waiting.greeted == [later.hash])
    // What is done in the run is on the record under the run's own version.
    #expect(waiting.records.filter { $0.message?.label.kind == "acceptance" }.map(\.manifest) == [first.hash])
    #expect(waiting.records.filter { $0.message?.label.kind == "hello" }.map(\.manifest) == [later.hash])

    let complete = try successor(by: [hub] + federation.parties)
    #expect(complete.hash == later.hash)
    let agreed = try await play([run.announcement(manifest: complete), run.end(), run.end()])
    #expect(agreed.kinds == ["hello", "acceptance", "ready"])
    #expect(try federation.place(alder).manifest()?.isApprovedByAll == true)

    // The way back is closed, whoever signed it.
    let back = try await play([run.announcement(manifest: first), run.end(), run.end()])
    #expect(back.kinds == ["hello", "refusal", "ready"])
    #expect(back.refusals == ["manifest-not-successor"])
  }

  @Test("A version that this organisation has not approved is not acted under, whoever else has")
  func notApprovedHere() async throws {
    let others = try successor(by: [hub] + federation.parties.dropFirst())
    let all = try successor(by: [hub] + federation.parties)
    for shown in [others, all] {
      let seen = try await play([run.announcement(manifest: shown), run.end(), run.end()])
      #expect(seen.kinds == ["hello", "refusal", "ready"])
      #expect(try federation.place(alder).manifest()?.hash == federation.manifest.hash)
    }
  }

  @Test("A version that lacks approvals is refused even if it is the one approved here")
  func incomplete() async throws {
    let later = try successor(by: [alder, hub])
    try federation.place(alder).store(later)
    let seen = try await play([run.announcement(manifest: later), run.end(), run.end()])
    #expect(seen.refusals == ["manifest-not-approved"])
  }

  @Test("A version approved while the client waits is told to the server, and not before the wait has come to it")
  func approvedMeanwhile() async throws {
    let later = try successor(by: [alder, hub])
    let place = federation.place(alder)
    let seen = try await play([.body(.wait), .body(.wait), .body(.wait), run.end(), run.end()]) { count in
      if count == 2 { _ = try? place.store(later) }
    }
    #expect(seen.kinds == ["hello", "poll", "hello", "poll", "ready"])
    #expect(seen.greeted == [federation.manifest.hash, later.hash])
  }

  @Test("A proposed version is kept and shown once, and nothing is done under it")
  func proposed() async throws {
    let later = try successor(by: [hub])
    let seen = try await play([
      notice(manifest: later), notice(manifest: later), run.announcement(manifest: later), run.end(), run.end(),
    ])
    #expect(seen.kinds == ["hello", "ready", "ready", "refusal", "ready"])
    #expect(seen.proposed == [2])
    #expect(try federation.place(alder).proposedManifest()?.hash == later.hash)
    #expect(try federation.place(alder).manifest()?.hash == federation.manifest.hash)
    #expect(seen.refusals == ["manifest-not-successor"])
  }

  @Test("A proposal without the server's signature, of another federation or no later one is not kept")
  func badProposals() async throws {
    let stranger = try TestFederation()
    var foreign = try stranger.manifest.successor(Manifest.Amendment(minimumCohort: 4))
    try foreign.approve(as: stranger.server.name, with: stranger.server.identity())
    let unsigned = try successor(by: Array(federation.parties.dropFirst()))
    let same = try SignedManifest(parsing: federation.manifest.serialized)
    for (shown, isRefused) in [(foreign, true), (unsigned, true), (same, false)] {
      let seen = try await play([notice(manifest: shown), run.end(), run.end()])
      #expect(seen.kinds == ["hello", "ready", "ready"])
      #expect(seen.proposed.isEmpty)
      #expect(try federation.place(alder).proposedManifest() == nil)
      #expect(seen.records.contains { $0.event == .manifestChange && $0.outcome == .refused } == isRefused)
    }
    let garbled = try await play([
      .body(.notice(FederationNotice(manifest: "no note"))), run.end(), run.end(),
    ])
    #expect(garbled.result.value != nil)
    #expect(garbled.records.contains { $0.event == .manifestChange && $0.outcome == .refused })
  }

  @Test("Approvals that others have given meanwhile are kept, and make the version the one in force")
  func approvalsByNotice() async throws {
    try federation.place(alder).store(try successor(by: [alder, hub]))
    let complete = try successor(by: [hub] + federation.parties)
    let seen = try await play([notice(manifest: complete), run.announcement(), run.end(), run.end()])
    #expect(seen.kinds == ["hello", "ready", "refusal", "ready"])
    #expect(try federation.place(alder).manifestInForce()?.hash == complete.hash)
    #expect(seen.events.contains { if case .inForce(2) = $0 { true } else { false } })
  }

  // MARK: - Certificate keys

  @Test("The server's statement of its keys is kept, on the record, and counts from then on; once")
  func serverPins() async throws {
    let statement = try statement(sequence: 3, key: [3], next: [4])
    let seen = try await play([
      notice(pins: statement.serialized), notice(pins: statement.serialized), run.end(), run.end(),
    ])
    #expect(seen.kinds == ["hello", "ready", "ready", "ready"])
    let changes = seen.records.filter { $0.event == .keyChange }
    #expect(changes.map(\.source?.name) == [hub.name])
    #expect(changes.map(\.outcome) == [.succeeded])
    #expect(changes[0].reason == "the server announced certificate keys, statement 3")
    let pins = try Membership(federation.place(alder)).serverPins()
    #expect(Set(pins.keys) == Set(statement.pins.accepted))
    // An older one changes nothing, and is no forgery: it may only be late.
    let older = try await play([notice(pins: try self.statement(sequence: 2).serialized), run.end(), run.end()])
    #expect(older.forged == 0)
    #expect(try Set(Membership(federation.place(alder)).serverPins().keys) == Set(statement.pins.accepted))
    #expect(older.records.contains { $0.event == .manifestChange && $0.error?.code == "pins-older" })
  }

  @Test("Statements in the server's name by another key, with another member's key, or two under one number are shown")
  func forgedPins() async throws {
    let birch = federation.parties[1]
    let honest = try statement(sequence: 1, key: [3])
    let forgeries: [(SignedPins, String)] = [
      (try statement(hub, signer: birch), "pins-not-of-member"),
      (try statement(birch), "pins-not-of-member"),
      (try statement(sequence: 2, key: Array(birch.name.value.utf8)), "pins-of-another-member"),
      (try statement(sequence: 1, key: [9]), "pins-forked"),
    ]
    try federation.place(alder).store(honest, under: federation.manifest.manifest)
    for (forgery, code) in forgeries {
      let seen = try await play([notice(pins: forgery.serialized), run.end(), run.end()])
      #expect(seen.kinds == ["hello", "ready", "ready"])
      #expect(seen.result.value != nil)
      #expect(seen.forged == 1)
      let records = seen.records.filter { $0.event == .keyChange }
      #expect(records.map(\.error?.code) == [code])
      #expect(records.map(\.outcome) == [.refused])
      #expect(try Set(Membership(federation.place(alder)).serverPins().keys) == Set(honest.pins.accepted))
    }
    // Again and again: one entry.
    let twice = try await play([
      notice(pins: forgeries[0].0.serialized), notice(pins: forgeries[0].0.serialized), run.end(), run.end(),
    ])
    #expect(twice.records.count { $0.event == .keyChange } == 1)
  }

  @Test("This organisation's own statement travels with its greeting")
  func ownPins() async throws {
    let own = try statement(alder, sequence: 2, key: [5])
    try federation.place(alder).store(own, under: federation.manifest.manifest)
    let seen = try await play([run.end(), run.end()])
    guard case .hello(let greeting)? = seen.arrivals.first?.message.body else {
      Issue.record("no greeting")
      return
    }
    #expect(greeting.pins == own.serialized)
    #expect(greeting.versions == Array(WireLimits.protocolVersions))
  }

  @Test("In the middle of a run, and of a sum, the server is told of new keys without a new greeting")
  func rotationInARun() async throws {
    let key = CertificateKeyHash(hashing: [6])
    let place = federation.place(alder)
    let manifest = federation.manifest.manifest
    let own = try SignedPins(
      federation: manifest.federation, name: alder.name, sequence: 1,
      pins: .init(current: alder.member.pins.current, next: key), signedWith: alder.identity())
    let stored = ScriptedServer.Reply.body(.stored(StoredBytes(count: 1, isOpen: true)))
    // The statement appears when the run is accepted; then, when the attempt has begun.
    let scripts: [(moment: Int, script: [ScriptedServer.Reply], kinds: [String])] = [
      (
        2, [run.announcement(), .body(.wait), stored, .body(.wait), run.end(), run.end()],
        ["hello", "acceptance", "pins", "poll", "poll", "ready"]
      ),
      (
        3,
        [
          run.announcement(), run.task(run.opening(.statistics)), .body(.wait), stored, .body(.wait), run.end(),
          run.end(),
        ],
        ["hello", "acceptance", "advertise-keys", "pins", "poll", "poll", "ready"]
      ),
    ]
    for (moment, script, kinds) in scripts {
      let told = try await play(script, awaited: key) { if $0 == moment { _ = try? place.store(own, under: manifest) } }
      #expect(told.kinds == kinds)
      let pins = told.arrivals.compactMap { if case .pins(let note) = $0.message.body { note } else { nil } }
      #expect(pins == [own.serialized])
      #expect(told.refusals.isEmpty)
      try FileManager.default.removeItem(atPath: place.pinsPath(of: alder.name))
    }
  }

  @Test("While a later version waits, the server may show the keys that either version gives it")
  func pinsOfBothVersions() throws {
    let key = CertificateKeyHash(hashing: [8])
    let moved = Manifest.Server(
      member: .init(name: hub.name, keys: hub.member.keys, pins: .init(current: key)),
      addresses: [try NetworkAddress("127.0.0.2:1")])
    func later(_ signers: [Party]) throws -> SignedManifest {
      var next = try federation.manifest.successor(Manifest.Amendment(server: moved))
      for party in signers { try next.approve(as: party.name, with: party.identity()) }
      return next
    }
    let place = federation.place(alder)
    try place.store(try later([alder, hub]))
    var membership = try Membership(place)
    #expect(try Set(membership.serverPins().keys) == [key, hub.member.pins.current])
    #expect(membership.addresses.map(\.description) == ["127.0.0.1:7443", "127.0.0.2:1"])
    #expect(try membership.keep(later([hub] + federation.parties)))
    #expect(try Set(membership.serverPins().keys) == [key])
    #expect(membership.addresses.map(\.description) == ["127.0.0.2:1"])
  }
}
