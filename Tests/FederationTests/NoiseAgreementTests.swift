import Cryptography
import DifferentialPrivacy
import Foundation
import SecureAggregation
import Testing

@testable import Federation

@Suite("The noise of a run, and the layouts of its sums", .timeLimit(.minutes(1)))
struct NoiseAgreementTests {
  private func agreement(
    _ text: String = privatePlan, assumedCorrupt: Int = 1, features: Int = 3
  ) throws -> NoiseAgreement? {
    let federation = try TestFederation()
    return try NoiseAgreement(
      plan: RunPlan(parsing: text), manifest: federation.manifest(assumedCorrupt: assumedCorrupt), features: features)
  }

  @Test("A target is met from below and used up, for either mechanism and either unit, with an evaluation or without")
  func target() throws {
    let silent = try privatePlan.replacing(one: "rounds: last", with: "rounds: none")
      .replacing(one: ", evaluationShare: 0.1", with: "")
    let gaussian = try privatePlan.replacing(one: "skellam", with: "discreteGaussian")
    for text in [privatePlan, silent, gaussian, organizationPlan] {
      for epsilon in [0.5, 3, 8] {
        let plan = try text.replacing(one: "epsilon: 3", with: "epsilon: \(epsilon)")
        let agreement = try #require(try agreement(plan))
        #expect(agreement.form.epsilon <= epsilon)
        #expect(agreement.form.epsilon > 0.99 * epsilon)
        // What is charged for the whole run is that, composed anew from the events alone.
        var composition = PrivacyComposition()
        for (event, count) in agreement.charges { try composition.compose(event, count: count) }
        let composed = try composition.epsilon(delta: 1e-5)
        #expect((composed - agreement.form.epsilon).magnitude <= 1e-9 * epsilon)
      }
    }
  }

  @Test("Everything that the run charges: a release a round, and the evaluation")
  func releases() throws {
    let agreement = try #require(try agreement())
    #expect(agreement.charges.map(\.count) == [4, 1])
    #expect(agreement.release(of: .fit) == agreement.distributed?.model)
    #expect(agreement.release(of: .fit)?.dimension == 4)
    #expect(agreement.release(of: .evaluate)?.dimension == 32)
    #expect(agreement.release(of: .statistics) == nil)
    #expect(agreement.charges.map(\.event) == agreement.distributed?.releases.map(\.event))
    // The evaluation gets its share of ρ: what is left is spread over the rounds.
    let model = agreement.form.noiseMultiplier
    let evaluation = try #require(agreement.release(of: .evaluate)).noiseMultiplier
    let share = 1 / (evaluation * evaluation) / (1 / (evaluation * evaluation) + 4 / (model * model))
    #expect((share - 0.1).magnitude < 0.01)
    #expect(try self.agreement(minimalPlan) == nil)
  }

  @Test("Shares are counted of those alone that the smallest sum can be trusted for")
  func honestShares() throws {
    func shares(corrupt: Int = 1) throws -> [Int] {
      try #require(try agreement(assumedCorrupt: corrupt)?.distributed).releases.map(\.noise.honestShares)
    }
    #expect(try shares() == [2, 2])
    #expect(try shares(corrupt: 0) == [2, 2], "each can subtract its own")
    let release = try #require(try agreement()?.distributed).model
    #expect(release.noise.variance(shares: 2) == release.noise.centralVariance)
    #expect(release.noise.variance(shares: 1) < release.noise.centralVariance)
  }

  @Test("Each sum has at least the shares that its noise is sized for, whichever minimum is the smaller")
  func minima() throws {
    let four = try TestFederation.four()
    for (fit, evaluate) in [(3, 4), (4, 3), (4, 4)] {
      let plan = try RunPlan(
        parsing: privatePlan.replacing(
          one: "averagedRounds: 2",
          with: "averagedRounds: 2, minimumFitClients: \(fit), minimumEvaluateClients: \(evaluate)"))
      let noise = try #require(try NoiseAgreement(plan: plan, manifest: four, features: 3))
      for task in [TaskKind.fit, .evaluate] {
        let layout = try TaskLayout(task: task, plan: plan, manifest: four, featureNames: privateFeatures)
        let shares = try #require(noise.release(of: task)).noise.honestShares
        #expect(
          layout.parameters.minimumCohort - max(1, four.assumedCorrupt) >= shares, "\(task) of \(fit), \(evaluate)")
      }
    }
  }

  @Test("Both sides compute the same, once or again, and it follows what it should")
  func same() throws {
    let one = try agreement()
    // Others take its place among the few that are kept.
    var all = Set([one])
    for epsilon in 1...20 {
      all.insert(try agreement(privatePlan.replacing(one: "epsilon: 3", with: "epsilon: 2.\(epsilon + 10)")))
    }
    #expect(all.count == 21)
    #expect(try agreement() == one)
    for (old, new) in [
      ("delta: 1e-5", "delta: 1e-6"), ("clip: 4", "clip: 2"), ("rounds: 4", "rounds: 5"), ("bits: 32", "bits: 24"),
      ("weightCap: 1000", "weightCap: 1000000"), ("evaluationShare: 0.1", "evaluationShare: 0.2"),
      ("histogramBins: 16", "histogramBins: 32"), ("skellam", "discreteGaussian"),
    ] {
      #expect(try agreement(privatePlan.replacing(one: old, with: new)) != one, "\(new)")
    }
    #expect(try agreement(features: 4) != one)
    #expect(try agreement(assumedCorrupt: 0) == one)
  }

  @Test("Noise that cannot be had is a refusal that says so")
  func impossible() throws {
    let narrow = try privatePlan.replacing(one: "bits: 32", with: "bits: 8")
      .replacing(one: "weightCap: 1000", with: "weightCap: 10000000").replacing(
        one: "epsilon: 3", with: "epsilon: 0.01")
    let error = federationError { try agreement(narrow) }
    guard case .privacy? = error else {
      Issue.record("\(String(describing: error))")
      return
    }
    #expect(error?.message.isEmpty == false && error?.remedy.isEmpty == false)
  }

  // MARK: - Layouts

  private func layout(_ task: TaskKind, _ text: String = privatePlan) throws -> TaskLayout {
    let federation = try TestFederation()
    return try TaskLayout(
      task: task, plan: RunPlan(parsing: text), manifest: federation.manifest(), featureNames: privateFeatures)
  }

  @Test("A fit with noise has coordinates and no counter, an evaluation its histogram and nothing else")
  func layouts() throws {
    let fit = try layout(.fit)
    let noise = try #require(fit.noise)
    #expect(fit.parameters.tensorCount == 4)
    #expect(fit.parameters.counters.isEmpty)
    #expect(fit.parameters.encoding == .integers(scale: try #require(noise.encoding).scale))
    #expect(fit.parameters.clip == 4)
    let evaluation = try layout(.evaluate)
    #expect(evaluation.parameters.tensorCount == 0)
    #expect(evaluation.parameters.counters.map(\.name) == ["positive", "negative"])
    #expect(evaluation.parameters.counters.map(\.count) == [16, 16])
    #expect(evaluation.parameters.counters.allSatisfy { $0.isSigned && $0.bound > 1000 })
    #expect(evaluation.parameters.encoding == fit.parameters.encoding)
    let statistics = try? layout(.statistics)
    #expect(
      statistics == nil || statistics?.parameters.tensorCount == 0 && statistics?.parameters.counters.isEmpty == true)
    // Rotated, and so padded to a power of two.
    let update = try layout(.fit, organizationPlan)
    #expect(update.parameters.tensorCount == 4 && update.parameters.counters.isEmpty)
    #expect(
      update.noise?.distributed?.model.squaredL2Sensitivity != noise.distributed?.model.squaredL2Sensitivity
        || update != fit)
  }

  @Test("The context of an attempt depends on the scale, and on nothing that each side may choose")
  func context() throws {
    let run = try PrivateRun()
    let context = try run.context(.fit, 1)
    let own = context.parameters
    let scale = try #require(try layout(.fit).noise?.encoding).scale
    func digest(_ encoding: CoordinateEncoding) throws -> ContextDigest {
      let parameters = try AggregationParameters(
        tensorCount: own.tensorCount, bits: own.bits, clip: own.clip, rounding: own.rounding, counters: own.counters,
        weightCap: own.weightCap, generator: own.generator, minimumCohort: own.minimumCohort,
        minimumHonest: own.minimumHonest, assumedCorrupt: own.assumedCorrupt, graph: own.graph, encoding: encoding)
      return try AggregationContext(
        binding: BindingDigest(hashing: [1]), parameters: parameters, cohort: context.cohort,
        server: run.manifest.manifest.server.keys.identity
      ).digest
    }
    let digests = try [.integers(scale: scale), .integers(scale: scale / 2), .clipped].map(digest)
    #expect(Set(digests).count == 3)
    #expect(try digest(.integers(scale: scale)) == digests[0])
  }
}

extension TestFederation {
  /// A manifest of four organisations.
  static func four() throws -> Manifest {
    let federation = try TestFederation()
    let dogwood = try TestMember("dogwood.example")
    return try .founding(
      federation: OrganizationName("fraud.example"), server: federation.serverEntry, assumedCorrupt: 1,
      minimumCohort: 3,
      organizations: [federation.cedar.member, federation.alder.member, federation.birch.member, dogwood.member])
  }
}
