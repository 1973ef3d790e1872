import Federation
import Foundation
import Learning
import Testing
import Training

/// Whole federations in processes of their own, over mutual TLS on loopback.
@Suite(.serialized, .timeLimit(.minutes(3)))
struct FederationRunTests {
  /// The object that `bauta demo --json` prints, as far as the tests read it.
  struct Demonstration: Decodable {
    struct Round: Decodable {
      let round: Int
      let survivors: [String]
    }
    struct Model: Decodable { let path: String }
    struct Comparison: Decodable {
      let pooled: [String: Double]
      let federated: [String: Double]
    }
    struct Audit: Decodable { let verified: Bool }

    let run: String
    let state: String
    let reason: String?
    let rounds: [Round]
    let model: Model?
    let comparison: Comparison?
    let audit: Audit
  }

  static func demonstrate(
    _ arguments: String, in runner: SessionRunner, status: Int32 = 0
  ) async throws -> Demonstration {
    let outcome = try await runner.run("timeout 120 bauta demo --json --directory demo \(arguments)")
    try #require(outcome.status == status, "\(outcome.errors)")
    return try JSONDecoder().decode(Demonstration.self, from: Data(outcome.output.utf8))
  }

  static func artifact(_ path: String) throws -> ModelArtifact {
    try ModelArtifact(decoding: [UInt8](Data(contentsOf: URL(fileURLWithPath: path))))
  }

  /// What plain federated averaging over these organisations makes of the model before, and the most by which the
  /// secure sum may differ: every term is rounded to a multiple of 1/scale once.
  static func plainStep(
    from artifact: ModelArtifact, organizations: [String], in demo: String
  ) throws -> (parameters: [Double], bound: Double) {
    let plan = try RunPlan(contentsOf: "\(demo)/plan.yaml")
    var sum = [Double](repeating: 0, count: artifact.model.parameters.count)
    var examples = 0
    for organization in organizations {
      let folder = organization.prefix { $0 != "." }
      let table = try CSVTable.load(
        path: "\(demo)/\(folder)/data.csv", label: plan.task.label, positive: plan.task.positive)
      let data = try OrganizationData(table, testFraction: plan.data.testFraction, seed: plan.data.splitSeed)
      let trainer = try LogisticRegressionTrainer(
        train: artifact.preprocessing.apply(data.train), test: artifact.preprocessing.apply(data.test))
      let fit = try trainer.fit(
        parameters: artifact.model.parameters,
        configuration: TrainerConfiguration(
          l2: plan.model.l2, steps: plan.trainer.steps, classWeights: artifact.classWeights))
      let clip = plan.secureSum.clip
      for index in sum.indices {
        sum[index] += min(max(fit.parameters[index], -clip), clip) * Double(fit.examples)
      }
      examples += fit.examples
    }
    // Of the five members: the largest power of two s with 5 · 8 · s < 2^31.
    let scale = 0x1p25
    let weight = Double(examples) / Double(plan.secureSum.weightCap)
    let bound = Double(organizations.count) / (scale * weight)
    return (sum.map { $0 / Double(examples) }, bound)
  }

  static func largestDifference(_ one: [Double], _ other: [Double]) -> Double {
    zip(one, other).map { ($0 - $1).magnitude }.max() ?? .infinity
  }

  @Test("The demonstration trains, agrees with plain averaging, delivers one model and verifies every log")
  func demonstration() async throws {
    let runner = try SessionRunner()
    defer { runner.remove() }
    let demo = "\(runner.directory)/demo"
    let result = try await Self.demonstrate("--seed 3", in: runner)
    #expect(result.state == "completed")
    #expect(result.audit.verified)
    #expect(result.rounds.map(\.survivors.count) == [5, 5, 5])

    // Every round of the secure run is plain federated averaging of the model before, to the quantisation.
    let run = "\(demo)/hub/runs/\(result.run)"
    let names = try #require(result.rounds.first?.survivors)
    for round in 1...3 {
      let before = try Self.artifact("\(run)/models/round-\(round - 1).safetensors")
      let after = try Self.artifact("\(run)/models/round-\(round).safetensors")
      let (plain, bound) = try Self.plainStep(from: before, organizations: names, in: demo)
      #expect(Self.largestDifference(plain, after.model.parameters) <= bound, "round \(round)")
      // The bound means something: four of the five give another model.
      let (four, _) = try Self.plainStep(from: before, organizations: Array(names.dropFirst()), in: demo)
      #expect(Self.largestDifference(four, after.model.parameters) > 100 * bound)
    }

    // The result: the same bytes at the server and at every organisation, and what is needed to use it.
    let served = try Data(contentsOf: URL(fileURLWithPath: "\(run)/model.safetensors"))
    for name in names {
      let folder = name.prefix { $0 != "." }
      let held = try Data(contentsOf: URL(fileURLWithPath: "\(demo)/\(folder)/runs/\(result.run)/model.safetensors"))
      #expect(held == served, "\(name)")
    }
    let model = try ModelArtifact(decoding: [UInt8](served))
    #expect(model.model.featureNames.count == 49)
    #expect(model.run == result.run)
    #expect(model.round == 3)
    #expect(model.context.count == 64)
    #expect(model.label == "fraudulent_provider")
  }

  @Test("An organisation that is killed after its shares is recovered: the sum is the survivors', exactly")
  func dropout() async throws {
    let runner = try SessionRunner()
    defer { runner.remove() }
    let demo = "\(runner.directory)/demo"
    let result = try await Self.demonstrate("--seed 3 --drop alder@2", in: runner)
    #expect(result.state == "completed")
    #expect(result.audit.verified)
    #expect(result.rounds.map(\.survivors.count) == [5, 4, 4])
    let run = "\(demo)/hub/runs/\(result.run)"
    let before = try Self.artifact("\(run)/models/round-1.safetensors")
    let after = try Self.artifact("\(run)/models/round-2.safetensors")
    let survivors = result.rounds[1].survivors
    #expect(!survivors.contains("alder.example"))
    let (plain, bound) = try Self.plainStep(from: before, organizations: survivors, in: demo)
    #expect(Self.largestDifference(plain, after.model.parameters) <= bound)
    let (five, _) = try Self.plainStep(from: before, organizations: survivors + ["alder.example"], in: demo)
    #expect(Self.largestDifference(five, after.model.parameters) > 100 * bound)
  }

  @Test("With too few survivors the run stops, names who is missing, and nothing hangs")
  func tooFew() async throws {
    let runner = try SessionRunner()
    defer { runner.remove() }
    let result = try await Self.demonstrate("--drop alder@2 --drop birch@2", in: runner, status: 3)
    #expect(result.state == "stopped")
    let reason = try #require(result.reason)
    #expect(reason.contains("alder.example") && reason.contains("birch.example") && !reason.contains("cedar"))
    #expect(result.audit.verified)
    for name in ["cedar", "dogwood", "elm"] {
      let said = try String(contentsOfFile: "\(runner.directory)/demo/\(name)/client.log", encoding: .utf8)
      #expect(said.contains("run stopped"), "\(name): \(said)")
      let complained = try String(contentsOfFile: "\(runner.directory)/demo/\(name)/client.err", encoding: .utf8)
      #expect(complained.contains("stopped: too few participants"), "\(name): \(complained)")
    }
  }

  @Test("One changed byte in a journal, tile, entry bundle or checkpoint is found and its place named")
  func tampering() async throws {
    let runner = try SessionRunner()
    defer { runner.remove() }
    _ = try await Self.demonstrate("--rounds 1 --organizations 4", in: runner)
    let log = "\(runner.directory)/demo/alder/log"
    let paths = try #require(FileManager.default.enumerator(atPath: log)?.allObjects as? [String])
    var generator = Xoshiro256StarStar(seed: 11)
    var files = 0
    for path in paths.sorted() {
      let url = URL(fileURLWithPath: "\(log)/\(path)")
      guard path != "lock", try url.resourceValues(forKeys: [.isRegularFileKey]).isRegularFile == true else { continue }
      let original = try Data(contentsOf: url)
      guard !original.isEmpty else { continue }
      files += 1
      for _ in 0..<3 {
        var altered = original
        altered[Int.random(in: 0..<Self.checkedCount(of: altered, path), using: &generator)] ^= 1
        try altered.write(to: url)
        let outcome = try await runner.run("bauta audit verify demo/alder")
        #expect(outcome.status == 1, "\(path)")
        let name = path.hasPrefix("tile/") ? path : url.lastPathComponent
        #expect(outcome.output.contains(name), "\(path): \(outcome.output)")
      }
      try original.write(to: url)
    }
    #expect(files >= 4)
    #expect(try await runner.run("bauta audit verify demo/alder").status == 0)
  }

  /// Of a checkpoint what the log itself has signed, and that signature: witnesses' keys are in the manifest, which is not
  /// given here.
  private static func checkedCount(of contents: Data, _ path: String) -> Int {
    guard path.hasPrefix("checkpoint"), let own = contents.range(of: Data("\n\n— alder.example ".utf8)),
      let end = contents[own.upperBound...].firstIndex(of: 0x0A)
    else { return contents.count }
    return end
  }

  @Test("A log without one of its messages is found by its bytes, or, if they were made to fit, by reconciling")
  func omission() async throws {
    let runner = try SessionRunner()
    defer { runner.remove() }
    _ = try await Self.demonstrate("--rounds 1 --organizations 4", in: runner)
    let alder = "\(runner.directory)/demo/alder"
    // A keeper with the log's own key writes the log anew, leaving out one message that it sent.
    _ = try await runner.run("cp -a demo/alder kept")
    _ = try Rewriting.rewriteLog(of: alder, omittingSentMessage: 5)
    let counted = try await runner.run("bauta audit verify demo/alder")
    #expect(counted.status == 1)
    #expect(counted.output.contains("byteAccounting  FAILED"), "\(counted.output)")
    _ = try await runner.run("rm -r demo/alder; mv kept demo/alder")
    let omitted = try Rewriting.rewriteLog(of: alder, omittingSentMessage: 5, isConsistent: true)
    #expect(try await runner.run("bauta audit verify demo/alder").status == 0)
    let command = "bauta audit reconcile demo/alder demo/birch demo/cedar demo/dogwood --ingress demo/hub"
    let missing = try await runner.run(command)
    #expect(missing.status == 1)
    #expect(missing.output.contains("missingEgress") && missing.output.contains("alder.example"), "\(missing.output)")
    #expect(!omitted.isEmpty)
  }
}
