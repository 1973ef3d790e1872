import AuditLog
import Cryptography
import Federation
import FederationWire
import Foundation
import GRPCCore
import SecureAggregation
import Synchronization
import Testing

@testable import FederationClient
@testable import FederationServer
@testable import MutualTLS

/// One process of the server, without a network: sessions, coordinator, and the service that answers messages.
private final class ServerProcess: Sendable {
  let hub: SessionHub
  let lobby: Lobby
  let service: FederationService
  let control = RunControl()
  let log: AuditLogWriter
  let events = Mutex<[RunEvent]>([])

  init(
    _ federation: TestFederation, membership: ServerMembership? = nil, hold: Duration = .seconds(5),
    onEvent: @escaping @Sendable (RunEvent, ServerProcess) -> Void = { _, _ in }
  ) throws {
    hub = SessionHub(hold: hold)
    log = try federation.writer(federation.server)
    let relay = Relay()
    lobby = Lobby(
      hub: hub, membership: membership ?? ServerMembership(federation.manifest), log: log,
      progress: { relay.pass($0) })
    service = FederationService(
      lobby: lobby, spools: MaskedInputSpools(directory: federation.root.path + "/spool"), log: log,
      federation: "fraud.example", traffic: Traffic(), inspect: { _, _ in })
    self.relay = relay
    let pass: @Sendable (RunEvent) -> Void = { [weak self] event in
      guard let self else { return }
      self.events.withLock { $0.append(event) }
      onEvent(event, self)
    }
    relay.target.withLock { $0 = pass }
  }

  private final class Relay: Sendable {
    let target = Mutex<(@Sendable (RunEvent) -> Void)?>(nil)
    func pass(_ event: RunEvent) { target.withLock { $0 }?(event) }
  }

  private let relay: Relay

  func conduct(
    _ agreement: RunAgreement, _ federation: TestFederation, resuming: RunResumption? = nil, report: RunReport? = nil
  ) async throws -> RunReport {
    let path = "\(federation.root.path)/runs/\(agreement.run)"
    let store =
      resuming == nil
      ? try RunStore(directory: path, plan: agreement.plan, manifest: agreement.signedManifest)
      : RunStore(existing: path)
    let relay = relay
    return await RunCoordinator(
      agreement: agreement, lobby: lobby, log: log, store: store, spools: service.spools, traffic: Traffic(),
      identity: try federation.server.identity(),
      settings: .init(patience: .seconds(20), farewell: .milliseconds(500)), control: control, resuming: resuming,
      report: report, progress: { relay.pass($0) }
    ).run()
  }

  func end(_ reason: FederationWire.Refusal) async throws {
    await hub.close(reason)
    try log.close()
  }
}

/// The server's address: a process at a time, or none.
private final class ServerAddress: Sendable {
  let current = Mutex<ServerProcess?>(nil)
}

/// The way from one organisation's client to whatever server process there is.
private actor AddressLink: ServerExchange {
  private let address: ServerAddress
  private let name: OrganizationName
  private var connected: ServerProcess?

  init(_ address: ServerAddress, _ name: OrganizationName) {
    self.address = address
    self.name = name
  }

  var destination: AuditRecord.Peer? { nil }

  func connect() async throws(TransportError) {
    guard connected == nil else { return }
    guard let server = address.current.withLock({ $0 }) else {
      throw .connectionRefused(host: "127.0.0.1", port: 7443)
    }
    connected = server
    server.hub.notify(.connected(name))
  }

  func close() async {
    connected?.hub.notify(.disconnected(name))
    connected = nil
  }

  func exchange(_ recorded: consuming EgressRecorded) async throws -> [UInt8] {
    guard let server = connected else { throw RPCError(code: .unavailable, message: "not connected") }
    guard address.current.withLock({ $0 === server }) else {
      await close()
      throw RPCError(code: .unavailable, message: "gone")
    }
    let peer = PeerIdentity(
      name: name, fingerprint: CertificateKeyHash(hashing: [1]), remoteAddress: "127.0.0.1:1",
      exporter: String(repeating: "0", count: 64), connection: 1)
    do { return try await server.service.exchange(recorded.bytes, from: peer) } catch is AuditLogError {
      // Its log is closed: a real one would not be there any more.
      await close()
      throw RPCError(code: .unavailable, message: "gone")
    }
  }
}

@Suite("A server that ends and comes back", .serialized, .timeLimit(.minutes(2)))
struct ServerReturnTests {
  private let federation: TestFederation

  init() throws { federation = try TestFederation(isInMemory: true) }

  private static let deadlines = "accept: 20s, fit: 20s, step: 20s, reconnect: 50ms"

  private func agreement(rounds: Int = 2, bins: Int = 8) throws -> RunAgreement {
    RunAgreement(
      manifest: federation.manifest, plan: try federation.plan(rounds: rounds, bins: bins, deadlines: Self.deadlines),
      run: RunIdentifier.generate(at: Date()))
  }

  /// Clients that take part until the run is over for them, beside what a test does to servers.
  private func withClients(
    of address: ServerAddress, _ body: () async throws -> RunReport
  ) async throws -> (report: RunReport, outcomes: [ClientOutcome]) {
    let federation = federation
    return try await withThrowingTaskGroup(of: ClientOutcome.self) { group in
      for party in federation.parties {
        group.addTask {
          let link = AddressLink(address, party.name)
          let outcome = try await federation.takePart(
            party, link: link, patience: .seconds(60), idlePause: .milliseconds(20))
          await link.close()
          return try outcome.get()
        }
      }
      let report = try await body()
      var outcomes: [ClientOutcome] = []
      for try await outcome in group { outcomes.append(outcome) }
      return (report, outcomes)
    }
  }

  /// When the operator stops the server.
  enum Moment: String, CaseIterable, Sendable {
    case started, announcing, sharing, masking, statistics, fitted, evaluated

    func matches(_ event: RunEvent) -> Bool {
      switch (self, event) {
      case (.started, .runStarted): true
      case (.announcing, .openingStarted(let opening)): opening.task == .fit && opening.round == 1
      case (.sharing, .stageClosed(.shareKeys, let opening, _, _)): opening.task == .fit && opening.round == 1
      case (.masking, .stageClosed(.maskedInputCollection, let opening, _, _)):
        opening.task == .fit && opening.round == 1
      case (.statistics, .openingCompleted(let opening, _)): opening.task == .statistics
      case (.fitted, .openingCompleted(let opening, _)): opening.task == .fit && opening.round == 1
      case (.evaluated, .openingCompleted(let opening, _)): opening.task == .evaluate && opening.round == 1
      default: false
      }
    }
  }

  @Test("A run is handed back and goes on with the same model, in the same clients", arguments: Moment.allCases)
  func handedBack(_ moment: Moment) async throws {
    let agreement = try agreement()
    let address = ServerAddress()
    let (report, outcomes) = try await withClients(of: address) {
      let first = try ServerProcess(federation) { event, server in
        guard moment.matches(event) else { return }
        server.control.ask(.pause(deadline: .now + .seconds(60)))
        server.hub.notify(.wake)
      }
      address.current.withLock { $0 = first }
      let report = try await first.conduct(agreement, federation)
      #expect(report.state == .interrupted, "\(report.reason ?? "")")
      try await first.end(.paused)
      address.current.withLock { $0 = nil }
      try await Task.sleep(for: .milliseconds(100))
      let store = RunStore(existing: "\(federation.root.path)/runs/\(agreement.run)")
      #expect(RunArchive(path: "\(federation.root.path)/runs").reports().map(\.state) == [.interrupted])
      let second = try ServerProcess(federation)
      address.current.withLock { $0 = second }
      let resumption = try store.progress()
      #expect(resumption != nil)
      let end = try await second.conduct(agreement, federation, resuming: resumption, report: report)
      try await second.end(.shuttingDown)
      return end
    }
    #expect(report.state == .completed, "\(report.reason ?? "")")
    #expect(report.rounds.map(\.round) == [1, 2])
    #expect(report.rounds.allSatisfy { $0.survivors.count == 4 && !$0.metrics.isEmpty })
    #expect(outcomes.map(\.state) == Array(repeating: .completed, count: 4))
    let models = try Set(outcomes.map { try Data(contentsOf: URL(fileURLWithPath: try #require($0.modelPath))) })
    #expect(models.count == 1)
  }

  @Test("A sum that was stored before its server ended is the one of its opening: it is told, and not made again")
  func storedSum() async throws {
    let agreement = try agreement(rounds: 1)
    let address = ServerAddress()
    let (report, outcomes) = try await withClients(of: address) {
      let first = try ServerProcess(federation) { event, server in
        guard Moment.statistics.matches(event) else { return }
        server.control.ask(.pause(deadline: .now))
        server.hub.notify(.wake)
      }
      address.current.withLock { $0 = first }
      let report = try await first.conduct(agreement, federation)
      try await first.end(.paused)
      // As if it had been killed between storing the sum and noting that it is done.
      let store = RunStore(existing: "\(federation.root.path)/runs/\(agreement.run)")
      var progress = try store.progress()
      #expect(progress?.done == 1)
      progress?.done = 0
      progress?.attempts = 1
      if let progress { try store.save(progress) }
      let second = try ServerProcess(federation)
      address.current.withLock { $0 = second }
      let end = try await second.conduct(agreement, federation, resuming: progress, report: report)
      let tasks = second.events.withLock { events in
        events.compactMap { if case .openingStarted(let opening) = $0 { opening.task } else { nil } }
      }
      #expect(tasks == [.fit, .evaluate])
      try await second.end(.shuttingDown)
      return end
    }
    #expect(report.state == .completed, "\(report.reason ?? "")")
    #expect(outcomes.map(\.state) == Array(repeating: .completed, count: 4))
  }

  @Test("A sum that members are bound by is finished before the run is handed back")
  func finishesTheSum() async throws {
    let agreement = try agreement(rounds: 1)
    let address = ServerAddress()
    let (report, _) = try await withClients(of: address) {
      let first = try ServerProcess(federation) { event, server in
        guard case .stageClosed(.maskedInputCollection, let opening, _, _) = event, opening.task == .fit else { return }
        server.control.ask(.pause(deadline: .now + .seconds(60)))
        server.hub.notify(.wake)
      }
      address.current.withLock { $0 = first }
      let report = try await first.conduct(agreement, federation)
      let isFitted = first.events.withLock { events in
        events.contains { if case .openingCompleted(let opening, _) = $0 { opening.task == .fit } else { false } }
      }
      #expect(isFitted)
      try await first.end(.paused)
      let second = try ServerProcess(federation)
      address.current.withLock { $0 = second }
      let store = RunStore(existing: "\(federation.root.path)/runs/\(agreement.run)")
      let progress = try store.progress()
      #expect(progress?.done == 2)
      let end = try await second.conduct(agreement, federation, resuming: progress, report: report)
      try await second.end(.shuttingDown)
      return end
    }
    #expect(report.state == .completed, "\(report.reason ?? "")")
  }

  @Test("A server that dies in the middle of a sum uses no attempt's number again, and the sum is begun anew")
  func diesInTheMiddle() async throws {
    let agreement = try agreement(rounds: 1)
    let address = ServerAddress()
    let (report, _) = try await withClients(of: address) {
      // A deadline that has passed: as if it were killed after members have signed who is in the sum.
      let first = try ServerProcess(federation) { event, server in
        guard case .stageClosed(.maskedInputCollection, let opening, _, _) = event, opening.task == .statistics else {
          return
        }
        server.control.ask(.pause(deadline: .now))
        server.hub.notify(.wake)
      }
      address.current.withLock { $0 = first }
      let report = try await first.conduct(agreement, federation)
      #expect(report.state == .interrupted)
      try await first.end(.paused)
      let second = try ServerProcess(federation)
      address.current.withLock { $0 = second }
      let store = RunStore(existing: "\(federation.root.path)/runs/\(agreement.run)")
      let end = try await second.conduct(
        agreement, federation, resuming: try store.progress(), report: report)
      let attempts = second.events.withLock { events in
        events.compactMap { if case .openingStarted(let opening) = $0 { opening.attempt } else { nil } }
      }
      #expect(attempts == [2, 1, 1])
      try await second.end(.shuttingDown)
      return end
    }
    #expect(report.state == .completed, "\(report.reason ?? "")")
  }

  @Test("A run that is cancelled ends for everybody, with the operator's reason")
  func cancelled() async throws {
    let agreement = try agreement()
    let address = ServerAddress()
    let (report, outcomes) = try await withClients(of: address) {
      let server = try ServerProcess(federation) { event, server in
        guard Moment.sharing.matches(event) else { return }
        server.control.ask(.cancel(reason: "wrong label"))
        server.hub.notify(.wake)
      }
      address.current.withLock { $0 = server }
      let report = try await server.conduct(agreement, federation)
      try await server.end(.shuttingDown)
      return report
    }
    #expect(report.state == .cancelled)
    #expect(report.reason == "cancelled by the operator: wrong label")
    #expect(outcomes.allSatisfy { $0.state == .failed && $0.reason == report.reason })
  }

  @Test("Whoever greets after the end of a run waits for the next one")
  func earlyGreeting() async throws {
    let agreement = try agreement(rounds: 1)
    let address = ServerAddress()
    let server = try ServerProcess(federation)
    address.current.withLock { $0 = server }
    // The end empties the lobby, and whoever greets after it stays in it.
    let names = federation.names
    let (first, _) = try await withClients(of: address) {
      let report = try await server.conduct(agreement, federation)
      return report
    }
    #expect(first.state == .completed)
    #expect(await server.lobby.waiting.isEmpty)
    let approval = try #require(federation.manifest.approval(by: names[0]))
    let hello = ClientMessage(
      identifier: .random(), run: nil, answers: 0,
      body: .hello(Greeting(manifest: federation.manifest.hash, approval: approval)))
    async let greeted = server.hub.exchange(hello, from: names[0])
    for _ in 0..<100 {
      if case .greeted = try await server.lobby.next() { break }
    }
    _ = await greeted
    #expect(await server.lobby.waiting == [names[0]])
    try await server.end(.shuttingDown)
  }

  @Test("Who greets during a run of which it is not part, because it was admitted meanwhile, waits for the next")
  func admittedMeanwhile() async throws {
    let hub = try ServerDirectory.create(at: federation.root.path + "/hub", name: federation.server.name)
    try hub.store(federation.manifest)
    let elm = try Party("elm.example")
    var later = try federation.manifest.admitting(elm.member)
    for party in [federation.server, elm] { try later.approve(as: party.name, with: party.identity()) }
    try hub.store(later)
    let server = try ServerProcess(federation, membership: try ServerMembership(hub), hold: .milliseconds(500))
    let approval = try #require(later.approval(by: elm.name))
    let hello = ClientMessage(
      identifier: .random(), run: nil, answers: 0, body: .hello(Greeting(manifest: later.hash, approval: approval)))
    // Answered after the hold: there is nothing to do for it yet. The run finds it among its first events.
    #expect(await server.hub.exchange(hello, from: elm.name).1 == .wait)
    let agreement = try agreement(rounds: 1)
    let address = ServerAddress()
    address.current.withLock { $0 = server }
    let (report, _) = try await withClients(of: address) { try await server.conduct(agreement, federation) }
    #expect(report.state == .completed, "\(report.reason ?? "")")
    #expect(report.rounds.first?.cohort.count == 4)
    #expect(await server.lobby.waiting == [elm.name])
    try await server.end(.shuttingDown)
  }

  @Test("Bytes that are no message, and segments that nobody asked for, fill no log beyond a rate")
  func floods() async throws {
    let server = try ServerProcess(federation)
    let peer = PeerIdentity(
      name: federation.names[0], fingerprint: CertificateKeyHash(hashing: [1]), remoteAddress: "127.0.0.1:1",
      exporter: String(repeating: "0", count: 64), connection: 1)
    let run = RunIdentifier.generate(at: Date())
    let segment = MaskedInputSegment(
      opening: OpeningIdentifier(run: run, task: .fit, round: 1, attempt: 1), offset: 0, bytes: [1])
    let unasked = try ClientMessage(identifier: .random(), run: run, answers: 0, body: .segment(segment)).encoded()
    let before = server.log.size
    var refused = 0
    for index in 0..<2 * MessageRates.burst {
      do { _ = try await server.service.exchange(index % 2 == 0 ? [1, 2, 3] : unasked, from: peer) } catch {
        #expect((error as? RPCError)?.code == .aborted)
        refused += 1
      }
    }
    #expect(refused > MessageRates.burst / 2)
    // One of them is on record for the whole series.
    #expect(server.log.size - before <= UInt64(2 * MessageRates.burst - refused + 5))
    try await server.end(.shuttingDown)
  }

  @Test("An instruction that is too long for one message arrives in parts, each fetch on the record")
  func longInstruction() async throws {
    let agreement = try agreement(rounds: 1, bins: 40_960)
    let address = ServerAddress()
    let (report, outcomes) = try await withClients(of: address) {
      let server = try ServerProcess(federation)
      address.current.withLock { $0 = server }
      let report = try await server.conduct(agreement, federation)
      try await server.end(.shuttingDown)
      return report
    }
    #expect(report.state == .completed, "\(report.reason ?? "")")
    #expect(outcomes.count == 4)
    for party in federation.parties {
      let fetches = try federation.records(party).filter {
        $0.event == .messageSent && $0.message?.label.kind == "fetch"
      }
      // The result of the evaluation: 640 KiB.
      #expect(fetches.count == 1)
    }
  }
}
