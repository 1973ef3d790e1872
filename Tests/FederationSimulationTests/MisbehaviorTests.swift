import Cryptography
import SecureAggregation
import Testing

@testable import FederationSimulation

@Suite("Misbehaviour in simulations")
struct MisbehaviorTests {
  /// What each kind is noticed as.
  private func code(_ misbehavior: Misbehavior, checksShares: Bool) -> String {
    switch misbehavior {
    case .wrongSignature: "invalid-signature"
    case .wrongLength: "wrong-length"
    case .alteredBody: "masked-input-altered"
    case .wrongShare: checksShares ? "wrong-share" : "blamed"
    case .badCiphertext: "complaint"
    case .secondMessage: "duplicate-message"
    case .otherRound: "context-mismatch"
    }
  }

  private func check(_ report: SimulationReport, count: Int, checksShares: Bool) throws {
    let sum = try #require(report.sums.first)
    #expect(sum.injections.count == count)
    #expect(Set(sum.injections.map(\.misbehavior)) == Set(Misbehavior.allCases))
    for injection in sum.injections {
      #expect(injection.wasSent, "\(injection)")
      #expect(injection.noticed == code(injection.misbehavior, checksShares: checksShares), "\(injection)")
    }
    let accused: Set<Misbehavior> = checksShares ? [.badCiphertext] : [.badCiphertext, .wrongShare]
    #expect(
      sum.blamed == sum.injections.filter { accused.contains($0.misbehavior) }.map(\.organization).sorted())
    #expect(report.isSound)
  }

  @Test("Every kind is noticed where every share is checked", arguments: UInt64(1)...4)
  func smallCohort(seed: UInt64) throws {
    try check(
      try Case(organizations: 18, drop: 60, faults: 7, seed: seed).run(), count: 7, checksShares: true)
  }

  @Test("Every kind is noticed where shares are checked on suspicion", arguments: UInt64(1)...3)
  func largerCohort(seed: UInt64) throws {
    try check(
      try Case(organizations: 70, drop: 100, corrupt: 50, faults: 14, seed: seed).run(), count: 14, checksShares: false)
  }

  @Test("Every kind is noticed on a k-regular graph", arguments: UInt64(1)...2)
  func regularGraph(seed: UInt64) throws {
    try check(
      try Case(organizations: 130, drop: 50, corrupt: 30, faults: 7, seed: seed).run(), count: 7, checksShares: false)
  }

  @Test("What nobody noticed is not sound")
  func slippedThrough() throws {
    var injection = Injection(
      organization: try OrganizationName("org-00001.sim"), misbehavior: .alteredBody, stage: .maskedInputCollection)
    #expect(!injection.slippedThrough)
    injection.wasSent = true
    #expect(injection.slippedThrough)
    injection.noticed = "masked-input-altered"
    #expect(!injection.slippedThrough)
  }

  @Test("A stop before a wrong share could be found does not count against the server")
  func stopped() throws {
    var state = RoundState(isPresent: [true], injections: [:])
    for (position, misbehavior) in Misbehavior.allCases.enumerated() {
      state.injections[position] = Injection(
        organization: try OrganizationName("org-00001.sim"), misbehavior: misbehavior, stage: .shareKeys)
      state.injections[position]?.wasSent = true
    }
    state.forgetWhatCouldNotBeNoticed(checksShares: false)
    let forgotten = state.injections.values.filter { !$0.wasSent }.map(\.misbehavior)
    #expect(Set(forgotten) == [.badCiphertext, .wrongShare])
  }

  @Test("Where all leave or misbehave nobody is left to complain, and nothing counts as sent")
  func noVictim() throws {
    let report = try Case(organizations: 3, faults: 3).run()
    #expect(report.slippedThrough.isEmpty)
  }
}

@Suite("Settings of simulations")
struct SimulationSettingsTests {
  private func error(_ settings: Case) -> SimulationError? {
    do {
      _ = try Simulation(try settings.settings())
      return nil
    } catch { return error as? SimulationError }
  }

  @Test("What is out of range is refused")
  func ranges() {
    #expect(error(Case(organizations: 2)) == .outOfRange(.organizations, allowed: 3...10_000))
    #expect(error(Case(dimension: 0)) == .outOfRange(.dimension, allowed: 1...(1 << 28)))
    #expect(error(Case(bits: 7)) == .outOfRange(.bits, allowed: 8...32))
    #expect(error(Case(organizations: 10, drop: 200, faults: 9)) == .outOfRange(.faults, allowed: 0...8))
    #expect(error(Case(cores: 0)) == .outOfRange(.cores, allowed: 1...64))
    #expect(
      error(Case(organizations: 300, graph: .complete)) == .cohortOutsideGraph(isRegular: false, allowed: 3...256))
    #expect(
      error(Case(organizations: 50, graph: .regular)) == .cohortOutsideGraph(isRegular: true, allowed: 101...10_000))
    guard case .refused(.parameters(.tensorsWrap)) = error(Case(organizations: 200, bits: 8)) else {
      Issue.record("8 bits cannot hold 200 terms")
      return
    }
  }

  @Test("An infeasible graph says which rates are possible, and they are")
  func infeasible() throws {
    guard case .infeasibleGraph(let rates) = error(Case(organizations: 500, drop: 400, corrupt: 300)) else {
      Issue.record("there is no such graph")
      return
    }
    let losses = try #require(rates.largestLosses).perMille
    let corrupt = try #require(rates.largestCorrupt).perMille
    #expect(losses < 400 && corrupt < 300)
    #expect(error(Case(organizations: 500, drop: losses, corrupt: 300)) == nil)
    #expect(error(Case(organizations: 500, drop: losses + 10, corrupt: 300)) != nil)
    #expect(error(Case(organizations: 500, drop: 400, corrupt: corrupt)) == nil)
    #expect(rates.remedy.contains("--drop up to \(Double(losses) / 1000)"))
  }
}
