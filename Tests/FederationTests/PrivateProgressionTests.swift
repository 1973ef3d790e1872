import Cryptography
import Learning
import SecureAggregation
import Testing

@testable import Federation

@Suite("How a model follows from sums with noise", .timeLimit(.minutes(1)))
struct PrivateProgressionTests {
  @Test("There is a model before the first sum, made of public constants alone")
  func initial() throws {
    let run = try PrivateRun()
    let artifact = try #require(run.progression.artifact)
    #expect(artifact.round == 0)
    #expect(artifact.model.parameters == [0, 0, 0, 0])
    #expect(artifact.classWeights == (try ClassWeights(negative: 0.5, positive: 4)))
    #expect(
      try artifact.preprocessing.publicScaling() == PublicScaling(centres: [1, 2, 3], scales: [2, 2, 2], bound: 4))
    #expect(artifact.optimizer == (try run.plan.gradientDescent?.initialState(count: 4)))
    #expect(run.progression.isNext(run.opening(.fit, 1)))
    for (task, round) in [(TaskKind.fit, 2), (.evaluate, 1), (.evaluate, 4), (.statistics, 0)] {
      #expect(!run.progression.isNext(run.opening(task, round)), "\(task) \(round)")
    }
    let other = try PrivateRun()
    #expect(other.progression.model == run.progression.model, "everybody makes the same bytes")
    let plain = RunProgression(
      plan: try RunPlan(parsing: minimalPlan), run: try RunIdentifier("one"), features: privateFeatures)
    #expect(plain.artifact == nil)
  }

  @Test(
    "Every round is the strategy's step on the decoded sum, bit for bit, and the model the mean of the last iterates")
  func steps() throws {
    var run = try PrivateRun()
    let strategy = try #require(try run.plan.gradientDescent)
    let scale = try #require(try run.progression.noise(run.manifest.manifest)?.encoding).scale
    var state = try strategy.initialState(count: 4)
    for round in 1...4 {
      let integers: [Int64] = [1, -2, 3, 4].map { Int64($0 * round) * 100_003 }
      let sum = try run.sum(.fit, round, integers: integers)
      let before = run.progression
      #expect(try run.progression.apply(sum, of: run.opening(.fit, round)) == nil)
      state = try strategy.next(state, gradientSum: integers.map { Double($0) / scale })
      let artifact = try #require(run.progression.artifact)
      #expect(artifact.optimizer == state && artifact.round == round)
      #expect(artifact.model.parameters.map(\.bitPattern) == strategy.modelParameters(state).map(\.bitPattern))
      // A verified step: whoever follows the run comes to the same bytes, and to others from another sum.
      var follower = before
      _ = try follower.apply(sum, of: run.opening(.fit, round))
      #expect(follower.model == run.progression.model)
      var misled = before
      var altered = integers
      altered[2] += 1
      let context = sum.context
      let other = try AggregateSum(
        words: altered.map { UInt32(truncatingIfNeeded: $0) }, counters: [], survivors: sum.survivors,
        maskedInputRoot: sum.maskedInputRoot, context: contextOf(before, run.manifest, run.plan, round))
      #expect(other.context == context)
      _ = try misled.apply(other, of: run.opening(.fit, round))
      #expect(misled.modelHash != run.progression.modelHash)
    }
    // Two iterates are averaged: the model is not where the next gradient would be taken.
    #expect(run.progression.artifact?.model.parameters != state.parameters)
    #expect(run.progression.isNext(run.opening(.evaluate, 4)))
  }

  private func contextOf(
    _ progression: RunProgression, _ manifest: SignedManifest, _ plan: RunPlan, _ round: Int
  ) throws -> AggregationContext {
    try RunAgreement(manifest: manifest, plan: plan, run: progression.run).context(
      of: OpeningIdentifier(run: progression.run, task: .fit, round: round, attempt: 1),
      cohort: manifest.manifest.organizations.map(\.name), features: privateFeatures, model: progression.modelHash)
  }

  @Test("An evaluation gives metrics, or none where the noise has left no row of a class")
  func evaluation() throws {
    var run = try PrivateRun()
    for round in 1...4 {
      _ = try run.progression.apply(run.sum(.fit, round, integers: [1, 2, 3, 4]), of: run.opening(.fit, round))
    }
    let counters: [Int64] = (0..<32).map { $0 < 16 ? Int64($0) : Int64(31 - $0) * 4 }
    let metrics = try run.progression.apply(run.sum(.evaluate, 4, counters: counters), of: run.opening(.evaluate, 4))
    #expect(try #require(metrics?.rocAuc) > 0.8)
    #expect(metrics?.rocAucNoiseError == nil)
    let noise = try #require(try run.progression.noise(run.manifest.manifest))
    let said = try run.progression.apply(
      run.sum(.evaluate, 4, counters: counters), of: run.opening(.evaluate, 4), noise: noise)
    let release = try #require(noise.release(of: .evaluate))
    let vector = try NoisedEvaluationVector(bins: 16, weightCap: 1000, noiseBound: NoisedEvaluationVector.maximumNoise)
    // Three organisations are in the sum, and so three shares.
    let expected = try vector.decode(
      counters, organizations: 3, noiseDeviation: (3 * release.noise.variance(shares: 1)).squareRoot())
    #expect(said?.rocAuc == metrics?.rocAuc)
    let error = try #require(said?.rocAucNoiseError)
    let ratio = error / (try #require(expected.rocAucNoiseError))
    #expect(error > 0 && (ratio - 1).magnitude < 1e-12)
    let nobody = try run.progression.apply(
      run.sum(.evaluate, 4, counters: Array(repeating: -3, count: 32)), of: run.opening(.evaluate, 4))
    #expect(nobody == nil)
    #expect(run.progression.artifact?.round == 4)
  }

  @Test("The organisation unit moves the model by the mean update, turned back by the round's public rotation")
  func organizations() throws {
    var run = try PrivateRun(organizationPlan)
    #expect(run.progression.artifact?.optimizer == nil)
    let rotation = try run.progression.rotation()
    let scale = try #require(try run.progression.noise(run.manifest.manifest)?.encoding).scale
    let integers: [Int64] = [5_000, -1_000, 2_000, 700]
    let update = try rotation.undo(integers.map { Double($0) / scale })
    let sum = try run.sum(.fit, 1, integers: integers)
    _ = try run.progression.apply(sum, of: run.opening(.fit, 1))
    let moved = try #require(run.progression.artifact).model.parameters
    #expect(zip(moved, update).allSatisfy { ($0 - $1 / 3).magnitude < 1e-12 })
    // All 64 signs that were drawn, of which four coordinates use four.
    #expect(try run.progression.rotation() != rotation, "each round has its own")
  }

  /// The model as the server would hand it out, with one part changed.
  private func artifact(
    _ run: PrivateRun, scale: Double = 2, positive: Double = 4, hasOptimizer: Bool = true, label: String = "y"
  ) throws -> [UInt8] {
    let strategy = try #require(try run.plan.gradientDescent)
    let state = try strategy.next(strategy.initialState(count: 4), gradientSum: [1, 2, 3, 4])
    return try ModelArtifact(
      model: LogisticRegressionModel(featureNames: privateFeatures, parameters: state.parameters),
      preprocessing: FittedPreprocessing(
        run.plan.data.preprocessing,
        scaling: PublicScaling(centres: [1, 2, 3], scales: [scale, 2, 2], bound: 4)),
      classWeights: ClassWeights(negative: 0.5, positive: positive), label: label, positive: "1", run: run.run.text,
      context: String(repeating: "ab", count: 32), round: 1, optimizer: hasOptimizer ? state : nil
    ).encoded()
  }

  @Test("Whoever comes back takes over a model of the plan's own public constants, and no other")
  func adopting() throws {
    let run = try PrivateRun()
    var progression = run.progression
    try progression.adopt(model: artifact(run))
    #expect(progression.artifact?.round == 1 && progression.isNext(run.opening(.fit, 2)))
    for (name, bytes) in [
      ("another scale", try artifact(run, scale: 3)), ("other class weights", try artifact(run, positive: 5)),
      ("no state of the optimizer", try artifact(run, hasOptimizer: false)),
      ("another label", try artifact(run, label: "z")),
    ] {
      #expect(throws: ProgressionError.modelOfAnotherRun, "\(name)") { try progression.adopt(model: bytes) }
      #expect(progression.artifact?.round == 1)
    }
    // A plan without a state takes none.
    let organizations = try PrivateRun(organizationPlan)
    var other = organizations.progression
    #expect(throws: ProgressionError.modelOfAnotherRun) { try other.adopt(model: artifact(run)) }
    // The schema of a run with statistics is no model here.
    let schema = RunProgression(
      plan: try RunPlan(parsing: minimalPlan), run: try RunIdentifier("one"), features: privateFeatures
    ).model
    #expect(throws: ProgressionError.modelOfAnotherRun) { try other.adopt(model: schema) }
  }

  /// Either would make other content of what shapes a term in the same way, and near sets are compared by content.
  @Test("Without differential privacy whoever comes back takes no model with a clip or a gradient's state")
  func adoptingWithoutNoise() throws {
    let plan = try RunPlan(parsing: minimalPlan)
    let zeros = [Double](repeating: 0, count: 4)
    func bytes(clip: Double? = nil, optimizer: FedSGD.State? = nil) throws -> [UInt8] {
      try ModelArtifact(
        model: LogisticRegressionModel(featureNames: privateFeatures, parameters: [1, 2, 3, 4]),
        preprocessing: FittedPreprocessing(plan.data.preprocessing, standardization: .identity(features: 3)),
        classWeights: .uniform, label: plan.task.label, positive: plan.task.positive, run: "one",
        context: String(repeating: "ab", count: 32), round: 1, optimizer: optimizer, clip: clip
      ).encoded()
    }
    var progression = RunProgression(plan: plan, run: try RunIdentifier("one"), features: privateFeatures)
    let state = try FedSGD.State(parameters: zeros, velocity: zeros, iterateSum: zeros, round: 1)
    for model in [try bytes(clip: 1), try bytes(optimizer: state)] {
      #expect(throws: ProgressionError.modelOfAnotherRun) { try progression.adopt(model: model) }
    }
    try progression.adopt(model: bytes())
    #expect(progression.artifact?.round == 1)
  }

  @Test("Two models that differ only in where the next gradient is taken are other content")
  func content() throws {
    let run = try PrivateRun()
    let strategy = try #require(try run.plan.gradientDescent)
    let zeros = [Double](repeating: 0, count: 4)
    func hash(iterate: [Double], velocity: [Double] = [0, 0, 0, 0]) throws -> (ModelHash, ModelHash) {
      var progression = run.progression
      let state = try FedSGD.State(parameters: iterate, velocity: velocity, iterateSum: zeros, round: 1)
      let bytes = try ModelArtifact(
        model: LogisticRegressionModel(featureNames: privateFeatures, parameters: [1, 2, 3, 4]),
        preprocessing: FittedPreprocessing(
          run.plan.data.preprocessing, scaling: PublicScaling(centres: [1, 2, 3], scales: [2, 2, 2], bound: 4)),
        classWeights: ClassWeights(negative: 0.5, positive: 4), label: "y", positive: "1", run: run.run.text,
        context: String(repeating: "ab", count: 32), round: 1, optimizer: state
      ).encoded()
      try progression.adopt(model: bytes)
      return (progression.contentHash(of: .fit), progression.modelHash)
    }
    let one = try hash(iterate: [1, 2, 3, 4])
    #expect(try hash(iterate: [1, 2, 3, 4.0.nextUp]).0 != one.0)
    // A term does not depend on the velocity.
    let moving = try hash(iterate: [1, 2, 3, 4], velocity: [1, 1, 1, 1])
    #expect(moving.0 == one.0 && moving.1 != one.1)
    #expect(strategy.rounds == 4)
  }
}
