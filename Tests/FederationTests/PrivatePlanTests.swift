import Foundation
import Learning
import Testing

@testable import Federation

@Suite("Plans with differential privacy")
struct PrivatePlanTests {
  @Test("A plan with noise is read to the value")
  func read() throws {
    let plan = try RunPlan(parsing: privatePlan)
    let settings = try #require(plan.privacy.settings)
    #expect(plan.privacy.unit == .record && settings.unit == .record)
    #expect(settings.mechanism == .skellam)
    #expect(settings.clip == 4)
    #expect(settings.amount == .target(epsilon: 3))
    #expect(settings.delta == 1e-5)
    #expect(settings.evaluationShare == 0.1)
    #expect(plan.strategy.name == .fedSGD)
    let gradient = try #require(plan.strategy.gradient)
    #expect(gradient.learningRate == 2.5 && gradient.momentum == 0.5)
    #expect(gradient.expectedExamples == 300 && gradient.averagedRounds == 2)
    #expect(
      try plan.gradientDescent
        == FedSGD(
          expectedExamples: 300, learningRate: 2.5, momentum: 0.5, l2: 0.01, rounds: 4, averagedRounds: 2))
    let scale = try #require(plan.data.publicScale)
    #expect(scale.centres == [1, 2, 3] && scale.scales == [2] && scale.bound == 4)
    #expect(
      try scale.scaling(features: 3) == PublicScaling(centres: [1, 2, 3], scales: [2, 2, 2], bound: 4))
    #expect(throws: LearningError.self) { try scale.scaling(features: 2) }
    #expect(plan.model.classWeights == .fixed(try ClassWeights(negative: 0.5, positive: 4)))
    #expect(plan.model.classWeights.constants == (try ClassWeights(negative: 0.5, positive: 4)))
    #expect(plan.evaluation.rounds == .last)
    // Nothing leaves but sums with noise.
    let steps = plan.steps.map { "\($0.task.rawValue) \($0.round)" }
    #expect(steps == ["fit 1", "fit 2", "fit 3", "fit 4", "evaluate 4"])
    #expect(plan.requiredStatistics == [.histogram])
  }

  @Test("Defaults, and the other ways to say it")
  func variants() throws {
    let short = try RunPlan(
      parsing: privatePlan.replacing(one: "mechanism: skellam, ", with: "")
        .replacing(one: ", evaluationShare: 0.1", with: "")
        .replacing(one: ", momentum: 0.5", with: "").replacing(one: ", averagedRounds: 2", with: ""))
    #expect(short.privacy == (try RunPlan(parsing: privatePlan)).privacy)
    #expect(short.strategy.gradient?.momentum == 0)
    #expect(short.strategy.gradient?.averagedRounds == 1)
    let gaussian = try RunPlan(
      parsing: privatePlan.replacing(one: "skellam", with: "discreteGaussian")
        .replacing(one: "epsilon: 3", with: "noiseMultiplier: 1.5"))
    #expect(gaussian.privacy.settings?.mechanism == .distributedDiscreteGaussian)
    #expect(gaussian.privacy.settings?.amount == .noiseMultiplier(1.5))
    let silent = try RunPlan(
      parsing: privatePlan.replacing(one: "rounds: last", with: "rounds: none")
        .replacing(one: ", evaluationShare: 0.1", with: ""))
    #expect(silent.privacy.settings?.evaluationShare == 0)
    #expect(!silent.performs(.evaluate) && silent.requiredStatistics.isEmpty)
    let organization = try RunPlan(parsing: organizationPlan)
    #expect(organization.privacy.unit == .organization && organization.strategy.gradient == nil)
    let uniform = try RunPlan(
      parsing: privatePlan.replacing(one: "{negative: 0.5, positive: 4}", with: "uniform"))
    #expect(uniform.model.classWeights.constants == .uniform)
    let coarse = try RunPlan(
      parsing: privatePlan.replacing(one: "centre: [1, 2, 3]", with: "centre: 1")
        .replacing(one: ", features: [a, b, c]", with: ""))
    #expect(try coarse.data.publicScale?.scaling(features: 2).centres == [1, 1])
  }

  @Test("Rounds that are evaluated, with and without noise")
  func evaluatedRounds() throws {
    for (word, expected) in [("every", 2), ("last", 1), ("none", 0)] {
      let text = try minimalPlan.replacing(one: "rounds: 3", with: "rounds: 2\nevaluation: {rounds: \(word)}")
      let steps = try RunPlan(parsing: text).steps
      #expect(steps.count { $0.task == .evaluate } == expected)
      #expect(steps.count { $0.task == .fit } == 2 && steps.first?.task == .statistics)
    }
  }

  struct Fault: CustomTestStringConvertible, Sendable {
    let old: String
    let new: String
    let message: String
    var testDescription: String { new.isEmpty ? "without \(old)" : new }

    init(_ old: String, _ new: String, _ message: String) {
      self.old = old
      self.new = new
      self.message = message
    }
  }

  @Test(
    "What cannot be read",
    arguments: [
      Fault("unit: record", "unit: none", "privacy.unit: expected record or organization, found 'none'"),
      Fault("unit: record", "unit: row", "privacy.unit: expected record or organization, found 'row'"),
      Fault("unit: record, ", "", "the key 'privacy.unit' is missing"),
      Fault("skellam", "laplace", "privacy.mechanism: expected skellam or discreteGaussian, found 'laplace'"),
      Fault("clip: 4", "clip: 0", "privacy.clip: expected a norm from 2^-40 to 2^40, found '0'"),
      Fault("clip: 4, ", "", "the key 'privacy.clip' is missing"),
      Fault("epsilon: 3", "epsilon: 0", "privacy.epsilon: expected a number from 0.001 to 64 or null, found '0'"),
      Fault("epsilon: 3", "epsilon: 65", "privacy.epsilon: expected a number from 0.001 to 64 or null, found '65'"),
      Fault("delta: 1e-5", "delta: 0", "privacy.delta: expected a probability from 1e-18 to 0.01, found '0'"),
      Fault("delta: 1e-5", "delta: 0.02", "privacy.delta: expected a probability from 1e-18 to 0.01, found '0.02'"),
      Fault(", delta: 1e-5", "", "the key 'privacy.delta' is missing"),
      Fault(
        "epsilon: 3", "noiseMultiplier: 0",
        "privacy.noiseMultiplier: expected a number from 0.001 to 524288 or null, found '0'"),
      Fault(
        "epsilon: 3", "epsilon: 3, noiseMultiplier: 1",
        "privacy.noiseMultiplier: give either a target epsilon or a noiseMultiplier, one of them"),
      Fault(
        "epsilon: 3, ", "", "privacy.noiseMultiplier: give either a target epsilon or a noiseMultiplier, one of them"),
      Fault(
        "evaluationShare: 0.1", "evaluationShare: 1",
        "privacy.evaluationShare: expected a number above 0 and below 1, found '1'"),
      Fault("evaluationShare: 0.1", "epsilonShare: 0.1", "unknown key 'privacy.epsilonShare'"),
      Fault(
        "learningRate: 2.5", "learningRate: 0",
        "strategy.learningRate: expected a number above 0 and at most 1000, found '0'"),
      Fault("learningRate: 2.5, ", "", "the key 'strategy.learningRate' is missing"),
      Fault(", expectedExamples: 300", "", "the key 'strategy.expectedExamples' is missing"),
      Fault("momentum: 0.5", "momentum: 1", "strategy.momentum: expected a number from 0, below 1, found '1'"),
      Fault(
        "averagedRounds: 2", "averagedRounds: 5", "strategy.averagedRounds: expected an integer from 1 to 4, found '5'"),
      Fault("bound: 4", "bound: 0", "data.publicScale.bound: expected a number from 0.001 to 1024, found '0'"),
      Fault(", bound: 4", "", "the key 'data.publicScale.bound' is missing"),
      Fault("centre: [1, 2, 3]", "centre: []", "data.publicScale.centre: the list is empty"),
      Fault("centre: [1, 2, 3]", "centre: [1, x, 3]", "data.publicScale.centre: expected a number, found 'x'"),
      Fault("scale: 2", "scale: 0", "data.publicScale.scale: expected a number above 0 and at most 2^40, found '0'"),
      Fault("scale: 2", "scale: [2, 2]", "data.publicScale.scale: it lists 2 numbers, where centre lists 3"),
      Fault(
        "negative: 0.5", "negative: 0", "model.classWeights.negative: expected a number from 0.001 to 1000, found '0'"),
      Fault(", positive: 4", "", "the key 'model.classWeights.positive' is missing"),
      Fault("rounds: last", "rounds: first", "evaluation.rounds: expected one of every, last, none, found 'first'"),
    ])
  func unreadable(fault: Fault) throws {
    let text = try privatePlan.replacing(one: fault.old, with: fault.new)
    let message = federationError { try RunPlan(parsing: text) }?.message
    // After file, line and column.
    #expect(message?.contains(": \(fault.message)") == true, "\(message ?? "read")")
  }

  static let sgd = "{name: FedSGD, learningRate: 2.5, momentum: 0.5, expectedExamples: 300, averagedRounds: 2}"

  @Test(
    "What the parts ask of each other",
    arguments: [
      Fault(
        "privacy: {unit: record, mechanism: skellam, clip: 4, epsilon: 3, delta: 1e-5, evaluationShare: 0.1}",
        "privacy: none", "6:11: strategy.name: FedSGD sums gradients of rows: it needs privacy.unit: record"),
      Fault(
        "unit: record", "unit: organization",
        "6:11: strategy.name: FedSGD sums gradients of rows: it needs privacy.unit: record"),
      Fault(
        sgd, "{name: FedAvg}",
        "6:11: strategy.name: privacy.unit: record needs the strategy FedSGD, which sums gradients of single rows, or privacy.noise: local"
      ),
      Fault(
        sgd, "{name: FedAvg, momentum: 0.5}", "6:36: strategy.momentum: it is of the strategy FedSGD only"),
      Fault(
        "[publicScale]", "[signedLog1p]",
        "4:7: data.publicScale: the preprocessing does not have the step publicScale"),
      Fault(
        ", publicScale: {centre: [1, 2, 3], scale: 2, bound: 4}", "",
        "4:7: data.preprocessing: the step publicScale needs the constants of data.publicScale"),
      Fault(
        "features: [a, b, c]", "features: [a, b]",
        "4:7: data.publicScale: it lists 3 features: name as many in task.features"),
      Fault(
        ", features: [a, b, c]", "", "4:7: data.publicScale: it lists 3 features: name as many in task.features"),
      Fault(
        "kind: train", "kind: statistics",
        "3:7: task.kind: statistics leave without noise; with differential privacy a plan trains"),
      Fault(
        "[publicScale], publicScale: {centre: [1, 2, 3], scale: 2, bound: 4}", "[standardize]",
        "4:7: data.preprocessing: standardize needs statistics of the data, which would leave without noise: use publicScale"
      ),
      Fault(
        "{negative: 0.5, positive: 4}", "balanced",
        "5:8: model.classWeights: balanced weights follow from counts of the data, which would leave without noise: "
          + "use uniform, or constants"),
      Fault(
        ", classWeights: {negative: 0.5, positive: 4}", "",
        "5:8: model.classWeights: balanced weights follow from counts of the data, which would leave without noise: "
          + "use uniform, or constants"),
      Fault(
        "rounds: last", "rounds: every",
        "9:13: evaluation.rounds: every evaluation is charged: write last, or none"),
      Fault(
        "rounds: last, ", "", "9:13: evaluation.rounds: every evaluation is charged: write last, or none"),
      Fault(
        "histogramBins: 16", "histogramBins: 15",
        "9:13: evaluation.histogramBins: with noise in every bin it is an even number up to 1024, such as 16"),
      Fault(
        "histogramBins: 16", "histogramBins: 1026",
        "9:13: evaluation.histogramBins: with noise in every bin it is an even number up to 1024, such as 16"),
      Fault(
        "rounds: last", "rounds: none",
        "10:96: privacy.evaluationShare: the plan has no evaluation that could spend it"),
    ])
  func inconsistent(fault: Fault) throws {
    let text = try privatePlan.replacing(one: fault.old, with: fault.new)
    let error = federationError { try RunPlan(parsing: text) }
    #expect(error?.message == "plan.yaml:\(fault.message)")
    #expect(error?.blame == .caller && error?.remedy.isEmpty == false)
  }

  @Test("With noise for organisations there is no evaluation: its noise is sized for one row")
  func evaluationOfOrganizations() throws {
    let text = try organizationPlan.replacing(one: "{rounds: none}", with: "{rounds: last, histogramBins: 16}")
    let error = federationError { try RunPlan(parsing: text) }
    #expect(
      error?.message
        == "plan.yaml:9:13: evaluation.rounds: noise of an evaluation hides single rows, not an organisation: with "
        + "privacy.unit: organization write none")
    #expect(try !RunPlan(parsing: organizationPlan).performs(.evaluate))
  }

  @Test("The program hash follows public constants and the strategy as well")
  func programHash() throws {
    let plan = try RunPlan(parsing: privatePlan)
    for (old, new) in [
      ("centre: [1, 2, 3]", "centre: [1, 2, 4]"), ("scale: 2", "scale: 3"), ("bound: 4", "bound: 5"),
      ("positive: 4", "positive: 5"),
    ] {
      #expect(
        try RunPlan(parsing: privatePlan.replacing(one: old, with: new)).programHash != plan.programHash, "\(new)")
    }
    #expect(
      try RunPlan(parsing: privatePlan.replacing(one: "delta: 1e-5", with: "delta: 1e-6")).programHash
        == plan.programHash)
  }

  @Test("The private template parses, with every value where it belongs")
  func template() throws {
    let scaling = try PublicScaling(centres: [0.5, -1.25], scales: [1, 2.5], bound: 4)
    var template = PrivateTemplate(
      name: "demo", label: "x: y # {a}\"", positive: "a \"b\"", dataSet: "set", features: ["p, q", "r]"],
      scaling: scaling, expectedExamples: 1200, organizations: 5, epsilon: 0.5)
    template.delta = 1e-6
    template.rounds = 9
    template.minimumClients = 4
    template.weightCap = 5000
    template.splitSeed = 11
    template.reconnect = .milliseconds(500)
    let plan = try RunPlan(parsing: template.text)
    #expect(plan.task.label == "x: y # {a}\"" && plan.task.positive == "a \"b\"")
    #expect(plan.task.features == .named(["p, q", "r]"]))
    #expect(try plan.data.publicScale?.scaling(features: 2) == scaling)
    let settings = try #require(plan.privacy.settings)
    #expect(settings.unit == .record && settings.amount == .target(epsilon: 0.5) && settings.delta == 1e-6)
    #expect(plan.strategy.gradient?.expectedExamples == 1200 && plan.strategy.gradient?.averagedRounds == 2)
    #expect(plan.strategy.minimumFitClients == 4 && plan.strategy.minimumEvaluateClients == 4)
    #expect(plan.rounds == 9 && plan.secureSum.weightCap == 5000 && plan.data.splitSeed == 11)
    #expect(plan.deadlines.reconnect == .milliseconds(500))
  }

  @Test(
    "Every private template parses in any number of rounds, and has a policy's worth of noise",
    arguments: [
      (PrivacyUnit.record, NoisePlacement.distributed), (.record, .local), (.record, .central),
      (.organization, .distributed),
    ])
  func templates(unit: PrivacyUnit, noise: NoisePlacement) throws {
    var template = PrivateTemplate(
      name: "demo", label: "y", dataSet: "set", features: ["p", "q"],
      scaling: try PublicScaling(centre: 0, scale: 1, bound: 4, features: 2), expectedExamples: 2, organizations: 5,
      epsilon: 3)
    template.unit = unit
    template.noise = noise
    for rounds in [nil, 1, 2, 3, 4] {
      template.rounds = rounds
      let plan = try RunPlan(parsing: template.text)
      #expect(plan.rounds == rounds ?? PrivateTemplate.rounds(unit: unit, noise: noise))
      let settings = try #require(plan.privacy.settings)
      #expect(settings.unit == unit && settings.placement == noise && settings.amount == .target(epsilon: 3))
      let agreement = try #require(
        try NoiseAgreement(plan: plan, manifest: TestFederation().manifest(), features: 2))
      #expect(agreement.form.epsilon <= 3 && agreement.form.epsilon > 2.8, "\(agreement.form.epsilon)")
      // What is commented out is a key as well.
      let all = try RunPlan(
        parsing: template.text.replacing("# adaptive", with: "adaptive").replacing("# tree", with: "tree").replacing(
          "passes: 2", with: "passes: 1"))
      let extended = try #require(all.privacy.settings)
      #expect((extended.tree != nil) == (noise == .central))
      #expect((extended.adaptiveClipping != nil) == (unit == .organization))
    }
  }
}
