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
  ///
  /// - Parameter mayBeLate: whether the run may be over before everybody has greeted; who greets then has no outcome.
  private func withClients(
    of address: ServerAddress, mayBeLate: Bool = false, _ body: () async throws -> RunReport
  ) async throws -> (report: RunReport, outcomes: [ClientOutcome]) {
    let federation = federation
    return try await withThrowingTaskGroup(of: ClientOutcome?.self) { group in
      for party in federation.parties {
        group.addTask {
          let link = AddressLink(address, party.name)
          let outcome = try await federation.takePart(
            party, link: link, patience: .seconds(60), idlePause: .milliseconds(20))
          await link.close()
          if mayBeLate, case .failure(.refused(let refusal)) = outcome, refusal == .shuttingDown { return nil }
          return try outcome.get()
        }
      }
      let report = try await body()
      var outcomes: [ClientOutcome] = []
      for try await outcome in group { if let outcome { outcomes.append(outcome) } }
      return (report, outcomes)
    }
  }

  private func store(of agreement: RunAgreement) -> RunStore {
    RunStore(existing: "\(federation.root.path)/runs/\(agreement.run)")
  }

  /// A server process that hands the run back at a moment, until it has ended.
  ///
  /// - Parameter grace: for the sum that is going on; without any, it is as if the process were killed then.
  private func firstServer(
    _ agreement: RunAgreement, at address: ServerAddress, grace: Duration = .zero,
    until matches: @escaping @Sendable (RunEvent) -> Bool
  ) async throws -> (report: RunReport, process: ServerProcess) {
    let process = try ServerProcess(federation) { event, server in
      guard matches(event) else { return }
      server.control.ask(.pause(deadline: .now + grace))
      server.hub.notify(.wake)
    }
    address.current.withLock { $0 = process }
    let report = try await process.conduct(agreement, federation)
    #expect(report.state == .interrupted, "\(report.reason ?? "")")
    try await process.end(.paused)
    return (report, process)
  }

  /// The process after it, until the run is over.
  private func secondServer(
    _ agreement: RunAgreement, at address: ServerAddress, resuming progress: RunResumption?, report: RunReport
  ) async throws -> (report: RunReport, process: ServerProcess) {
    let process = try ServerProcess(federation)
    address.current.withLock { $0 = process }
    let end = try await process.conduct(agreement, federation, resuming: progress, report: report)
    try await process.end(.shuttingDown)
    return (end, process)
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
      let report = try await firstServer(agreement, at: address, grace: .seconds(60), until: moment.matches).report
      address.current.withLock { $0 = nil }
      try await Task.sleep(for: .milliseconds(100))
      #expect(RunArchive(path: "\(federation.root.path)/runs").reports().map(\.state) == [.interrupted])
      let resumption = try #require(try store(of: agreement).progress())
      return try await secondServer(agreement, at: address, resuming: resumption, report: report).report
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
      let (report, _) = try await firstServer(agreement, at: address, until: Moment.statistics.matches)
      // As if it had been killed between storing the sum and noting that it is done.
      let store = store(of: agreement)
      var progress = try #require(try store.progress())
      #expect(progress.done == 1)
      progress.done = 0
      progress.attempts = 1
      try store.save(progress)
      let (end, second) = try await secondServer(agreement, at: address, resuming: progress, report: report)
      let tasks = second.events.withLock { events in
        events.compactMap { if case .openingStarted(let opening) = $0 { opening.task } else { nil } }
      }
      #expect(tasks == [.fit, .evaluate])
      return end
    }
    #expect(report.state == .completed, "\(report.reason ?? "")")
    #expect(outcomes.map(\.state) == Array(repeating: .completed, count: 4))
  }

  @Test("A fit that was stored before its server ended is on record and in the report, as if that server had said so")
  func storedFit() async throws {
    let agreement = try agreement(rounds: 1)
    let address = ServerAddress()
    let (report, outcomes) = try await withClients(of: address) {
      var (report, _) = try await firstServer(agreement, at: address, until: Moment.fitted.matches)
      #expect(report.rounds.count == 1)
      let told = report.rounds
      // As if it had been killed between storing the sum and reporting it.
      report.rounds = []
      let store = store(of: agreement)
      var progress = try #require(try store.progress())
      #expect(progress.done == 2)
      progress.done = 1
      progress.attempts = 1
      try store.save(progress)
      try store.save(report)
      let model = try store.model(round: 1)
      try FileManager.default.removeItem(atPath: store.directory + "/models/round-1.safetensors")
      let before = try federation.records(federation.server).count
      let (end, _) = try await secondServer(agreement, at: address, resuming: progress, report: report)
      #expect(try store.model(round: 1) == model)
      let records = try federation.records(federation.server).dropFirst(before).filter { $0.event == .roundCompleted }
      #expect(records.map(\.task) == ["fit", "evaluate"])
      #expect(records.first?.model != nil && records.first?.context != nil)
      #expect(end.rounds.map(\.survivors) == told.map(\.survivors))
      #expect(end.rounds.map(\.examples) == told.map(\.examples))
      return end
    }
    #expect(report.state == .completed, "\(report.reason ?? "")")
    #expect(report.rounds.map(\.round) == [1])
    #expect(report.rounds.first?.metrics.isEmpty == false)
    #expect(outcomes.map(\.state) == Array(repeating: .completed, count: 4))
  }

  @Test("What is stored as the last sum and cannot be read is named, and does not pass for no sum")
  func unreadableResult() throws {
    let agreement = try agreement()
    let path = "\(federation.root.path)/runs/\(agreement.run)"
    let store = try RunStore(directory: path, plan: agreement.plan)
    #expect(try store.lastResult(of: agreement.run) == nil)
    func expectUnreadable(_ what: Comment) {
      let error = #expect(throws: ServerError.self, what) { try store.lastResult(of: agreement.run) }
      #expect(error?.code == "run-file-unreadable", what)
    }
    func write(_ bytes: [UInt8]) throws { try AtomicFile.replace(store.lastResultPath, bytes: bytes) }
    try write([1, 2, 3])
    expectUnreadable("no message")
    try write(ServerMessage(instruction: 0, receipt: nil, body: .wait).encoded())
    expectUnreadable("another message")
    let result = OpeningResult(
      opening: OpeningIdentifier(run: agreement.run, task: .fit, round: 1, attempt: 1), aggregate: [1],
      nextModel: ModelHash(hashing: [1]), signer: try federation.server.identity())
    try store.save(result)
    #expect(try store.lastResult(of: agreement.run) == result)
    // A file of that length takes no room; only what follows the message makes it too long.
    truncate(store.lastResultPath, off_t(WireLimits.instructionBytes + 1))
    expectUnreadable("too long")
    try FileManager.default.removeItem(atPath: store.lastResultPath)
    try FileManager.default.createDirectory(atPath: store.lastResultPath, withIntermediateDirectories: false)
    expectUnreadable("no file")
  }

  @Test("A stored sum that does not follow from the run, or that this server has not signed, ends the run by name")
  func foreignResult() async throws {
    let agreement = try agreement(rounds: 1)
    let address = ServerAddress()
    let (report, _) = try await withClients(of: address) {
      let (report, _) = try await firstServer(agreement, at: address, until: Moment.statistics.matches)
      let store = store(of: agreement)
      var progress = try #require(try store.progress())
      progress.done = 0
      try store.save(progress)
      let stored = try #require(try store.lastResult(of: agreement.run))
      try store.save(
        OpeningResult(
          opening: stored.opening, aggregate: stored.aggregate, nextModel: stored.nextModel,
          signer: try federation.parties[0].identity()))
      return try await secondServer(agreement, at: address, resuming: progress, report: report).report
    }
    #expect(report.state == .failed)
    #expect(report.reason?.contains("last-result cannot be read as the sum that was stored last") == true)
  }

  @Test("A sum that members are bound by is finished before the run is handed back")
  func finishesTheSum() async throws {
    let agreement = try agreement(rounds: 1)
    let address = ServerAddress()
    let (report, _) = try await withClients(of: address) {
      let (report, first) = try await firstServer(
        agreement, at: address, grace: .seconds(60), until: Moment.masking.matches)
      let isFitted = first.events.withLock { events in
        events.contains { if case .openingCompleted(let opening, _) = $0 { opening.task == .fit } else { false } }
      }
      #expect(isFitted)
      let progress = try store(of: agreement).progress()
      #expect(progress?.done == 2)
      return try await secondServer(agreement, at: address, resuming: progress, report: report).report
    }
    #expect(report.state == .completed, "\(report.reason ?? "")")
  }

  @Test("A server that dies in the middle of a sum uses no attempt's number again, and the sum is begun anew")
  func diesInTheMiddle() async throws {
    let agreement = try agreement(rounds: 1)
    let address = ServerAddress()
    let (report, _) = try await withClients(of: address) {
      // A deadline that has passed: as if it were killed after members have signed who is in the sum.
      let (report, _) = try await firstServer(agreement, at: address) { event in
        guard case .stageClosed(.maskedInputCollection, let opening, _, _) = event else { return false }
        return opening.task == .statistics
      }
      let (end, second) = try await secondServer(
        agreement, at: address, resuming: try store(of: agreement).progress(), report: report)
      let attempts = second.events.withLock { events in
        events.compactMap { if case .openingStarted(let opening) = $0 { opening.attempt } else { nil } }
      }
      #expect(attempts == [2, 1, 1])
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
    let server = try ServerProcess(federation, hold: .milliseconds(500))
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

  @Test("The manifest of a run is stored when approvals have come, not for every greeting, and a run without it ends")
  func storedManifest() async throws {
    let complete = federation.manifest
    var waiting = try SignedManifest(complete.manifest)
    for party in [federation.server] + federation.parties.dropLast() {
      try waiting.approve(as: party.name, with: party.identity())
    }
    for (manifest, isStorable) in [(complete, true), (waiting, true), (waiting, false)] {
      let plan = try federation.plan(deadlines: Self.deadlines)
      let agreement = RunAgreement(manifest: manifest, plan: plan, run: RunIdentifier.generate(at: Date()))
      let path = "\(federation.root.path)/runs/\(agreement.run)/federation.note"
      let touched = Mutex(false)
      let address = ServerAddress()
      let (report, _) = try await withClients(of: address, mayBeLate: !isStorable) {
        let server = try ServerProcess(federation, membership: ServerMembership(manifest)) { event, _ in
          // Before the first greeting something else takes the place of what was stored with the run.
          guard case .connected = event,
            touched.withLock({ touched in
              defer { touched = true }
              return !touched
            })
          else { return }
          try? FileManager.default.removeItem(atPath: path)
          guard !isStorable else { return }
          try? FileManager.default.createDirectory(atPath: path + "/in the way", withIntermediateDirectories: true)
        }
        address.current.withLock { $0 = server }
        let report = try await server.conduct(agreement, federation)
        try await server.end(.shuttingDown)
        return report
      }
      #expect(report.state == (isStorable ? .completed : .failed), "\(report.reason ?? "")")
      #expect(isStorable || report.reason?.contains("federation.note") == true, "\(report.reason ?? "")")
      let stored = FileManager.default.contents(atPath: path)
      if manifest.isApprovedByAll || !isStorable {
        #expect(stored == nil)
      } else {
        #expect(try SignedManifest(parsing: [UInt8](#require(stored))).isApprovedByAll)
      }
    }
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
