import DifferentialPrivacy
import Federation
import Foundation
import Learning
import Testing
import Training

@testable import FederationClient

/// Plans that are carried out in one process, beside the runs that they stand for.
@Suite("Rehearsals of plans", .serialized, .timeLimit(.minutes(2)))
struct PlanRehearsalTests {
  private let coordinator: CoordinatorTests
  private var federation: TestFederation { coordinator.federation }

  init() throws { coordinator = try CoordinatorTests() }

  private func rehearsal(_ plan: RunPlan, parties: Range<Int> = 0..<4) throws -> PlanRehearsal {
    let tables = try federation.parties[parties].map {
      try CSVTable.load(
        path: federation.dataPath($0), label: "y", positive: "1", features: .list(TestFederation.columns))
    }
    return try PlanRehearsal(plan: plan, manifest: federation.manifest.manifest, tables: tables)
  }

  private func model(_ report: RunReport) throws -> ModelArtifact {
    let path = try #require(report.model?.path)
    return try ModelArtifact(decoding: [UInt8](Data(contentsOf: URL(fileURLWithPath: path))))
  }

  @Test("Without noise a rehearsal comes to the very model of the run")
  func sameModel() async throws {
    let plan = try RunPlan(
      parsing: """
        schema: bauta/plan/1
        name: fraud
        task: {kind: train, label: y, features: [\(TestFederation.columns.joined(separator: ", "))]}
        data: {set: claims, testFraction: 0.25, splitSeed: 3}
        rounds: 2
        secureSum: {rounding: nearest}
        deadlines: {\(CoordinatorTests.deadlines)}
        privacy: none

        """)
    let outcome = try await coordinator.run(plan: plan)
    #expect(outcome.report.state == .completed, "\(outcome.report.reason ?? "")")
    let (run, rehearsed) = (try model(outcome.report), try rehearsal(plan).train())
    #expect(rehearsed.model.model == run.model)
    #expect(rehearsed.model.preprocessing == run.preprocessing && rehearsed.model.round == 2)
    let area = try #require(rehearsed.metrics.rocAuc)
    let reported = try #require(outcome.report.rounds.last?.metrics["rocAuc"])
    // The run counts scores in bins.
    #expect((area - reported).magnitude < 0.05)
  }

  private static let gradients = "name: FedSGD, learningRate: 1, expectedExamples: 120"
  @Test(
    "Of every kind of noise little leaves the model where it is, and much does not",
    arguments: [
      (gradients, "unit: record, clip: 2"), (gradients, "unit: record, noise: central, clip: 2"),
      (gradients, "unit: record, noise: central, tree: {passes: 1}, clip: 2"),
      ("name: FedAvg", "unit: organization, clip: 2"),
      ("name: FedAvg", "unit: organization, clip: 2, adaptiveClipping: {}"),
    ])
  func everyKind(strategy: String, privacy: String) throws {
    let plan = try TestFederation.noisedPlan(rounds: 3, strategy: strategy, privacy: "\(privacy), epsilon: 1")
    let rehearsal = try rehearsal(plan)
    let noise = try #require(try federation.noise(plan))
    /// How far models of several trainings are from each other, root mean square.
    func spread(_ noise: NoiseAgreement?) throws -> Double {
      let models = try (0..<10).map { _ in try rehearsal.train(noise: noise).model.model.parameters }
      let squares = models[0].indices.map { index in
        let values = models.map { $0[index] }
        let mean = values.reduce(0, +) / Double(values.count)
        return values.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(values.count - 1)
      }
      return squares.reduce(0, +).squareRoot()
    }
    let least = try spread(noise.withLeastNoise())
    let planned = try spread(nil)
    let much = try spread(noise.with(epsilon: 0.1))
    #expect(least < 0.02, "\(least)")
    #expect(planned > 5 * least && much > 2 * planned, "\(least) \(planned) \(much)")
  }

  @Test("Noise inside organisations is in a rehearsal as well, and another ε has another noise")
  func local() throws {
    let plan = try federation.localPlan(epsilon: 1)
    let noise = try #require(try federation.noise(plan))
    let other = try noise.with(epsilon: 8)
    #expect(other.form.epsilon <= 8 && other.form.epsilon > 7.9)
    #expect(other.form.noiseMultiplier < noise.form.noiseMultiplier)
    #expect(other.settings.amount == .target(epsilon: 8) && noise.settings.amount == .target(epsilon: 1))
    let model = try rehearsal(plan).train(noise: other).model
    #expect(model.round == 2 && model.model.parameters.contains { $0 != 0 })
  }

  @Test("Tables for other organisations than the manifest's are refused")
  func otherTables() throws {
    let plan = try federation.privatePlan()
    #expect(throws: ClientError.self) { try rehearsal(plan, parties: 0..<3) }
  }
}
