import AuditLog
import Cryptography
import DifferentialPrivacy
import Federation
import FederationWire
import Foundation
import Learning
import SecureAggregation
import Synchronization
import Testing

@testable import FederationClient
@testable import FederationServer

/// Whole runs with noise, with the real coordinator and real clients in one process.
@Suite("Runs with differential privacy", .serialized, .timeLimit(.minutes(4)))
struct PrivateRunTests {
  private let coordinator: CoordinatorTests
  private var federation: TestFederation { coordinator.federation }

  init() throws { coordinator = try CoordinatorTests() }

  private func policies(epsilon: Double = 3, whenShort: String = "refuse") -> [Int: String] {
    Dictionary(
      uniqueKeysWithValues: (0..<4).map { ($0, TestFederation.privatePolicy(epsilon: epsilon, whenShort: whenShort)) })
  }

  /// Everything that may leave in a run with noise, and why it says nothing of a row, or says it with noise.
  private static let allowed = [
    "hello": "manifest, approval and certificate keys: no data are read for it",
    "acceptance": "the plan's hash and the columns that the plan names",
    "refusal": "a hash and one of five words",
    "ready": "empty", "poll": "empty", "fetch": "a place in what the server says",
    "pins": "certificate keys", "witness": "checkpoints of logs: hashes of what is listed here",
    "advertise-keys": "fresh public keys", "share-keys": "encrypted shares of fresh secrets",
    "masked-input": "the term: integers with noise, under masks; charged",
    "consistency-check": "a signature over public hashes", "unmasking": "shares of fresh secrets",
  ]

  private struct Sum: Hashable {
    let run: String
    let task: String
    let round: Int
  }

  @Test(
    "Every counter and every coordinate that leaves is charged, and nothing else that depends on data leaves",
    arguments: ["skellam", "discreteGaussian"])
  func everythingIsCharged(mechanism: String) async throws {
    let plan = try federation.privatePlan(mechanism: mechanism)
    let sent = SentMessages()
    let outcome = try await coordinator.run(
      plan: plan, policies: policies(),
      delay: { name, message in
        sent.note(name, message)
        return nil
      })
    #expect(outcome.report.state == .completed, "\(outcome.report.reason ?? "")")
    #expect(outcome.report.rounds.count == 3)
    for party in federation.parties {
      let ledger = try federation.ledger(party)
      #expect(ledger.entries.map { "\($0.task.rawValue) \($0.round)" } == ["fit 1", "fit 2", "fit 3", "evaluate 3"])
      try checkRecords(party, ledger, plan)
      try checkMessages(sent.all(of: party.name), ledger, plan)
      #expect(federation.verify(party))
    }
    // The budget is spent to the last: the same plan once more is refused by everybody, and costs nothing.
    let second = try await coordinator.run(plan: plan, policies: policies())
    #expect(second.report.state == .stopped)
    for party in federation.parties { #expect(try federation.ledger(party).entries.count == 4) }
  }

  /// The egress log against the ledger.
  private func checkRecords(_ party: Party, _ ledger: PrivacyLedger, _ plan: RunPlan) throws {
    let records = try federation.records(party)
    let noise = try #require(try federation.noise(plan))
    var totals: [Sum: Double] = [:]
    var events: [Sum: PrivacyEvent] = [:]
    var running = try PrivacyLedger()
    for entry in ledger.entries {
      try running.append(entry)
      let sum = Sum(run: entry.run.text, task: entry.task.rawValue, round: entry.round)
      totals[sum] = try running.epsilon(of: entry.dataSet, unit: .record, delta: 1e-5)
      events[sum] = entry.event
    }
    var charged: Set<Sum> = []
    var inputs: Set<Sum> = []
    for record in records {
      let sum = Sum(run: record.run ?? "", task: record.task ?? "", round: record.round ?? -1)
      if record.event == .privacyCharge {
        #expect(record.maskedInput?.epsilonTotal == totals[sum].flatMap { AuditDecimal($0) }, "\(sum)")
        charged.insert(sum)
      }
      guard record.event == .messageSent, let kind = record.message?.label.kind else { continue }
      #expect(Self.allowed[kind] != nil, "\(kind) is not known to say nothing of the data")
      if record.task != nil { #expect(charged.contains(sum), "\(kind) of \(sum) left before its charge") }
      guard kind == "masked-input" else {
        #expect(record.maskedInput == nil, "\(kind)")
        continue
      }
      let input = try #require(record.maskedInput)
      let event = try #require(events[sum])
      #expect(input.dimension + input.counters == event.dimension, "\(sum)")
      #expect(input.epsilonTotal == totals[sum].flatMap { AuditDecimal($0) }, "\(sum)")
      // Its own noise is a part of the whole.
      let release = try #require(noise.release(of: TaskKind(rawValue: sum.task) ?? .statistics))
      let own = try #require(input.localNoise.flatMap { Double($0.text) }) * #require(noise.encoding).scale
      #expect(own * own < 0.6 * release.noise.centralVariance && own >= 0.5, "\(sum)")
      inputs.insert(sum)
    }
    #expect(inputs == Set(totals.keys) && charged == inputs)
    // The last total in the log is what the ledger says of the data.
    let last = records.last { $0.maskedInput?.epsilonTotal != nil }?.maskedInput?.epsilonTotal
    let dataSet = StoredLedger.dataSet(at: federation.dataPath(party))
    #expect(last == AuditDecimal(try ledger.epsilon(of: dataSet, unit: .record, delta: 1e-5)))
    #expect(try ledger.epsilon(of: nil, unit: .record, delta: 1e-5) <= 3)
  }

  /// The messages themselves, as the link took them.
  private func checkMessages(_ messages: [ClientMessage], _ ledger: PrivacyLedger, _ plan: RunPlan) throws {
    var terms = 0
    for message in messages {
      #expect(Self.allowed[message.kind] != nil, "\(message.kind)")
      switch message.body {
      case .acceptance(let hash, let features, _):
        #expect(hash == plan.hash && features == TestFederation.columns)
      case .round(let payload):
        let entry = try #require(ledger.charge(for: payload.opening), "\(payload.kind)")
        guard payload.kind == "masked-input" else {
          #expect(payload.body.isEmpty, "\(payload.kind)")
          continue
        }
        terms += 1
        // Four bytes a coordinate, eight a counter, and nothing beside them.
        let dimension = try #require(entry.event.dimension)
        #expect(payload.body.count == dimension * (payload.opening.task == .fit ? 4 : 8))
      case .segment: Issue.record("a segment of \(message.kind)")
      case .hello, .refusal, .ready, .poll, .fetch, .pins, .witness: break
      }
    }
    #expect(terms == 4)
  }

  @Test(
    "A budget that reaches for two rounds: the run ends with their model, says whose budget it was, and all keep it")
  func budgetSpent() async throws {
    let plan = try federation.privatePlan(rounds: 4)
    var policies = policies()
    let ceiling = try federation.epsilon(fits: 2, of: plan)
    policies[1] = TestFederation.privatePolicy(epsilon: ceiling, whenShort: "stop")
    let outcome = try await coordinator.run(plan: plan, policies: policies)
    #expect(outcome.report.state == .budgetSpent)
    #expect(
      outcome.report.reason == "the privacy budget of birch.example does not reach the fit of round 3",
      "\(outcome.report.reason ?? "")")
    #expect(outcome.report.rounds.map(\.round) == [1, 2])
    let runs = "runs/\(outcome.report.run)/model.safetensors"
    let served = try Data(contentsOf: URL(fileURLWithPath: "\(federation.root.path)/\(runs)"))
    #expect(try ModelArtifact(decoding: [UInt8](served)).round == 2)
    for (index, party) in federation.parties.enumerated() {
      let held = try Data(contentsOf: URL(fileURLWithPath: "\(federation.directory(party))/\(runs)"))
      #expect(held == served, "\(party.name)")
      let rounds = try federation.ledger(party).entries.map(\.round)
      // Of the round that was refused, at most its own charge at the others.
      #expect(index == 1 ? rounds == [1, 2] : rounds == [1, 2] || rounds == [1, 2, 3], "\(party.name): \(rounds)")
      #expect(federation.verify(party))
    }
    let spent = try federation.ledger(federation.parties[1]).epsilon(of: nil, unit: .record, delta: 1e-5)
    #expect(spent <= ceiling)
    let refused = try federation.records(federation.parties[1]).filter {
      $0.event == .policyDecision && $0.policy?.decision == .refused
    }
    #expect(refused.map { $0.policy?.rule } == ["privacy-budget-spent"])
  }

  @Test("A budget that reaches for no evaluation: the run ends with the model of its last round")
  func evaluationNotReached() async throws {
    let plan = try federation.privatePlan(rounds: 2)
    var policies = policies()
    policies[0] = TestFederation.privatePolicy(epsilon: try federation.epsilon(fits: 2, of: plan), whenShort: "stop")
    let outcome = try await coordinator.run(plan: plan, policies: policies)
    #expect(outcome.report.state == .budgetSpent)
    #expect(outcome.report.reason?.hasSuffix("alder.example does not reach the evaluate of round 2") == true)
    let served = try Data(
      contentsOf: URL(fileURLWithPath: "\(federation.root.path)/runs/\(outcome.report.run)/model.safetensors"))
    #expect(try ModelArtifact(decoding: [UInt8](served)).round == 2)
  }

  @Test("Who refuses for want of budget is not in the cohort, has read nothing and pays nothing")
  func refusedBeforeTraining() async throws {
    let plan = try federation.privatePlan(rounds: 1)
    var policies = policies()
    policies[3] = TestFederation.privatePolicy(epsilon: 1)
    let outcome = try await coordinator.run(plan: plan, policies: policies)
    #expect(outcome.report.state == .completed, "\(outcome.report.reason ?? "")")
    #expect(outcome.survivors(of: .fit) == Array(federation.names.prefix(3)))
    let party = federation.parties[3]
    #expect(try federation.ledger(party).entries.isEmpty)
    let records = try federation.records(party)
    let rules = records.filter { $0.policy?.decision == .refused }.map { $0.policy?.rule }
    #expect(rules.contains("privacy.epsilon privacy.epsilonInAll"))
    #expect(records.allSatisfy { $0.event != .messageSent || $0.task == nil })
  }

  @Test("The same model over another set of members is paid for again, and not refused as near")
  func otherMembers() async throws {
    let plan = try federation.privatePlan(rounds: 1)
    var policies = policies(epsilon: 9)
    let all = try await coordinator.run(plan: plan, policies: policies)
    #expect(all.survivors(of: .fit)?.count == 4)
    // Its budget is spent, and the others begin from the same public model without it.
    policies[3] = TestFederation.privatePolicy(epsilon: 3)
    let fewer = try await coordinator.run(plan: plan, policies: policies)
    #expect(fewer.report.state == .completed, "\(fewer.report.reason ?? "")")
    #expect(fewer.survivors(of: .fit) == Array(federation.names.prefix(3)))
    let entries = try federation.ledger(federation.parties[0]).entries
    #expect(entries.map(\.task) == [.fit, .evaluate, .fit, .evaluate] && Set(entries.map(\.run)).count == 2)
  }

  @Test(
    "A member that restarts in a run that fits its budget exactly is let in again, and pays each sum once",
    arguments: [
      (OutboundKind.advertiseKeys, WritingStep.persisted), (.maskedInput, .completed), (.consistencyCheck, .completed),
      (.unmasking, .persisted),
    ])
  func restarts(_ kind: OutboundKind, _ step: WritingStep) async throws {
    // Long enough that it is back before the end, whatever sum it comes too late for.
    let plan = try federation.privatePlan(rounds: 6)
    let outcome = try await coordinator.run(
      [0: [Killer { $0.kind == kind && $0.step == step && $0.opening?.round == 1 }]], plan: plan, policies: policies())
    #expect(outcome.report.state == .completed, "\(outcome.report.reason ?? "")")
    #expect(outcome.survivors(of: .evaluate)?.contains(federation.names[0]) == true)
    let sums = try federation.ledger(federation.parties[0]).entries.map { "\($0.task.rawValue) \($0.round)" }
    #expect(sums.first == "fit 1" && sums.last == "evaluate 6" && Set(sums).count == sums.count, "\(sums)")
    let decisions = try federation.records(federation.parties[0]).compactMap { $0.policy?.decision }
    #expect(!decisions.contains(.refused))
    #expect(federation.verify(federation.parties[0]))
  }

  @Test("The organisation unit trains as well: updates are clipped, noised, summed and turned back")
  func organizations() async throws {
    let plan = try federation.organizationPlan(epsilon: 20)
    let policy = TestFederation.privatePolicy(epsilon: 20, unit: .organization)
    let outcome = try await coordinator.run(
      plan: plan, policies: Dictionary(uniqueKeysWithValues: (0..<4).map { ($0, policy) }))
    #expect(outcome.report.state == .completed, "\(outcome.report.reason ?? "")")
    let ledger = try federation.ledger(federation.parties[0])
    #expect(ledger.entries.map(\.task) == [.fit])
    #expect(try ledger.epsilon(of: nil, unit: .organization, delta: 1e-5) <= 20)
    // To single rows it says nothing.
    #expect(try ledger.epsilon(of: nil, unit: .record, delta: 1e-5) == .infinity)
  }
}

extension PrivacyEvent {
  /// Integers in a release of distributed noise; nil for other kinds.
  fileprivate var dimension: Int? {
    switch self {
    case .skellam(let noise), .distributedDiscreteGaussian(let noise): noise.dimension
    case .gaussian, .poissonSubsampledGaussian, .poissonSubsampledDiscreteGaussian, .discreteGaussian,
      .zeroConcentrated, .tree, .pure, .unbounded, .joint:
      nil
    }
  }
}
