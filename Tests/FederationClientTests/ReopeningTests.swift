import AuditLog
import Cryptography
import Federation
import FederationWire
import Foundation
import Learning
import SecureAggregation
import Synchronization
import Testing

@testable import FederationClient

/// Ends a process at the first point that fits.
final class Killer: Sendable {
  private let fits: @Sendable (WritingPoint) -> Bool
  private let hit = Mutex(false)

  init(_ fits: @escaping @Sendable (WritingPoint) -> Bool) { self.fits = fits }

  var hasStruck: Bool { hit.withLock { $0 } }

  var observer: WritingObserver {
    { point throws(ClientError) in
      guard self.fits(point) else { return }
      self.hit.withLock { $0 = true }
      throw .cancelled
    }
  }
}

/// The process is killed between every two steps, started again, and asked for everything once more.
@Suite("Reopening", .timeLimit(.minutes(2)))
struct ReopeningTests {
  static let kinds: [OutboundKind] = [
    .hello, .acceptance, .advertiseKeys, .shareKeys, .maskedInput, .consistencyCheck, .unmasking, .ready,
  ]

  /// A near opening of another model is allowed once.
  static let policy = Policy.template.replacingOccurrences(of: "count: 8, days: 30", with: "count: 1, days: 30")

  static let points: [(OutboundKind, WritingStep)] = kinds.flatMap { kind in
    WritingStep.allCases.compactMap { step in
      // A greeting follows from no decision about data.
      kind == .hello && step == .decided ? nil : (kind, step)
    }
  }

  private func start(
    _ server: ColludingFederation, _ killer: Killer?
  ) async throws -> Result<ClientOutcome, ClientError> {
    let federation = server.federation
    return try await federation.takePart(
      federation.parties[0], link: server, policy: Self.policy, patience: .zero, idlePause: .zero,
      killedAt: killer?.observer)
  }

  @Test(
    "Killed anywhere, it starts again, and an honest server completes the run", .serialized, arguments: points)
  func honest(_ kind: OutboundKind, _ step: WritingStep) async throws {
    let server = try ColludingFederation(TestFederation(isInMemory: true))
    let killer = Killer { $0.kind == kind && $0.step == step && ($0.opening?.task ?? .statistics) == .statistics }
    #expect(try await start(server, killer).error?.code == "cancelled")
    #expect(killer.hasStruck)
    let result = try await start(server, nil)
    #expect(result.value?.state == .completed, "\(String(describing: result.error?.message))")
    #expect(result.value?.modelPath != nil)
    try await check(server)
    // What was persisted before the loss is released after it; what was not, never.
    let replies = await server.sent.filter { $0.message.kind == .unmasking && $0.opening.task == .statistics }
    let wasLost: Bool =
      switch kind {
      case .advertiseKeys, .beaconReveal, .shareKeys, .maskedInputSegment, .maskedInput, .consistencyCheck: true
      case .unmasking: step == .decided
      // The sum has begun by then, and this server does not wait.
      case .acceptance: step == .sent || step == .completed
      case .hello, .refusal, .ready, .poll, .fetch, .pins, .witness, .complaint: false
      }
    #expect(replies.isEmpty == wasLost)
  }

  @Test(
    "Killed anywhere, no hostile server brings it to contradict what it has sent", .serialized, arguments: points)
  func hostile(_ kind: OutboundKind, _ step: WritingStep) async throws {
    let seed = UInt64.random(in: 0 ... .max)
    try await hostile(kind, step, seed: seed)
  }

  /// Seeds that have failed before.
  @Test(arguments: [(OutboundKind.unmasking, WritingStep.persisted, UInt64(1))])
  func failedBefore(_ kind: OutboundKind, _ step: WritingStep, _ seed: UInt64) async throws {
    try await hostile(kind, step, seed: seed)
  }

  private func hostile(_ kind: OutboundKind, _ step: WritingStep, seed: UInt64) async throws {
    var random = Xoshiro256StarStar(seed: seed)
    let server = try ColludingFederation(TestFederation(isInMemory: true))
    let task: TaskKind = Bool.random(using: &random) ? .statistics : .fit
    let killer = Killer { $0.kind == kind && $0.step == step && ($0.opening?.task ?? task) == task }
    _ = try await start(server, killer)
    #expect(killer.hasStruck, "seed \(seed)")
    await server.turnHostile(Self.acts(&random))
    var processes = 0
    var terms: [OpeningIdentifier: [UInt8]] = [:]
    while await server.hasActs, processes < 16 {
      processes += 1
      // Some of the later processes are lost as well, at any point.
      let steps = Mutex(Int.random(in: 1...60, using: &random))
      let again = Killer { _ in
        steps.withLock {
          $0 -= 1
          return $0 == 0
        }
      }
      _ = try await start(server, again)
      try checkTerms(&terms, server.federation, "seed \(seed)")
    }
    #expect(await !server.hasActs, "seed \(seed)")
    _ = try await start(server, nil)
    try await check(server, "seed \(seed), \(task), killed at \(kind) \(step)")
  }

  /// A term is made once: while it is kept, it is the same.
  private func checkTerms(
    _ terms: inout [OpeningIdentifier: [UInt8]], _ federation: TestFederation, _ comment: String
  ) throws {
    let store = try ClientStore(path: federation.statePath(federation.parties[0]))
    for run in 1...3 {
      for (task, round) in [(TaskKind.statistics, 0), (.fit, 1), (.evaluate, 1)] {
        let opening = OpeningIdentifier(run: try RunIdentifier("run-\(run)"), task: task, round: round, attempt: 0)
        guard let term = try store.opening(opening)?.term else { continue }
        #expect(terms[opening].map { $0 == term } ?? true, "\(opening); \(comment)")
        terms[opening] = term
      }
    }
  }

  private static func acts(_ random: inout Xoshiro256StarStar) -> [ColludingFederation.Act] {
    (0..<10).map { _ in
      switch Int.random(in: 0..<10, using: &random) {
      case 0: .announce(run: Int.random(in: 1...3, using: &random), otherPlan: Bool.random(using: &random))
      case 1: .announce(run: Int.random(in: 1...3, using: &random), otherPlan: false)
      case 2: .statements
      case _:
        .attempt(
          [.statistics, .fit, .fit, .evaluate][Int.random(in: 0..<4, using: &random)],
          attempt: Int.random(in: 1...4, using: &random),
          absent: [nil, 0, 1, 2][Int.random(in: 0..<4, using: &random)], otherModel: Bool.random(using: &random))
      }
    }
  }

  // MARK: - What must hold of everything that left

  private struct Opening: Hashable {
    let run: RunIdentifier
    let task: TaskKind
    let round: Int

    init(_ opening: OpeningIdentifier) {
      run = opening.run
      task = opening.task
      round = opening.round
    }
  }

  private func check(_ server: ColludingFederation, _ comment: String = "") async throws {
    let sent = await server.sent
    #expect(await server.unrecorded.isEmpty, "\(comment)")
    try checkMessages(sent, comment)
    checkReleases(sent, comment)
    let federation = server.federation
    #expect(federation.verify(federation.parties[0]), "\(comment)")
    // Everything that was recorded has an outcome by now.
    let records = try federation.records(federation.parties[0])
    let resolved = Set(records.filter { $0.event == .delivery }.compactMap(\.messageID))
    let open = records.compactMap { $0.event == .messageSent ? $0.message?.id : nil }.filter { !resolved.contains($0) }
    #expect(open.isEmpty, "\(comment)")
    try checkStore(sent, federation, comment)
  }

  /// One message of a kind in an attempt; shares of one attempt only, and of one kind for an owner.
  private func checkMessages(_ sent: [ColludingFederation.Sent], _ comment: String) throws {
    for (opening, messages) in Dictionary(grouping: sent, by: { Opening($0.opening) }) {
      for (attempt, messages) in Dictionary(grouping: messages, by: { $0.opening.attempt }) {
        for (kind, copies) in Dictionary(grouping: messages, by: { $0.message.kind }) {
          let distinct = Set(copies.map { $0.message.encoded() }).count
          #expect(distinct == 1, "\(distinct) \(kind) in attempt \(attempt) of \(opening); \(comment)")
        }
      }
      let replies = messages.filter { $0.message.kind == .unmasking }
      #expect(Set(replies.map { $0.message.encoded() }).count <= 1, "\(opening); \(comment)")
      if let first = messages.firstIndex(where: { $0.message.kind == .unmasking }) {
        let later = messages[first...].filter { $0.opening.attempt != messages[first].opening.attempt }
        #expect(later.isEmpty, "\(opening) went on after a release; \(comment)")
      }
      for reply in replies {
        guard case .unmasking(let unmasking) = reply.message else { continue }
        #expect(Set(unmasking.entries.map(\.owner)).count == unmasking.entries.count, "\(comment)")
        let kinds = unmasking.entries.map { reply.survivors.contains($0.owner) ? ShareKind.selfMask : .mask }
        #expect(unmasking.entries.map(\.kind) == kinds, "\(comment)")
      }
    }
  }

  /// No two sums that were opened over the same data can be differenced against the policy.
  private func checkReleases(_ sent: [ColludingFederation.Sent], _ comment: String) {
    var released: [Opening: ColludingFederation.Sent] = [:]
    for reply in sent where reply.message.kind == .unmasking { released[Opening(reply.opening)] = reply }
    let ordered = sent.filter { $0.message.kind == .unmasking }
      .filter { released[Opening($0.opening)]?.message == $0.message }
    var seen: [ColludingFederation.Sent] = []
    var charged: Set<[String]> = []
    for reply in ordered where !seen.contains(where: { Opening($0.opening) == Opening(reply.opening) }) {
      for earlier in seen where earlier.opening.task == reply.opening.task {
        guard (1...2).contains(earlier.survivors.symmetricDifference(reply.survivors).count) else { continue }
        #expect(earlier.content != reply.content, "\(earlier.opening) and \(reply.opening); \(comment)")
        charged.insert([reply.opening.run.text] + reply.survivors.map(\.value).sorted())
      }
      seen.append(reply)
    }
    #expect(charged.count <= 1, "\(charged); \(comment)")
  }

  /// What is remembered covers what was sent.
  private func checkStore(
    _ sent: [ColludingFederation.Sent], _ federation: TestFederation, _ comment: String
  ) throws {
    let store = try ClientStore(path: federation.statePath(federation.parties[0]))
    let history = try store.history(dataSet: federation.dataPath(federation.parties[0]))
    #expect(history.count { $0.isCharged } <= 1, "\(comment)")
    for message in sent {
      let opening = message.opening
      let known = try #require(try store.opening(opening), "\(opening); \(comment)")
      #expect(known.ledger.highestAttempt ?? 0 >= UInt64(opening.attempt), "\(comment)")
      switch message.message {
      case .advertiseKeys, .beaconReveal, .shareKeys: continue
      case .maskedInput: break
      case .consistencyCheck(let statement):
        let isRemembered = history.contains {
          $0.run == opening.run.text && $0.task == opening.task.rawValue && $0.round == UInt64(opening.round)
            && $0.survivors == message.survivors
        }
        #expect(isRemembered, "\(opening); \(comment)")
        if known.ledger.statement?.attempt == UInt64(opening.attempt) {
          #expect(known.ledger.statement?.digest == statement.statement.digest, "\(comment)")
        }
      case .unmasking: #expect(known.ledger.hasReleased, "\(opening); \(comment)")
      }
      let committed = try store.committed(message.message.kind.rawValue, of: opening)
      #expect(committed?.payload == MessageHash(hashing: message.message.encoded()), "\(comment)")
    }
  }
}
