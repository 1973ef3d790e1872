import Cryptography
import DifferentialPrivacy
import Foundation
import Learning
import SecureAggregation
import Testing

@testable import Federation

@Suite("A clip that follows the norms of the updates", .timeLimit(.minutes(1)))
struct AdaptiveClippingTests {
  private static let group = "clip: 4, adaptiveClipping: {quantile: 0.7, learningRate: 0.3, bitShare: 0.2}"
  static let plan = organizationPlan.replacingOccurrences(of: "clip: 4", with: group)

  // MARK: - The plan

  @Test("The keys are read to the value, and have defaults")
  func read() throws {
    let settings = try #require(try RunPlan(parsing: Self.plan).privacy.settings)
    #expect(settings.clip == 4)
    let adaptive = try #require(settings.adaptiveClipping)
    #expect(adaptive.step.quantile == 0.7 && adaptive.step.learningRate == 0.3 && adaptive.bitShare == 0.2)
    let short = try RunPlan(
      parsing: organizationPlan.replacing(one: "clip: 4", with: "clip: 4, adaptiveClipping: {quantile: 0.5}"))
    let defaults = try #require(short.privacy.settings?.adaptiveClipping)
    #expect(defaults.step.quantile == 0.5 && defaults.step.learningRate == 0.2 && defaults.bitShare == 0.1)
    let bare = try RunPlan(parsing: organizationPlan.replacing(one: "clip: 4", with: "clip: 4, adaptiveClipping: {}"))
    #expect(bare.privacy.settings?.adaptiveClipping == defaults)
    #expect(try RunPlan(parsing: organizationPlan).privacy.settings?.adaptiveClipping == nil)
    #expect(try RunPlan(parsing: Self.plan).steps.map(\.task) == [.fit, .fit, .fit, .fit])
  }

  @Test(
    "What cannot be read, and what does not go together",
    arguments: [
      ("quantile: 0.7", "quantile: 0", "privacy.adaptiveClipping.quantile: expected a number above 0 and below 1"),
      ("quantile: 0.7", "quantile: 1", "privacy.adaptiveClipping.quantile: expected a number above 0 and below 1"),
      ("quantile: 0.7", "quantile: half", "privacy.adaptiveClipping.quantile: expected a number"),
      (
        "learningRate: 0.3", "learningRate: 0",
        "privacy.adaptiveClipping.learningRate: expected a number above 0 and at most 10"
      ),
      ("learningRate: 0.3", "learningRate: 11", "expected a number above 0 and at most 10, found '11'"),
      ("bitShare: 0.2", "bitShare: 0", "privacy.adaptiveClipping.bitShare: expected a number from 0.0001 to 0.9999"),
      ("bitShare: 0.2", "bitShare: 1", "privacy.adaptiveClipping.bitShare: expected a number from 0.0001 to 0.9999"),
      ("bitShare: 0.2", "bitMultiplier: 2", "privacy.adaptiveClipping.bitMultiplier"),
      ("{quantile: 0.7, learningRate: 0.3, bitShare: 0.2}", "true", "privacy.adaptiveClipping"),
      (
        "unit: organization", "unit: organization, noise: local",
        "privacy.adaptiveClipping: the bits that move the clip travel with noise of all organisations"
      ),
      (
        "unit: organization", "unit: organization, noise: central",
        "privacy.adaptiveClipping: the bits that move the clip travel with noise of all organisations"
      ),
      (
        "unit: organization", "unit: record",
        "privacy.adaptiveClipping: the clip follows the norms of whole updates: it needs privacy.unit: organization"
      ),
    ])
  func refused(old: String, new: String, problem: String) throws {
    // Noise that one party adds alone has one mechanism.
    let base = new.contains("noise:") ? try Self.plan.replacing(one: "mechanism: skellam, ", with: "") : Self.plan
    let text = try base.replacing(one: old, with: new)
    let error = federationError { try RunPlan(parsing: text) }
    #expect(error?.message.contains(problem) == true, "\(error?.message ?? "accepted")")
    #expect(error?.remedy.isEmpty == false)
  }

  @Test("FedSGD of single rows has no clip that follows")
  func notForRecords() throws {
    let text = try privatePlan.replacing(one: "clip: 4", with: Self.group)
    #expect(
      federationError { try RunPlan(parsing: text) }?.message.contains("it needs privacy.unit: organization") == true)
  }

  // MARK: - Noise and charge

  private func agreement(_ text: String = plan) throws -> NoiseAgreement {
    try #require(
      try NoiseAgreement(plan: RunPlan(parsing: text), manifest: TestFederation().manifest(), features: 3))
  }

  @Test(
    "Update and bits together keep to the target and use it up, by either mechanism",
    arguments: ["skellam", "discreteGaussian"], [0.5, 3, 8] as [Double])
  func target(mechanism: String, epsilon: Double) throws {
    let text = try Self.plan.replacing(one: "skellam", with: mechanism)
      .replacing(one: "epsilon: 3", with: "epsilon: \(epsilon)")
    let agreement = try agreement(text)
    #expect(agreement.form.epsilon <= epsilon && agreement.form.epsilon > 0.99 * epsilon)
    // Composed anew, from the releases one by one.
    let noise = try #require(agreement.distributed)
    let bit = try #require(agreement.clipBit)
    #expect(noise.releases.map(\.name) == ["model", "clip"] && noise.releases.allSatisfy { $0.releases == 4 })
    var apart = PrivacyComposition()
    for release in noise.releases { try apart.compose(release.event, count: release.releases) }
    #expect(try apart.epsilon(delta: 1e-5) == agreement.form.epsilon)
    guard case .skellam(let ofBit) = bit.event else {
      Issue.record("the bit has other noise than Skellam")
      return
    }
    #expect(ofBit.squaredL2Sensitivity == 1 && ofBit.l1Sensitivity == 1 && ofBit.dimension == 1)
    // The share of ρ, but for the rounding of variances.
    let (z, ofClip) = (noise.model.noiseMultiplier, bit.noiseMultiplier)
    let share = pow(ofClip, -2) / (pow(ofClip, -2) + pow(z, -2))
    #expect(abs(share - 0.2) < 0.001, "\(share)")
    // It costs the update noise: z grows by 1/√(1 − share).
    let fixed = try self.agreement(
      organizationPlan.replacing(one: "skellam", with: mechanism)
        .replacing(one: "epsilon: 3", with: "epsilon: \(epsilon)"))
    #expect(abs(z / fixed.form.noiseMultiplier * 0.8.squareRoot() - 1) < 0.02)
  }

  @Test("The share is kept with a given multiplier too, down to half an integer of noise in a share")
  func multiplier() throws {
    let given = try agreement(Self.plan.replacing(one: "epsilon: 3", with: "noiseMultiplier: 2"))
    #expect(abs(try #require(given.clipBit).noiseMultiplier / 4 - 1) < 1e-3)
    let faint = try agreement(Self.plan.replacing(one: "epsilon: 3", with: "noiseMultiplier: 0.1"))
    #expect(try #require(faint.clipBit).noise.localVariance.numerator > 0)
    #expect(abs(try #require(faint.clipBit).noiseMultiplier - 0.5.squareRoot()) < 1e-3)
  }

  @Test("What the run costs is what the ledger has after it, to the last bit, whole or in part")
  func ledger() throws {
    let agreement = try agreement()
    let charge = try #require(agreement.charge(of: .fit))
    #expect(charge.count == 1 && agreement.charges.count == 1)
    #expect(agreement.charges.first?.event == charge.event && agreement.charges.first?.count == 4)
    let releases = try #require(agreement.distributed).releases
    #expect(charge.event == .joint(releases.map(\.event)))
    #expect(try PrivacyEvent(canonical: charge.event.canonical) == charge.event)
    #expect(agreement.charge(of: .evaluate) == nil && agreement.charge(of: .statistics) == nil)
    let run = try RunIdentifier("one")
    var ledger = try PrivacyLedger()
    for round in 1...4 {
      let left = agreement.charges(left: run, dataSet: "/data.csv", in: ledger)
      #expect(left.map(\.count) == [5 - round])
      let whole = try ledger.epsilon(of: nil, unit: .organization, delta: 1e-5, with: left)
      #expect(whole == agreement.form.epsilon)
      try ledger.append(
        LedgerEntry(
          dataSet: "/data.csv", run: run, task: .fit, round: round, unit: .organization, event: charge.event, time: 0))
    }
    #expect(agreement.charges(left: run, dataSet: "/data.csv", in: ledger).map(\.count) == [0])
    #expect(try ledger.epsilon(of: "/data.csv", unit: .organization, delta: 1e-5) == agreement.form.epsilon)
    // The update alone would be less.
    let update = try PrivacyLedger().epsilon(
      of: nil, unit: .organization, delta: 1e-5, with: [(releases[0].event, 4)])
    #expect(update < agreement.form.epsilon * 0.95)
  }

  @Test("A policy holds update and bits against its ceiling, and what is left after a part of the run")
  func policy() throws {
    let plan = try RunPlan(parsing: Self.plan)
    let manifest = try TestFederation().manifest()
    let agreement = try agreement()
    for (ceiling, isAllowed) in [(agreement.form.epsilon * 1.001, true), (agreement.form.epsilon * 0.999, false)] {
      let budget = PrivacyCeiling(unit: .organization, epsilon: ceiling, delta: 1e-5)
      let forecast = try budget.forecast(agreement.charges, of: "/data.csv", ledger: PrivacyLedger())
      #expect(forecast.isAffordable == isAllowed && forecast.after == agreement.form.epsilon)
      let policy = try Policy(
        parsing: privatePolicy.replacing(
          one: "{unit: record, epsilon: 4, delta: 1e-5}",
          with: "{unit: organization, epsilon: \(ceiling), delta: 1e-5}"))
      let checks = policy.budgetChecks(
        plan, manifest, features: 3, (try PrivacyLedger(), "/data.csv"), nil)
      #expect(!checks.isEmpty && checks.allSatisfy(\.isSatisfied) == isAllowed)
    }
  }

  @Test(
    "A fit has coordinates, and the bit's counter with room for its noise; nothing of the shape moves with the clip")
  func layout() throws {
    let manifest = try TestFederation().manifest()
    let layout = try TaskLayout(
      task: .fit, plan: RunPlan(parsing: Self.plan), manifest: manifest, featureNames: privateFeatures)
    let counter = try #require(layout.parameters.counters.first)
    #expect(layout.parameters.counters.count == 1 && layout.parameters.tensorCount == 4)
    #expect(counter.name == "clip" && counter.count == 1 && counter.isSigned)
    let deviation = try #require(layout.noise?.clipBit).noise.variance(shares: 1).squareRoot()
    #expect(Double(counter.bound) > 1 + 7 * deviation && Double(counter.bound) < 40 * (1 + deviation))
    #expect(layout.parameters.clip == 4)
    try layout.check(
      cohort: manifest.cohort(of: manifest.organizations.map(\.name)), server: manifest.server.keys.identity)
    let fixed = try TaskLayout(
      task: .fit, plan: RunPlan(parsing: organizationPlan), manifest: manifest, featureNames: privateFeatures)
    #expect(fixed.parameters.counters.isEmpty)
  }

  // MARK: - The model

  private static let integers: [Int64] = [5_000, -1_000, 2_000, 700]

  @Test("The clip moves by the bits of each sum, the model by the mean update in units of the clip that was")
  func steps() throws {
    var run = try PrivateRun(Self.plan)
    let scale = try #require(try run.progression.noise(run.manifest.manifest)?.encoding).scale
    #expect(run.progression.artifact?.clip == 4)
    // Three organisations: all within, none, noise beyond all, and one of three.
    var expected = 4.0
    for (index, bits) in [3, -3, 90, -1].enumerated() as EnumeratedSequence<[Int64]> {
      let round = index + 1
      let before = try #require(run.progression.artifact)
      let rotation = try run.progression.rotation()
      let sum = try run.sum(.fit, round, integers: Self.integers, counters: [bits])
      var follower = run.progression
      _ = try run.progression.apply(sum, of: run.opening(.fit, round))
      _ = try follower.apply(sum, of: run.opening(.fit, round))
      #expect(follower.model == run.progression.model, "a verified step")
      let after = try #require(run.progression.artifact)
      // b̄ by hand: 1, 0, 1 and a third.
      expected *= [exp(-0.3 * 0.3), exp(0.3 * 0.7), exp(-0.3 * 0.3), exp(0.3 * (0.7 - 1.0 / 3))][index]
      #expect(abs(try #require(after.clip) / expected - 1) < 1e-12, "\(round)")
      let unit = try #require(before.clip) / 4
      let update = try rotation.undo(Self.integers.map { Double($0) / scale })
      for (moved, part) in zip(zip(after.model.parameters, before.model.parameters).map { $0 - $1 }, update) {
        #expect(abs(moved - part * unit / 3) < 1e-12)
      }
    }
  }

  @Test("Terms that are clipped to another clip are decoded in its units: the mean update comes back")
  func contributions() throws {
    let manifest = try TestFederation().manifest()
    let noise = try #require(
      try NoiseAgreement(
        plan: RunPlan(parsing: Self.plan.replacing(one: "epsilon: 3", with: "noiseMultiplier: 0.01")),
        manifest: manifest, features: 3
      )?.distributed)
    for clip in [0.01, 4, 900] {
      var run = try PrivateRun(Self.plan.replacing(one: "epsilon: 3", with: "noiseMultiplier: 0.01"))
      let start = try artifact(run, clip: clip, round: 1)
      run.progression = try Self.at(start, run)
      let contribution = try OrganizationContribution(
        encoding: noise.encoding.reclipped(to: clip), rotation: run.progression.rotation())
      var randomness = SystemRandomNumberGenerator()
      // Within the clip: half of it. Beyond it: a hundred times, of which the clip is left.
      for (length, kept) in [(0.5, 0.5), (100, 1)] {
        let update = [0.5, -0.5, 0.5, 0.5].map { $0 * length * clip }
        var integers = [Int64](repeating: 0, count: 4)
        for _ in 0..<3 {
          let term = try contribution.encode(update, adding: noise.model.noise, using: &randomness).term
          integers = zip(integers, term.values).map(+)
        }
        let moved = try run.applied(integers, bits: 0)
        for (value, sign) in zip(moved, [0.5, -0.5, 0.5, 0.5]) {
          // Noise of σ = 0.01 times the clip.
          #expect(abs(value / clip - sign * kept) < 0.08, "\(clip): \(value)")
        }
      }
    }
  }

  /// A progression at a model that no server has to hand out.
  private static func at(_ bytes: [UInt8], _ run: PrivateRun) throws -> RunProgression {
    var progression = RunProgression(plan: run.plan, run: run.run, features: privateFeatures)
    let artifact = try ModelArtifact(decoding: bytes)
    try progression.replace(
      with: artifact.model, preprocessing: artifact.preprocessing, classWeights: artifact.classWeights,
      context: ContextDigest(hashing: [1]), round: artifact.round, clip: artifact.clip)
    return progression
  }

  private func artifact(
    _ run: PrivateRun, clip: Double?, round: Int
  ) throws -> [UInt8] {
    try ModelArtifact(
      model: LogisticRegressionModel(featureNames: privateFeatures, parameters: [0, 0, 0, 0]),
      preprocessing: FittedPreprocessing(
        run.plan.data.preprocessing, scaling: PublicScaling(centres: [1, 2, 3], scales: [2, 2, 2], bound: 4)),
      classWeights: ClassWeights(negative: 0.5, positive: 4), label: "y", positive: "1", run: run.run.text,
      context: String(repeating: "ab", count: 32), round: round, clip: clip
    ).encoded()
  }

  @Test("Whoever comes back takes over the clip with the model, and no clip that cannot be")
  func adopting() throws {
    let run = try PrivateRun(Self.plan)
    // In a round at most by exp(0.3 · 0.7) up and exp(−0.3 · 0.3) down.
    for (clip, round) in [(4, 0), (4 * exp(0.21), 1), (4 * exp(-0.09), 1), (5, 2), (4 * exp(0.84), 4)] {
      var progression = run.progression
      let bytes = try artifact(run, clip: clip, round: round)
      try progression.adopt(model: bytes)
      #expect(progression.artifact?.clip == clip && progression.model == bytes)
      #expect(progression.artifact.map(progression.unit) == clip / 4)
    }
    for (clip, round) in [
      (4.001, 0), (4 * exp(0.22), 1), (4 * exp(-0.1), 1), (0x1p40, 4), (0x1p-40, 4), (nil, 1),
    ] as [(Double?, Int)] {
      var progression = run.progression
      let bytes = try artifact(run, clip: clip, round: round)
      #expect(throws: ProgressionError.modelOfAnotherRun, "\(clip ?? 0) in \(round)") {
        try progression.adopt(model: bytes)
      }
      #expect(progression.artifact?.round == 0 && progression.artifact?.clip == 4)
    }
    // A plan whose clip stays has none in its model.
    var fixed = try PrivateRun(organizationPlan).progression
    #expect(fixed.artifact?.clip == nil)
    let (with, without) = (try artifact(run, clip: 4, round: 1), try artifact(run, clip: nil, round: 1))
    #expect(throws: ProgressionError.modelOfAnotherRun) { try fixed.adopt(model: with) }
    try fixed.adopt(model: without)
  }

  @Test("The clip is in every context, by the model's hash, and in what makes two terms alike")
  func bound() throws {
    var digests: Set<ContextDigest> = []
    var contents: Set<ModelHash> = []
    for clip in [4, 4.0.nextUp, 3.9] {
      var run = try PrivateRun(Self.plan)
      try run.progression.adopt(model: artifact(run, clip: clip, round: 1))
      digests.insert(try run.context(.fit, 2).digest)
      contents.insert(run.progression.contentHash(of: .fit))
    }
    #expect(digests.count == 3 && contents.count == 3)
  }
}

extension PrivateRun {
  /// The parameters after a sum of three over these integers, from zeros, undone afterwards.
  fileprivate func applied(_ integers: [Int64], bits: Int64) throws -> [Double] {
    var run = self
    let sum = try run.sum(.fit, 2, integers: integers, counters: [bits])
    _ = try run.progression.apply(sum, of: run.opening(.fit, 2))
    return run.progression.artifact?.model.parameters ?? []
  }
}
