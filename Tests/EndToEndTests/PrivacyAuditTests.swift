import DifferentialPrivacy
import Federation
import Foundation
import Learning
import Testing

@testable import bauta

/// Canaries in real runs: what noise hides, and that the audit notices where there is too little of it.
@Suite(.timeLimit(.minutes(2)))
struct PrivacyAuditTests {
  private static let columns = (1...8).map { "c\($0)" }

  /// Few columns and rounds, so that there are many canaries in little time.
  private static func plan(
    epsilon: Double, rounds: Int = 20, mechanism: String = "skellam", noise: NoisePlacement = .distributed,
    tree: Bool = false
  ) throws -> RunPlan {
    var template = PrivateTemplate(
      name: "audited", label: "ill", dataSet: "ward", features: columns,
      scaling: try PublicScaling(centre: 0, scale: 1, bound: 4, features: columns.count), expectedExamples: 120,
      organizations: 3, epsilon: epsilon)
    template.rounds = rounds
    template.noise = noise
    let text = template.text.replacingOccurrences(of: "mechanism: skellam", with: "mechanism: \(mechanism)")
      .replacingOccurrences(of: "noise: central", with: tree ? "tree: {passes: 1}\n  noise: central" : "noise: central")
    return try RunPlan(parsing: text, file: "plan.yaml")
  }

  /// Rows whose gradients are longer and shorter than the clip.
  private static func rows() throws -> FeatureTable {
    var random = Xoshiro256StarStar(seed: 17)
    let labels = (0..<90).map { UInt8($0.isMultiple(of: 3) ? 1 : 0) }
    let values = labels.flatMap { label in columns.map { _ in 6 * random.unitInterval() - 3 + Double(label) } }
    return try FeatureTable(featureNames: columns, values: values, labels: labels)
  }

  private func audit(
    _ plan: RunPlan, _ noise: PrivacyAudit.Noise = .planned, canaries: Int? = nil, seed: UInt64? = 1
  ) throws -> PrivacyAuditResult {
    let settings = PrivacyAudit.Settings(canaries: canaries, noise: noise, seed: seed)
    return try PrivacyAudit(plan: plan, path: "plan.yaml", data: Self.rows(), settings: settings).run { _, _ in }
  }

  @Test("With its noise, a plan's audit stays below the accountant", arguments: [0.5, 1, 3, 8])
  func planned(epsilon: Double) throws {
    let plan = try Self.plan(epsilon: epsilon)
    var bounds: [Double] = []
    for seed in 1...4 as ClosedRange<UInt64> {
      let result = try audit(plan, canaries: 2400, seed: seed)
      #expect(result.epsilon <= epsilon && result.epsilon > 0.95 * epsilon)
      #expect(!result.isFlagged && result.bound < epsilon)
      #expect(result.guesses.canaries == 2400)
      bounds.append(result.bound)
    }
    // An auditor that sees nothing would not notice anything either.
    if epsilon >= 3 { #expect(bounds.allSatisfy { $0 > 0.2 * epsilon }, "\(bounds)") }
  }

  @Test("Without noise it is flagged", arguments: [0.5, 1, 3, 8])
  func withoutNoise(epsilon: Double) throws {
    let result = try audit(try Self.plan(epsilon: epsilon), .least)
    #expect(result.guesses.correct == result.guesses.canaries)
    #expect(result.isFlagged && result.hasTeeth)
    #expect(result.bound == result.ceiling)
  }

  @Test("A tenth of the noise is flagged", arguments: [1, 3, 8])
  func aTenth(epsilon: Double) throws {
    let result = try audit(try Self.plan(epsilon: epsilon), .scaled(0.1))
    #expect(result.isFlagged, "\(result)")
  }

  @Test("Discrete Gaussian noise hides as much, and its lack shows as well")
  func discreteGaussian() throws {
    let plan = try Self.plan(epsilon: 3, mechanism: "discreteGaussian")
    let result = try audit(plan, canaries: 2400)
    #expect(!result.isFlagged && result.bound > 0.6)
    #expect(try audit(plan, .scaled(0.1)).isFlagged)
  }

  @Test("Noise of the server hides as much, and its lack shows as well", arguments: [1, 3])
  func central(epsilon: Double) throws {
    let plan = try Self.plan(epsilon: epsilon, noise: .central)
    let result = try audit(plan, canaries: 2400)
    #expect(!result.isFlagged && result.epsilon <= epsilon && result.epsilon > 0.95 * epsilon)
    if epsilon == 3 { #expect(result.bound > 0.6) }
    #expect(try audit(plan, .scaled(0.1)).isFlagged)
    let without = try audit(plan, .least)
    #expect(without.isFlagged && without.bound == without.ceiling)
  }

  @Test("Noise of training inside an organisation hides as much, and its lack shows as well", arguments: [1, 3])
  func local(epsilon: Double) throws {
    let plan = try Self.plan(epsilon: epsilon, rounds: 2, noise: .local)
    for seed in 1...3 as ClosedRange<UInt64> {
      let result = try audit(plan, canaries: 2400, seed: seed)
      #expect(!result.isFlagged && result.epsilon <= epsilon && result.epsilon > 0.95 * epsilon)
      if epsilon == 3 { #expect(result.bound > 0.3, "\(result.bound)") }
    }
    #expect(try audit(plan, .scaled(0.1), canaries: 2400).isFlagged)
    #expect(try audit(plan, .least, canaries: 2400).isFlagged)
  }

  @Test("Noise of trees is refused, and not taken for something else")
  func refusedNoise() throws {
    let tree = try Self.plan(epsilon: 3, noise: .central, tree: true)
    #expect(tree.trees != nil)
    #expect(throws: CommandError.self) { try audit(tree) }
  }

  @Test("A seed gives the same result again; without one it is another")
  func seeds() throws {
    let plan = try Self.plan(epsilon: 8, rounds: 3)
    let first = try audit(plan, canaries: 400, seed: 7)
    #expect(try audit(plan, canaries: 400, seed: 7) == first)
    let others = try (0..<4).map { _ in try audit(plan, canaries: 400, seed: nil) }
    #expect(others.contains { $0.guesses != first.guesses })
  }

  @Test("A plan without noise of single rows is refused")
  func refused() throws {
    let plan = try RunPlan(
      parsing: RunPlan.template(
        name: "fraud", label: "ill", positive: "1", dataSet: "ward", rounds: 3, splitSeed: 1, reconnect: .seconds(1)),
      file: "plan.yaml")
    #expect(throws: CommandError.self) { try audit(plan) }
  }

  // MARK: - The command

  private struct Report: Decodable {
    struct Accountant: Decodable {
      let epsilon: Double
      let delta: Double
    }
    struct Audit: Decodable {
      let confidence: Double
      let epsilon: Double
      let ceiling: Double
      let canaries: Int
      let guesses: Int
      let correct: Int
    }
    let schema: String
    let noise: String
    let seed: String?
    let accountant: Accountant
    let audit: Audit
    let flagged: Bool
  }

  private func report(_ text: String) throws -> Report { try JSONDecoder().decode(Report.self, from: Data(text.utf8)) }

  @Test("The command says what it found, and status 1 that it is too much")
  func command() async throws {
    let runner = try SessionRunner()
    defer { runner.remove() }
    // Made-up rows have these columns.
    let features = Array(ProviderSchema.features.prefix(5))
    var template = PrivateTemplate(
      name: "fraud", label: ProviderSchema.label, positive: ProviderSchema.positive, dataSet: "claims",
      features: features, scaling: try DemoData.publicScaling(of: features), expectedExamples: 400, organizations: 3,
      epsilon: 3)
    template.rounds = 6
    try template.text.write(toFile: "\(runner.directory)/plan.yaml", atomically: true, encoding: .utf8)

    let sound = try await runner.run("bauta privacy audit plan.yaml --canaries 600 --seed 3 --json")
    #expect(sound.status == 0, "\(sound.errors)")
    let found = try report(sound.output)
    #expect(found.schema == "bauta/privacy-audit/1")
    #expect(found.noise == "as-planned" && found.seed == "3" && !found.flagged)
    #expect(found.accountant.epsilon <= 3 && found.accountant.delta == 1e-5)
    #expect(found.audit.epsilon < found.accountant.epsilon && found.audit.canaries == 600)
    #expect(found.audit.confidence == 0.95)

    let words = try await runner.run("bauta privacy audit plan.yaml --canaries 600 --seed 3")
    #expect(words.status == 0)
    #expect(words.output.contains("accountant  ε ≤ ") && words.output.contains(" at δ = 1e-05\n"))
    #expect(words.output.contains("\(found.audit.guesses) guesses of which \(found.audit.correct) right"))
    #expect(words.output.contains("No flaw found"))

    let bare = try await runner.run("bauta privacy audit plan.yaml --canaries 600 --without-noise --json")
    #expect(bare.status == 1)
    let noticed = try report(bare.output)
    #expect(noticed.flagged && noticed.noise == "next-to-none" && noticed.audit.epsilon > noticed.accountant.epsilon)

    for wrong in ["--canaries 5", "--confidence 1", "--data missing.csv"] {
      let outcome = try await runner.run("bauta privacy audit plan.yaml \(wrong)")
      #expect(outcome.status == (wrong.contains("data") ? 1 : 2), "\(outcome.errors)")
    }
  }
}
