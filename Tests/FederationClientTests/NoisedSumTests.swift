import Cryptography
import DifferentialPrivacy
import Federation
import SecureAggregation
import Testing

@testable import FederationClient

/// Noise of many organisations, added up by the secure sum that none of them can look into.
@Suite("Noise through the secure sum", .timeLimit(.minutes(2)))
struct NoisedSumTests {
  private static let dimension = 4096
  private static let members = 4
  private static let planned = 800.0

  private final class Member {
    let name: OrganizationName
    let identity: IdentitySigningKey
    var machine: ClientRound

    init(_ party: Party, _ context: AggregationContext) throws {
      name = party.name
      identity = try party.identity()
      machine = try ClientRound(context: context, organization: party.name)
    }
  }

  private let server: Party
  private let parties: [Party]
  private let context: AggregationContext

  init() throws {
    server = try Party("hub.example")
    parties = try ["alder", "birch", "cedar", "doum"].map { try Party("\($0).example") }
    context = try AggregationContext(
      binding: BindingDigest(hashing: [1]),
      parameters: AggregationParameters(
        tensorCount: Self.dimension, bits: 20, clip: 1, rounding: .nearest, counters: [], weightCap: 1,
        generator: .aes256CTR, minimumCohort: 3, minimumHonest: 2, assumedCorrupt: 1, encoding: .integers(scale: 1)),
      cohort: parties.map { CohortMember(name: $0.name, identity: $0.member.keys.identity) },
      server: server.member.keys.identity)
  }

  /// One sum; those absent are lost before their masked input.
  private func sum(_ terms: [EncodedTerm], absent: Set<Int>) throws -> [Int64] {
    var round = ServerRound(context: context)
    let signer = try server.identity()
    let members = try parties.map { try Member($0, context) }
    while round.result == nil {
      for (index, member) in members.enumerated() where round.participants.contains(member.name) {
        switch round.message(for: member.name) {
        case nil:
          try round.receive(.advertiseKeys(member.machine.advertise(signer: member.identity)), from: member.name)
        case .beaconRequest(let request):
          try round.receive(.beaconReveal(member.machine.receive(request)), from: member.name)
        case .roster(let roster):
          try round.receive(.shareKeys(member.machine.receive(roster, signer: member.identity)), from: member.name)
        case .shares(let shares):
          if absent.contains(index) { continue }
          let input = try member.machine.receive(shares, term: terms[index], signer: member.identity)
          try round.receive(.maskedInput(input.message), body: input.body, from: member.name)
        case .survivors(let survivors):
          try round.receive(
            .consistencyCheck(member.machine.receive(survivors, signer: member.identity)), from: member.name)
        case .statements(let statements):
          try round.receive(.unmasking(member.machine.receive(statements)), from: member.name)
        }
      }
      try round.advance(signer: signer)
    }
    return try #require(round.result).integers
  }

  /// The mean square of what the decoded sum has beside the true one.
  private func variance(_ noise: NoiseShare, sums: Int, absent: Set<Int>) throws -> Double {
    var randomness = try KeystreamRandomness(generator: .aes256CTR)
    var squares = 0.0
    for _ in 0..<sums {
      var truth = [Int64](repeating: 0, count: Self.dimension)
      var terms: [EncodedTerm] = []
      for index in 0..<Self.members {
        var counts = try CounterContribution(count: Self.dimension, sensitivity: .one)
        for _ in 0..<500 {
          let place = Int.random(in: 0..<Self.dimension, using: &randomness)
          try counts.increment(place)
          if !absent.contains(index) { truth[place] += 1 }
        }
        let integers = counts.finish(adding: noise, using: &randomness)
        terms.append(try EncodedTerm(integers: integers.values, counters: [], context: context))
      }
      try randomness.check()
      for (noised, exact) in zip(try sum(terms, absent: absent), truth) {
        squares += Double((noised - exact) * (noised - exact))
      }
    }
    return squares / Double(sums * Self.dimension)
  }

  @Test(
    "The sum has as many shares of noise as terms: what was planned at the minimum, more above it, less in one share",
    arguments: [NoiseMechanism.skellam, .distributedDiscreteGaussian])
  func shares(mechanism: NoiseMechanism) throws {
    let noise = try NoiseShare(
      mechanism: mechanism, centralVariance: Self.planned,
      cohort: NoiseCohort(size: Self.members, minimum: 3, assumedCorrupt: 1))
    let local = noise.variance(shares: 1)
    #expect(noise.honestShares == 2 && local < Self.planned && 2 * local >= Self.planned)
    // Of 32,768 squares the mean is off by 0.8 percent: eight times that is never seen.
    let all = try variance(noise, sums: 8, absent: [])
    #expect((all / (4 * local) - 1).magnitude < 0.065, "\(all)")
    let fewest = try variance(noise, sums: 8, absent: [2])
    #expect((fewest / (3 * local) - 1).magnitude < 0.065, "\(fewest)")
    // With one that subtracts its own, what was planned is still there.
    #expect(fewest - local >= Self.planned * 0.9 && fewest >= Self.planned)
  }
}

@Suite("An evaluation before it is summed")
struct NoisedEvaluationTermTests {
  /// A plan comes from the server, and may foresee fewer rows than there are. If the sum's bounds had to cut a count off with
  /// its noise, the noise that is charged for would not be there.
  @Test("A bin that is fuller than the plan foresees is cut off before its noise, which is all there")
  func fullBins() throws {
    let federation = try TestFederation(isInMemory: true)
    let text = try federation.privatePlan(epsilon: 8, bins: 2).text
    let plan = try RunPlan(parsing: text.replacingOccurrences(of: "weightCap: 1000", with: "weightCap: 1"))
    let data = try LocalData(path: federation.dataPath(federation.parties[0]), plan: plan)
    let runner = TaskRunner(data: data, plan: plan, minimumRows: 0)
    let progression = RunProgression(plan: plan, run: try RunIdentifier("one"), features: TestFederation.columns)
    let noise = try #require(try federation.noise(plan))
    let share = try #require(noise.release(of: .evaluate)).noise
    // Some bin has several rows in it.
    #expect(data.test.rowCount > 4)
    let (trials, deviation) = (4000, share.variance(shares: 1).squareRoot())
    var (sum, squares) = ([0, 0, 0, 0] as [Double], [0, 0, 0, 0] as [Double])
    for _ in 0..<trials {
      guard case .counters(let counters) = try runner.noised(.evaluate, progression: progression, noise: noise) else {
        Issue.record("another term")
        return
      }
      for (index, value) in counters.enumerated() {
        sum[index] += Double(value)
        squares[index] += Double(value * value)
      }
    }
    let means = sum.map { $0 / Double(trials) }
    // One row or none, but for the error of the mean, of which this is eight times.
    #expect(means.allSatisfy { $0 < 1 + 8 * deviation / Double(trials).squareRoot() }, "\(means)")
    #expect(means.contains { $0 > 1 - 8 * deviation / Double(trials).squareRoot() })
    for (mean, square) in zip(means, squares) {
      let variance = square / Double(trials) - mean * mean
      #expect((variance / (deviation * deviation) - 1).magnitude < 0.2, "\(variance)")
    }
  }
}
