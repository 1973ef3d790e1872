import Cryptography
import DifferentialPrivacy
import Foundation
import Testing

@testable import Federation

/// What single sums of these tests are charged as.
private func noise(_ variance: Double) throws -> PrivacyEvent {
  .skellam(
    try DistributedNoise(squaredL2Sensitivity: 100, dimension: 4, honestShares: 2, localVariance: variance))
}

private func entry(
  _ dataSet: String = "/data/a.csv", run: String = "one", task: TaskKind = .fit, round: Int, variance: Double = 2000
) throws -> LedgerEntry {
  LedgerEntry(
    dataSet: dataSet, run: try RunIdentifier(run), task: task, round: round, unit: .record, event: try noise(variance),
    time: 1)
}

@Suite("The privacy ledger", .timeLimit(.minutes(1)))
struct PrivacyLedgerTests {
  @Test("A charge more is never less, of any kind and for any data, and all data cost as much as each at least")
  func monotone() throws {
    var generator = SystemRandomNumberGenerator()
    for _ in 0..<20 {
      var ledger = try PrivacyLedger()
      var last = ["": 0.0]
      var log: [String] = []
      for round in 1...12 {
        let name = ["/a", "/b", "/c"].randomElement(using: &generator) ?? "/a"
        let variance = Double.random(in: 200...20_000, using: &generator)
        log.append("\(name) \(variance)")
        let next = try entry(name, round: round, variance: variance)
        // What is forecast is what is then charged.
        let forecast = try ledger.epsilon(of: name, unit: .record, delta: 1e-5, with: [(next.event, 1)])
        try ledger.append(next)
        let after = try ledger.epsilon(of: name, unit: .record, delta: 1e-5)
        #expect(after == forecast, "\(log)")
        #expect(after > last[name, default: 0], "\(log)")
        let inAll = try ledger.epsilon(of: nil, unit: .record, delta: 1e-5)
        #expect(inAll > last["", default: 0], "\(log)")
        #expect(inAll >= after, "\(log)")
        for other in ["/a", "/b", "/c"] where other != name {
          #expect(try ledger.epsilon(of: other, unit: .record, delta: 1e-5) == last[other, default: 0], "\(log)")
        }
        (last[name], last[""]) = (after, inAll)
      }
      #expect(try PrivacyLedger(entries: ledger.entries).epsilon(of: nil, unit: .record, delta: 1e-5) == last[""])
    }
  }

  @Test("Nothing costs nothing, and an unaccountable charge is refused")
  func edges() throws {
    let empty = try PrivacyLedger()
    #expect(try empty.epsilon(of: nil, unit: .record, delta: 1e-5) == 0)
    #expect(try empty.epsilon(of: "/unknown", unit: .record, delta: 1e-5) == 0)
    let bad = LedgerEntry(
      dataSet: "/a", run: try RunIdentifier("one"), task: .fit, round: 1, unit: .record,
      event: .gaussian(noiseMultiplier: -1), time: 1
    )
    #expect(throws: FederationError.self) { try PrivacyLedger(entries: [bad]) }
    var ledger = try PrivacyLedger(entries: [entry(round: 1)])
    #expect(throws: FederationError.self) { try ledger.append(bad) }
    #expect(ledger.entries.count == 1)
    // Something that left without noise: no budget reaches anything any more.
    try ledger.append(
      LedgerEntry(
        dataSet: "/data/a.csv", run: RunIdentifier("x"), task: .fit, round: 1, unit: .record, event: .unbounded, time: 1
      ))
    #expect(try ledger.epsilon(of: nil, unit: .record, delta: 1e-5) == .infinity)
    let ceiling = PrivacyCeiling(unit: .record, epsilon: 1000, delta: 1e-5)
    #expect(try !ceiling.forecast([], of: "/data/a.csv", ledger: ledger).isAffordable)
    #expect(try ceiling.forecast([], of: "/data/b.csv", ledger: ledger).after == 0)
  }

  @Test("A charge is for the sum of an opening, whatever the attempt, and for no other")
  func proof() throws {
    let ledger = try PrivacyLedger(entries: [entry(round: 1), entry(run: "two", round: 2)])
    func opening(_ run: String, _ task: TaskKind, _ round: Int, _ attempt: Int = 1) throws -> OpeningIdentifier {
      OpeningIdentifier(run: try RunIdentifier(run), task: task, round: round, attempt: attempt)
    }
    for attempt in 1...3 { #expect(try ledger.charge(for: opening("one", .fit, 1, attempt))?.round == 1) }
    for (run, task, round) in [("one", TaskKind.fit, 2), ("one", .evaluate, 1), ("two", .fit, 1), ("three", .fit, 1)] {
      #expect(try ledger.charge(for: opening(run, task, round)) == nil)
      let charge = try ledger.proof(for: opening(run, task, round))
      let isAbsent = charge == nil
      #expect(isAbsent)
    }
    let paid = try ledger.proof(for: opening("one", .fit, 1))
    let isPaid = paid != nil
    #expect(isPaid)
  }

  @Test("A charge lets its own sum's messages out under a plan with noise, and a plan without needs none")
  func covers() throws {
    let run = try PrivateRun()
    let policy = try Policy(parsing: privatePolicy)
    let ledger = try PrivacyLedger(entries: [entry(run: "one", round: 1)])
    let accepted = try policy.decide(
      plan: run.plan, manifest: run.manifest, featureCount: 3, ledger: (ledger, "/data/b.csv"), at: Date())
    let other = OpeningIdentifier(run: try RunIdentifier("two"), task: .fit, round: 1, attempt: 1)
    for kind in OutboundKind.allCases where kind.requiresAcceptedPlan {
      let decision = accepted.decision(for: kind)
      #expect(decision.requiresCharge == kind.belongsToSum)
      guard let charge = ledger.proof(for: run.opening(.fit, 1)) else {
        Issue.record("no charge")
        return
      }
      let isOwn = charge.covers(run.opening(.fit, 1), under: decision)
      let isOther = [run.opening(.fit, 2), run.opening(.evaluate, 1), other].contains {
        charge.covers($0, under: decision)
      }
      let isOfNone = charge.covers(nil, under: decision)
      let unpaid = PrivacyCharge.notPrivate()
      let isUnpaid = unpaid.covers(run.opening(.fit, 1), under: decision)
      #expect(isOwn)
      #expect(
        isOther == !kind.belongsToSum && isOfNone == !kind.belongsToSum && isUnpaid == !kind.belongsToSum, "\(kind)")
    }
    let plain = try Policy(parsing: documentedPolicy).decide(
      plan: RunPlan(parsing: documentedPlan), manifest: run.manifest, featureCount: 3, ledger: nil, at: Date())
    let decision = plain.decision(for: .maskedInput)
    let free = PrivacyCharge.notPrivate()
    let isFree = free.covers(run.opening(.fit, 1), under: decision)
    #expect(!decision.requiresCharge && isFree)
  }

  // MARK: - Ceilings

  @Test("A forecast holds either ceiling, and names the one that is passed with its numbers")
  func forecasts() throws {
    let event = try noise(2000)
    let ledger = try PrivacyLedger(entries: [entry("/a", round: 1), entry("/b", round: 2)])
    let one = try ledger.epsilon(of: "/a", unit: .record, delta: 1e-5)
    let two = try ledger.epsilon(of: "/a", unit: .record, delta: 1e-5, with: [(event, 1)])
    let three = try ledger.epsilon(of: nil, unit: .record, delta: 1e-5, with: [(event, 1)])
    func forecast(_ epsilon: Double, _ inAll: Double) throws -> PrivacyForecast {
      try PrivacyCeiling(unit: .record, epsilon: epsilon, epsilonInAll: inAll, delta: 1e-5).forecast(
        [(event, 1)], of: "/a", ledger: ledger)
    }
    let enough = try forecast(two, three)
    #expect(enough.isAffordable)
    #expect(enough.spent == one && enough.after == two && enough.afterInAll == three && enough.spentInAll == two)
    let own = try forecast(two.nextDown, 100)
    #expect(!own.isAffordable)
    let inAll = try forecast(100, three.nextDown)
    #expect(!inAll.isAffordable)
    #expect(PrivacyCeiling(unit: .record, epsilon: 2, delta: 1e-5).epsilonInAll == 2)
    let opening = OpeningIdentifier(run: try RunIdentifier("one"), task: .fit, round: 7, attempt: 1)
    let words = BudgetShortage(opening: opening, forecast: try forecast(1.5, 100))
    #expect(
      words.message
        == "fit of round 7 would take these data from ε = \(PrivacyForecast.text(one)) to "
        + "ε = \(PrivacyForecast.text(two)), above the ceiling of 1.500 at δ = 1e-05")
    #expect(words.code == "privacy-budget-spent" && words.blame == .local && !words.remedy.isEmpty)
    #expect(
      BudgetShortage(opening: opening, forecast: try forecast(100, 1.25)).message
        == "fit of round 7 would take all data together from ε = \(PrivacyForecast.text(two)) to "
        + "ε = \(PrivacyForecast.text(three)), above the ceiling of 1.250 at δ = 1e-05")
  }

  @Test("What is said of ε is never less than it is, nor a digit more than it need be")
  func text() throws {
    for (epsilon, text) in [
      (0.0, "0.000"), (1e-9, "0.001"), (0.001, "0.001"), (0.0010001, "0.002"), (1, "1.000"), (2.9990001, "3.000"),
      (2.007, "2.007"), (10.05, "10.050"), (1e9, "1000000000.000"), (.infinity, "∞"),
    ] { #expect(PrivacyForecast.text(epsilon) == text) }
    var generator = SystemRandomNumberGenerator()
    for _ in 0..<2000 {
      let epsilon = Double.random(in: 0...100, using: &generator)
      let said = try #require(Double(PrivacyForecast.text(epsilon)))
      #expect(said >= epsilon && said - epsilon < 0.001 + 1e-12, "\(epsilon)")
      // What is left is never said to be more.
      let left = try #require(Double(PrivacyForecast.text(epsilon, digits: 4, .down)))
      #expect(left <= epsilon && epsilon - left < 0.0001 + 1e-12, "\(epsilon)")
    }
    #expect(
      PrivacyForecast.text(2.99993, digits: 4) == "3.0000"
        && PrivacyForecast.text(2.99993, digits: 4, .down) == "2.9999")
    #expect(
      PrivacyForecast.text(0.5, digits: 1, .down) == "0.5"
        && PrivacyForecast.text(0.00001, digits: 4, .down) == "0.0000")
    // A ceiling is shown as it was written.
    for thousandths in 1...20_000 {
      let written = Double(thousandths) / 1000
      guard Double(PrivacyForecast.text(written)) != written else { continue }
      Issue.record("\(written) is shown as \(PrivacyForecast.text(written))")
    }
  }
}

@Suite("A plan with noise against the budget of a policy", .timeLimit(.minutes(1)))
struct PrivacyBudgetTests {
  private func policy(_ budget: String) throws -> Policy {
    try Policy(
      parsing: documentedPolicy.replacing(one: "{unit: none, epsilon: null, delta: null}", with: "{\(budget)}"))
  }

  private func checks(
    _ policy: Policy, _ ledger: PrivacyLedger?, run: RunIdentifier? = nil, dataSet: String = "/data/a.csv"
  ) throws -> [PolicyCheck] {
    let made = try PrivateRun()
    return policy.explain(
      made.plan, manifest: made.manifest.manifest, featureCount: 3, ledger: ledger.map { ($0, dataSet) },
      run: run
    ).filter { $0.rule.hasPrefix("privacy.") }
  }

  /// What a run of the private plan has been charged up to a round.
  private func charged(
    _ rounds: Int, evaluated: Bool = false, run: String = "one", dataSet: String = "/data/a.csv"
  ) throws -> PrivacyLedger {
    let made = try PrivateRun()
    let noise = try #require(try made.progression.noise(made.manifest.manifest))
    var entries: [LedgerEntry] = []
    func add(_ task: TaskKind, _ round: Int) throws {
      let event = try #require(noise.release(of: task)).event
      entries.append(
        LedgerEntry(
          dataSet: dataSet, run: try RunIdentifier(run), task: task, round: round, unit: .record, event: event, time: 1)
      )
    }
    for round in 1..<(rounds + 1) { try add(.fit, round) }
    if evaluated { try add(.evaluate, rounds) }
    return try PrivacyLedger(entries: entries)
  }

  @Test("Ceilings are read to the value, and what means nothing is refused")
  func parsing() throws {
    #expect(try Policy(parsing: documentedPolicy).ceiling == nil)
    let short = try policy("unit: record, epsilon: 2.5, delta: 1e-6")
    #expect(short.privacy == .record)
    #expect(
      short.ceiling == PrivacyCeiling(unit: .record, epsilon: 2.5, epsilonInAll: 2.5, delta: 1e-6, whenShort: .refuse))
    let long = try policy("unit: organization, epsilon: 1, epsilonInAll: 4, delta: 1e-5, whenShort: stop")
    #expect(
      long.ceiling == PrivacyCeiling(unit: .organization, epsilon: 1, epsilonInAll: 4, delta: 1e-5, whenShort: .stop))
    #expect(try policy("unit: record, epsilon: 1, epsilonInAll: null, delta: 1e-5").ceiling?.epsilonInAll == 1)
    for (text, problem) in [
      ("unit: record, delta: 1e-5", "privacy.epsilon"), ("unit: record, epsilon: 1", "privacy.delta"),
      ("unit: record, epsilon: 0, delta: 1e-5", "privacy.epsilon"),
      ("unit: record, epsilon: 1, delta: 0.5", "privacy.delta"),
      ("unit: record, epsilon: 1, epsilonInAll: -1, delta: 1e-5", "privacy.epsilonInAll"),
      ("unit: record, epsilon: 1, delta: 1e-5, whenShort: ask", "privacy.whenShort"),
      ("unit: none, whenShort: stop", "privacy.whenShort"), ("unit: none, epsilonInAll: 1", "privacy.epsilonInAll"),
    ] {
      let error = federationError { try policy(text) }
      #expect(error?.message.contains(problem) == true, "\(text): \(error?.message ?? "read")")
    }
  }

  @Test("The whole run is held against both ceilings, with the numbers")
  func refuse() throws {
    let enough = try checks(policy("unit: record, epsilon: 3, delta: 1e-5"), PrivacyLedger())
    #expect(enough.map(\.rule) == ["privacy.unit", "privacy.epsilon", "privacy.epsilonInAll"])
    #expect(enough.allSatisfy { $0.isSatisfied })
    // Without a ledger, the run alone is held against the ceiling.
    #expect(try checks(policy("unit: record, epsilon: 3, delta: 1e-5"), nil) == enough)
    let short = try checks(policy("unit: record, epsilon: 2.5, epsilonInAll: 9, delta: 1e-5"), PrivacyLedger())
    #expect(short.filter { !$0.isSatisfied }.map(\.rule) == ["privacy.epsilon"])
    let said = try #require(short.first { $0.rule == "privacy.epsilon" })
    #expect(said.policyValue == "2.500 at delta 1e-05")
    #expect(said.planValue.hasPrefix("0.000 spent, 2.9") || said.planValue.hasPrefix("0.000 spent, 3.000"))
    #expect(said.planValue.hasSuffix(" with this run"))
    // The same ε at a smaller δ costs more.
    let strict = try checks(policy("unit: record, epsilon: 3, delta: 1e-9"), PrivacyLedger())
    #expect(strict.filter { !$0.isSatisfied }.map(\.rule) == ["privacy.epsilon", "privacy.epsilonInAll"])
  }

  @Test("What was charged before counts, for the data set and for all data together")
  func spent() throws {
    let before = try charged(4, evaluated: true, run: "earlier")
    let twice = try policy("unit: record, epsilon: 3.5, delta: 1e-5")
    #expect(try !checks(twice, before).allSatisfy { $0.isSatisfied })
    let other = try checks(twice, before, dataSet: "/data/b.csv")
    #expect(other.filter { !$0.isSatisfied }.map(\.rule) == ["privacy.epsilonInAll"])
    let wide = try policy("unit: record, epsilon: 3.5, epsilonInAll: 6, delta: 1e-5")
    #expect(try checks(wide, before, dataSet: "/data/b.csv").allSatisfy { $0.isSatisfied })
  }

  @Test("What left without noise for the unit, or is forgotten, is named, and left out only where the policy says so")
  func earlierSums() throws {
    let plain = try LedgerEntry(
      dataSet: "/data/a.csv", run: RunIdentifier("plain"), task: .fit, round: 1, unit: .none, event: .unbounded, time: 1
    )
    let organization = try LedgerEntry(
      dataSet: "/data/b.csv", run: RunIdentifier("other"), task: .fit, round: 1, unit: .organization,
      event: noise(2000), time: 2)
    let refusing = try policy("unit: record, epsilon: 3, delta: 1e-5")
    let accepting = try policy("unit: record, epsilon: 3, delta: 1e-5, earlierSums: accept")
    for (ledger, said) in [
      (try PrivacyLedger(entries: [plain, organization]), "2 sums left without noise for the unit record"),
      (try PrivacyLedger(entries: [organization]), "1 sum left without noise for the unit record"),
      (try PrivacyLedger(isIncomplete: true), "an older state has forgotten charges"),
    ] {
      let refused = try checks(refusing, ledger).filter { !$0.isSatisfied }
      #expect(refused.first?.rule == "privacy.earlierSums" && refused.first?.planValue == said)
      #expect(try checks(accepting, ledger).allSatisfy { $0.isSatisfied })
    }
    // Data that nothing left of are free by themselves, and not within all data.
    let free = try checks(refusing, PrivacyLedger(entries: [plain]), dataSet: "/data/c.csv")
    #expect(free.filter { !$0.isSatisfied }.map(\.rule) == ["privacy.earlierSums", "privacy.epsilonInAll"])
  }

  @Test("Who stops when short joins whatever can begin, and nothing that cannot")
  func stop() throws {
    let run = try PrivateRun()
    let noise = try #require(try run.progression.noise(run.manifest.manifest))
    let one = try PrivacyLedger().epsilon(
      of: nil, unit: .record, delta: 1e-5, with: [try #require(noise.charge(of: .fit))])
    for (epsilon, joins) in [(one, true), (one.nextDown, false)] {
      let policy = try policy("unit: record, epsilon: \(epsilon), delta: 1e-5, whenShort: stop")
      let checks = try checks(policy, PrivacyLedger())
      #expect(checks.allSatisfy { $0.isSatisfied } == joins)
      #expect(checks.last?.planValue.hasSuffix(" with its first round") == true)
      let whole = try self.policy("unit: record, epsilon: \(epsilon), delta: 1e-5, whenShort: refuse")
      #expect(try !self.checks(whole, PrivacyLedger()).allSatisfy { $0.isSatisfied })
    }
  }

  @Test("A client that comes back to its run finds what it paid for it paid", arguments: [0, 1, 3, 4])
  func resumed(rounds: Int) throws {
    let exact = try policy("unit: record, epsilon: 3, delta: 1e-5")
    let one = try RunIdentifier("one")
    for evaluated in [false, true] where rounds > 0 || !evaluated {
      let ledger = try charged(rounds, evaluated: evaluated)
      #expect(try checks(exact, ledger, run: one).allSatisfy { $0.isSatisfied })
      // Another run is a run more.
      #expect(try checks(exact, ledger, run: RunIdentifier("two")).allSatisfy { $0.isSatisfied } == (rounds == 0))
    }
    // Charges of another kind under the run's name pay for nothing of it.
    let other = try PrivacyLedger(entries: [entry(run: "one", round: 1, variance: 300)])
    #expect(try !checks(exact, other, run: one).allSatisfy { $0.isSatisfied })
    // Spent to the last round: who stops when short is let in again, to say what it still owes.
    let ledger = try charged(rounds)
    let spent = try ledger.epsilon(of: nil, unit: .record, delta: 1e-5)
    guard rounds > 0 else { return }
    let stopping = try policy("unit: record, epsilon: \(spent), delta: 1e-5, whenShort: stop")
    #expect(try checks(stopping, ledger, run: one).allSatisfy { $0.isSatisfied })
    #expect(try !checks(stopping, ledger, run: RunIdentifier("two")).allSatisfy { $0.isSatisfied })
  }

  @Test("A decision without a ledger refuses a plan with noise, and no other")
  func noLedger() throws {
    let run = try PrivateRun()
    let policy = try policy("unit: record, epsilon: 30, delta: 1e-5")
    do throws(PolicyRefusal) {
      _ = try policy.decide(plan: run.plan, manifest: run.manifest, featureCount: 3, ledger: nil, at: Date())
      Issue.record("accepted")
    } catch {
      #expect(error.violations == [.noLedger])
      #expect(error.message.contains("no ledger to hold it against"))
    }
    let accepted = try policy.decide(
      plan: run.plan, manifest: run.manifest, featureCount: 3, ledger: (PrivacyLedger(), "/a"), at: Date())
    #expect(accepted.checks.map(\.rule).contains("privacy.epsilonInAll"))
  }

  @Test("Units must be the same: noise for rows is none for organisations, and a policy without budget takes no noise")
  func units() throws {
    let run = try PrivateRun()
    let ledger = try PrivacyLedger()
    for (text, plan) in [
      ("unit: organization, epsilon: 30, delta: 1e-5", run.plan),
      ("unit: record, epsilon: 30, delta: 1e-5", try RunPlan(parsing: documentedPlan)),
      ("unit: record, epsilon: 30, delta: 1e-5", try RunPlan(parsing: organizationPlan)),
      ("unit: none", run.plan),
    ] {
      let policy = try policy(text)
      do throws(PolicyRefusal) {
        _ = try policy.decide(
          plan: plan, manifest: run.manifest, featureCount: 3, ledger: (ledger, "/a"), at: Date())
        Issue.record("accepted")
      } catch { #expect(error.violations.map(\.rule) == ["privacy.unit"]) }
    }
  }

  @Test("A plan whose noise cannot be had is refused by the budget's rule, and not accepted for want of a number")
  func impossible() throws {
    let run = try PrivateRun(
      privatePlan.replacing(one: "bits: 32", with: "bits: 8").replacing(
        one: "weightCap: 1000", with: "weightCap: 10000000"
      )
      .replacing(one: "epsilon: 3", with: "epsilon: 0.01"))
    let checks = try Policy(parsing: privatePolicy.replacing(one: "[16, 32]", with: "[8, 32]")).explain(
      run.plan, manifest: run.manifest.manifest, featureCount: 3, ledger: (PrivacyLedger(), "/a"))
    #expect(checks.filter { !$0.isSatisfied }.map(\.rule) == ["privacy.epsilon"])
  }
}
