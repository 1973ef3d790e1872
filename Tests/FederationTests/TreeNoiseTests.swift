import Cryptography
import DifferentialPrivacy
import Foundation
import Learning
import SecureAggregation
import Testing

@testable import Federation

enum TreePlan {
  static let text = """
    schema: bauta/plan/1
    name: fraud
    task: {kind: train, label: y, features: [a, b, c]}
    data: {set: claims, splitSeed: 3, preprocessing: [publicScale], publicScale: {bound: 4}}
    model: {classWeights: uniform}
    strategy: {name: FedSGD, learningRate: 1, expectedExamples: 40}
    rounds: 8
    secureSum: {weightCap: 1000}
    evaluation: {rounds: last, histogramBins: 8}
    privacy: {unit: record, noise: central, tree: {passes: 1}, clip: 1, epsilon: 3, delta: 1e-5}

    """

  static func text(rounds: Int, passes: Int, amount: String = "epsilon: 3", evaluates: Bool = true) -> String {
    let text =
      text
      .replacingOccurrences(of: "rounds: 8", with: "rounds: \(rounds)")
      .replacingOccurrences(of: "passes: 1", with: "passes: \(passes)")
      .replacingOccurrences(of: "epsilon: 3", with: amount)
    return evaluates ? text : text.replacingOccurrences(of: "{rounds: last, histogramBins: 8}", with: "{rounds: none}")
  }

  static func agreement(_ text: String = text) throws -> NoiseAgreement {
    try #require(
      try NoiseAgreement(plan: RunPlan(parsing: text), manifest: TestFederation().manifest(), features: 3))
  }
}

@Suite("Plans whose noise is a tree over the rounds")
struct TreePlanTests {
  @Test("The key is read, and says how rounds are divided")
  func parsing() throws {
    let plan = try RunPlan(parsing: TreePlan.text(rounds: 8, passes: 2))
    #expect(plan.privacy.settings?.tree?.passes == 2)
    let trees = try #require(plan.trees)
    #expect(trees.passes == 2 && trees.steps == 4)
    #expect((1...8).map { trees.place(ofRound: $0).pass } == [1, 1, 1, 1, 2, 2, 2, 2])
    #expect((1...8).map { trees.place(ofRound: $0).step } == [1, 2, 3, 4, 1, 2, 3, 4])
    #expect(
      try RunPlan(parsing: TreePlan.text.replacing(one: "tree: {passes: 1}", with: "tree: {}")).trees?.passes == 1)
    let without = try RunPlan(parsing: TreePlan.text.replacing(one: "tree: {passes: 1}, ", with: ""))
    #expect(without.trees == nil && without.privacy.settings?.tree == nil)
  }

  @Test(
    "What does not go together is refused by name",
    arguments: [
      ("passes: 1", "passes: 0", "privacy.tree.passes"), ("passes: 1", "passes: 1001", "privacy.tree.passes"),
      ("passes: 1", "passes: -1", "privacy.tree.passes"), ("passes: 1", "passes: 1.5", "privacy.tree.passes"),
      ("passes: 1", "passes: 3", "8 rounds cannot be divided into 3 passes"),
      ("passes: 1", "passes: 16", "8 rounds cannot be divided into 16 passes"),
      ("{passes: 1}", "{pass: 1}", "pass"), ("{passes: 1}", "1", "privacy.tree"),
      ("{passes: 1}", "null", "privacy.tree"), ("{passes: 1}", "[1]", "privacy.tree"),
      ("noise: central", "noise: distributed", "a tree is noise that the server adds over many rounds"),
      ("noise: central, ", "", "it needs privacy.noise: central"),
      ("noise: central", "noise: local", "it needs privacy.noise: central"),
      ("FedSGD, learningRate: 1, expectedExamples: 40", "FedAvg", "central noise is for the strategy FedSGD"),
      ("unit: record", "unit: organization", "privacy.unit"),
    ])
  func refused(old: String, new: String, problem: String) throws {
    let error = federationError { try RunPlan(parsing: TreePlan.text.replacing(one: old, with: new)) }
    #expect(error?.message.contains(problem) == true, "\(error?.message ?? "accepted")")
  }

  @Test("What decides which rows are in a term is in the digest that the term is bound to")
  func binding() throws {
    let texts = [
      TreePlan.text, TreePlan.text(rounds: 8, passes: 2), TreePlan.text(rounds: 16, passes: 2),
      try TreePlan.text.replacing(one: "tree: {passes: 1}, ", with: ""),
      try TreePlan.text.replacing(one: "splitSeed: 3", with: "splitSeed: 4"),
    ]
    #expect(try Set(texts.map { try RunPlan(parsing: $0).programHash }).count == texts.count)
    let run = try PrivateRun(TreePlan.text)
    #expect(try run.context(.fit, 1).digest != run.context(.fit, 2).digest)
  }

  // MARK: - Which rows

  private static func table(_ count: Int, seed: UInt64 = 9) throws -> FeatureTable {
    var generator = SplitMix64(seed: seed)
    let values = (0..<3 * count).map { _ in Double(generator.next() >> 40) }
    return try FeatureTable(
      featureNames: ["a", "b", "c"], values: values, labels: (0..<count).map { UInt8($0 % 2) })
  }

  private static func rows(_ table: FeatureTable) -> [[Double]] {
    (0..<table.rowCount).map { Array(table.row($0)) + [Double(table.labels[$0])] }
  }

  @Test("Every row is in one round of each pass, another in the next, and rounds are about even")
  func everyRowOnce() throws {
    let plan = try RunPlan(parsing: TreePlan.text(rounds: 14, passes: 2))
    let table = try Self.table(1400)
    for pass in 0..<2 {
      let rounds = try (1...7).map { try plan.rows(of: table, inRound: 7 * pass + $0) }
      #expect(rounds.reduce(0) { $0 + $1.rowCount } == 1400)
      #expect(Set(rounds.flatMap(Self.rows)) == Set(Self.rows(table)))
      // 200 each, with a standard deviation of 13.
      #expect(rounds.allSatisfy { (120...280).contains($0.rowCount) })
    }
    #expect(try Self.rows(plan.rows(of: table, inRound: 1)) != Self.rows(plan.rows(of: table, inRound: 8)))
    let without = try RunPlan(parsing: TreePlan.text.replacing(one: "tree: {passes: 1}, ", with: ""))
    #expect(try without.rows(of: table, inRound: 3) == table)
    #expect(try plan.rows(of: table.selecting(rows: []), inRound: 3).rowCount == 0)
  }

  @Test("One row more is in one round, and moves no other row")
  func oneRowMore() throws {
    let plan = try RunPlan(parsing: TreePlan.text(rounds: 14, passes: 2))
    let (table, added) = (try Self.table(300), try Self.table(25, seed: 77))
    for row in 0..<added.rowCount {
      let larger = try FeatureTable.concatenating([added.selecting(rows: [row]), table])
      for pass in 0..<2 {
        var changed = 0
        for round in 7 * pass + 1...7 * pass + 7 {
          let (before, after) = (
            Self.rows(try plan.rows(of: table, inRound: round)), Self.rows(try plan.rows(of: larger, inRound: round))
          )
          if after == before { continue }
          changed += 1
          #expect(after == Self.rows(added.selecting(rows: [row])) + before)
        }
        #expect(changed == 1)
      }
    }
  }
}

@Suite("What the noise of a tree is charged as")
struct TreeChargeTests {
  /// What an organisation that takes part in these rounds is charged, round by round, beginning with what it has.
  private static func charged(
    _ agreement: NoiseAgreement, rounds: some Sequence<Int>, dataSet: (Int) -> String = { _ in "/a" },
    into ledger: inout PrivacyLedger
  ) throws -> [Int] {
    let run = try RunIdentifier("one")
    return try rounds.map { round in
      let opening = OpeningIdentifier(run: run, task: .fit, round: round, attempt: 1)
      let charge = try #require(agreement.charge(of: opening, dataSet: dataSet(round), in: ledger))
      try ledger.append(
        LedgerEntry(
          dataSet: dataSet(round), run: run, task: .fit, round: round, unit: .record, event: charge.event,
          count: charge.count, noise: .central, time: 0))
      return charge.count
    }
  }

  @Test(
    "The whole tree is charged with its first round, and the others cost nothing more", arguments: [(7, 3), (8, 4)])
  func firstRound(rounds: Int, height: Int) throws {
    for passes in [1, 2, 3] {
      let agreement = try TreePlan.agreement(TreePlan.text(rounds: passes * rounds, passes: passes))
      var ledger = try PrivacyLedger()
      let counts = try Self.charged(agreement, rounds: 1...passes * rounds, into: &ledger)
      let pass = [height] + Array(repeating: 0, count: rounds - 1)
      #expect(counts == Array((0..<passes).map { _ in pass }.joined()))
      #expect(agreement.charges.map(\.count) == [passes * height, 1])
      #expect(agreement.charge(of: .fit)?.count == height && agreement.charge(of: .evaluate)?.count == 1)
    }
  }

  @Test("What was charged in the end is what the plan says, to the last bit")
  func sameAsPlanned() throws {
    for text in [TreePlan.text, TreePlan.text(rounds: 14, passes: 2), TreePlan.text(rounds: 5, passes: 5)] {
      let agreement = try TreePlan.agreement(text)
      #expect(agreement.form.epsilon <= 3 && agreement.form.epsilon > 2.94)
      let plan = try RunPlan(parsing: text)
      var ledger = try PrivacyLedger()
      _ = try Self.charged(agreement, rounds: 1...plan.rounds, into: &ledger)
      let evaluation = OpeningIdentifier(run: try RunIdentifier("one"), task: .evaluate, round: 8, attempt: 1)
      let charge = try #require(agreement.charge(of: evaluation, dataSet: "/a", in: ledger))
      try ledger.append(
        LedgerEntry(
          dataSet: "/a", run: evaluation.run, task: .evaluate, round: plan.rounds, unit: .record, event: charge.event,
          count: charge.count, noise: .central, time: 0))
      let spent = try ledger.epsilon(of: "/a", unit: .record, delta: 1e-5, trustsServer: true)
      #expect(spent == agreement.form.epsilon)
      #expect(agreement.charges(left: evaluation.run, dataSet: "/a", in: ledger).allSatisfy { $0.count == 0 })
    }
  }

  /// Whoever is away in some rounds has its rows released in nodes of rounds in which it does not take part.
  @Test("An organisation in some rounds only is charged for every node its rows come to be in, and no more")
  func someRounds() throws {
    let steps = 11
    let agreement = try TreePlan.agreement(TreePlan.text(rounds: steps, passes: 1))
    // By the definition, over all prefixes that are ever published.
    var nodesOf: [Int: Set<TreeAggregation.Node>] = [:]
    for step in 1...steps {
      for node in TreeAggregation.prefix(step) {
        for member in node.steps { nodesOf[member, default: []].insert(node) }
      }
    }
    for subset in 1..<(1 << steps) {
      let rounds = (1...steps).filter { subset >> ($0 - 1) & 1 == 1 }
      var ledger = try PrivacyLedger()
      var charged = 0
      for round in rounds {
        charged += try Self.charged(agreement, rounds: [round], into: &ledger)[0]
        // Already when the round's term leaves, for whatever follows.
        let exposed = rounds.filter { $0 <= round }.map { nodesOf[$0]?.count ?? 0 }.max()
        guard charged == exposed else {
          Issue.record("\(rounds), up to \(round): \(charged) for \(exposed ?? 0)")
          return
        }
      }
    }
  }

  @Test("Other rows, another run, other noise and the pass before have paid for nothing")
  func ofItsOwn() throws {
    let agreement = try TreePlan.agreement(TreePlan.text(rounds: 8, passes: 2))
    var ledger = try PrivacyLedger()
    // Another file from the second round on, and back.
    let counts = try Self.charged(
      agreement, rounds: 1...4, dataSet: { $0 == 2 || $0 == 3 ? "/b" : "/a" }, into: &ledger)
    #expect(counts == [3, 2, 0, 0])
    let other = OpeningIdentifier(run: try RunIdentifier("two"), task: .fit, round: 2, attempt: 1)
    #expect(agreement.charge(of: other, dataSet: "/a", in: ledger)?.count == 2)
    let next = OpeningIdentifier(run: try RunIdentifier("one"), task: .fit, round: 5, attempt: 1)
    #expect(agreement.charge(of: next, dataSet: "/a", in: ledger)?.count == 3)
    let wider = try TreePlan.agreement(TreePlan.text(rounds: 8, passes: 2, amount: "epsilon: 2"))
    let second = OpeningIdentifier(run: try RunIdentifier("one"), task: .fit, round: 4, attempt: 1)
    #expect(wider.charge(of: second, dataSet: "/a", in: ledger)?.count == 1)
    // A round that there is not is charged for all.
    for round in [0, 9, 1000] {
      let beyond = OpeningIdentifier(run: try RunIdentifier("one"), task: .fit, round: round, attempt: 1)
      #expect(agreement.charge(of: beyond, dataSet: "/a", in: ledger)?.count == 3)
    }
  }

  /// A client that comes back says before it goes on whether the rest fits its budget.
  @Test("What is left of a run is what its other rounds are charged then, whoever was away and whatever file it reads")
  func left() throws {
    let agreement = try TreePlan.agreement(TreePlan.text(rounds: 22, passes: 2))
    let run = try RunIdentifier("one")
    for first in 1...22 {
      for last in first...22 {
        for dataSet in ["/a", "/b"] {
          var ledger = try PrivacyLedger()
          _ = try Self.charged(agreement, rounds: first...last, into: &ledger)
          let left = agreement.charges(left: run, dataSet: dataSet, in: ledger)
          let rest = try Self.charged(agreement, rounds: (last + 1)..<23, dataSet: { _ in dataSet }, into: &ledger)
          // Who comes to a pass in its middle may yet be away until a later round.
          let most = rest.reduce(0, +)
          guard left.map(\.count) == [most, 1] else {
            Issue.record("rounds \(first) to \(last), then \(dataSet): \(left.map(\.count)) for \(most)")
            return
          }
        }
      }
    }
    let all = agreement.charges.map(\.count)
    #expect(agreement.charges(left: nil, dataSet: "/a", in: try PrivacyLedger()).map(\.count) == all)
    // A charge that the fits have made is not the evaluation's, though it be the same.
    let equal = try TreePlan.agreement(TreePlan.text(rounds: 1, passes: 1))
    let event = equal.charges[1].event
    let fit = LedgerEntry(
      dataSet: "/a", run: run, task: .fit, round: 1, unit: .record, event: event, noise: .central, time: 0)
    #expect(equal.charges(left: run, dataSet: "/a", in: try PrivacyLedger(entries: [fit])).last?.count == 1)
  }

  @Test("Without a tree a sum costs what it costs, whatever was charged before")
  func withoutTree() throws {
    let agreement = try TreePlan.agreement(TreePlan.text.replacing(one: "tree: {passes: 1}, ", with: ""))
    var ledger = try PrivacyLedger()
    #expect(try Self.charged(agreement, rounds: 1...8, into: &ledger) == Array(repeating: 1, count: 8))
    #expect(agreement.trees == nil && agreement.charges.map(\.count) == [8, 1])
  }

  /// Eleven nodes: as many as one row is in with 1600 rounds, which is more than a plan may have.
  @Test("The published figures for 1600 steps are met", arguments: [(1.13, 19.74), (8.83, 2.04)])
  func golden(multiplier: Double, most: Double) throws {
    let text = TreePlan.text(rounds: 11, passes: 11, amount: "noiseMultiplier: \(multiplier)", evaluates: false)
      .replacingOccurrences(of: "delta: 1e-5", with: "delta: 1e-6")
    let agreement = try TreePlan.agreement(text)
    #expect(agreement.charges.map(\.count) == [11] && TreeAggregation.height(steps: 1600) == 11)
    var composition = PrivacyComposition()
    for charge in agreement.charges { try composition.compose(charge.event, count: charge.count) }
    let epsilon = try composition.epsilon(delta: 1e-6)
    #expect(epsilon == agreement.form.epsilon && epsilon <= most && epsilon > 0.8 * most, "\(epsilon)")
  }

  @Test("An entry that counts nothing composes to nothing, and pays for its sum all the same")
  func zero() throws {
    let event = try #require(try TreePlan.agreement().charge(of: .fit)).event
    func entry(_ count: Int, _ round: Int) throws -> LedgerEntry {
      try LedgerEntry(
        dataSet: "/a", run: RunIdentifier("one"), task: .fit, round: round, unit: .record, event: event, count: count,
        noise: .central, time: 0)
    }
    let empty = try PrivacyLedger(entries: [entry(0, 1)])
    #expect(try empty.epsilon(of: nil, unit: .record, delta: 1e-5, trustsServer: true) == 0)
    // It is noise of the server's still: to who does not trust it the sum left without any.
    #expect(try empty.epsilon(of: nil, unit: .record, delta: 1e-5) == .infinity)
    #expect(try empty.proof(for: .init(run: RunIdentifier("one"), task: .fit, round: 1, attempt: 4)) != nil)
    #expect(try empty.proof(for: .init(run: RunIdentifier("one"), task: .fit, round: 2, attempt: 4)) == nil)
    let more = try PrivacyLedger(entries: [entry(4, 1), entry(0, 2)])
    let one = try PrivacyLedger(entries: [entry(4, 1)])
    func epsilon(_ ledger: PrivacyLedger) throws -> Double {
      try ledger.epsilon(of: nil, unit: .record, delta: 1e-5, trustsServer: true)
    }
    #expect(try epsilon(more) == epsilon(one))
    #expect(throws: FederationError.self) { try PrivacyLedger(entries: [entry(-1, 1)]) }
  }
}
