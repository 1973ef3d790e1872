import Federation
import FederationClient
import Foundation
import Learning
import Testing

/// Federations in processes of their own whose sums carry noise for every single row.
@Suite(.serialized, .timeLimit(.minutes(4)))
struct PrivateRunTests {
  private static let organizations = ["alder", "birch", "cedar", "dogwood"]

  private func ledger(_ name: String, _ runner: SessionRunner) throws -> PrivacyLedger {
    try StoredLedger.read(OrganizationDirectory(opening: "\(runner.directory)/demo/\(name)"))
  }

  private func sums(_ ledger: PrivacyLedger, of run: String) -> [String] {
    ledger.entries.filter { $0.run.text == run }.map { "\($0.task.rawValue) \($0.round)" }
  }

  @Test("With noise and an organisation lost, a run completes, every log verifies, and each ledger has what was sent")
  func dropped() async throws {
    let runner = try SessionRunner()
    defer { runner.remove() }
    let result = try await FederationRunTests.demonstrate(
      "--epsilon 3 --rounds 4 --organizations 4 --drop cedar@2 --seed 2", in: runner)
    #expect(result.state == "completed", "\(result.reason ?? "")")
    #expect(result.audit.verified)
    #expect(result.rounds.map(\.survivors.count) == [4, 3, 3, 3])
    for name in Self.organizations {
      let ledger = try ledger(name, runner)
      let expected = ["fit 1", "fit 2"] + (name == "cedar" ? [] : ["fit 3", "fit 4", "evaluate 4"])
      #expect(sums(ledger, of: result.run) == expected, "\(name)")
      #expect(try ledger.epsilon(of: nil, unit: .record, delta: 1e-5) <= 3)
      // Two at once wait for one another.
      let spent = "bauta privacy spent --directory demo/\(name) --json"
      let audit = try await runner.run("\(spent) > /dev/null & \(spent) && wait $!")
      #expect(audit.status == 0 && audit.output.contains("\"charges\""), "\(audit.errors)")
    }
    try await forgotten(runner)
  }

  /// A state that is gone, or that an older one took the place of, has forgotten charges, and it shows before the owner has
  /// acknowledged it.
  private func forgotten(_ runner: SessionRunner) async throws {
    let state = "demo/dogwood/state.sqlite"
    let spent = "bauta privacy spent --directory demo/dogwood --json | grep -o '\"complete\":[a-z]*'"
    let gone = try await runner.run("\(spent); mv \(state) older.sqlite; \(spent); cp older.sqlite \(state); \(spent)")
    #expect(gone.output == "\"complete\":true\n\"complete\":false\n\"complete\":true\n", "\(gone.errors)")
    try await budgetSpent(runner)
    let older = try await runner.run(
      "\(spent); cp older.sqlite \(state); \(spent); bauta privacy spent --directory demo/dogwood")
    #expect(older.output.hasPrefix("\"complete\":true\n\"complete\":false\n"), "\(older.errors)")
    #expect(older.output.contains("∞") && older.output.contains("charges may be missing"), "\(older.output)")
  }

  /// Another run over what the first has left: one organisation's budget reaches for one round of it.
  private func budgetSpent(_ runner: SessionRunner) async throws {
    let before = try ledger("birch", runner)
    let data = StoredLedger.dataSet(at: "\(runner.directory)/demo/birch/data.csv")
    let event = try #require(before.entries.first).event
    let ceiling = try before.epsilon(of: data, unit: .record, delta: 1e-5, with: [(event, 1)])
    for name in Self.organizations {
      let budget = name == "birch" ? "epsilon: \(ceiling), delta: 1e-5, whenShort: stop" : "epsilon: 20, delta: 1e-5"
      try setBudget("{unit: record, \(budget)}", "\(runner.directory)/demo/\(name)/policy.yaml")
    }
    let names = Self.organizations.joined(separator: " ")
    let outcome = try await runner.run(
      """
      for name in \(names); do
        (bauta client --directory demo/$name --data demo/$name/data.csv --patience 60 > $name.out 2> $name.err
        echo "$name $?" > $name.status) & done
      bauta server --plan demo/plan.yaml --directory demo/hub --patience 60 > hub.out 2> hub.err; echo "hub $?"
      for name in \(names); do until [ -s $name.status ]; do sleep 0.05; done; cat $name.status; done
      cat *.err >&2
      """)
    #expect(
      outcome.output == "hub 4\n" + Self.organizations.map { "\($0) 4\n" }.joined(), "\(outcome.errors)")
    let run = try #require(try lastRun(runner))
    let report = try RunReport(contentsOf: "\(runner.directory)/demo/hub/runs/\(run)/report.json")
    #expect(report.state == .budgetSpent)
    #expect(report.reason == "the privacy budget of birch.example does not reach the fit of round 2")
    #expect(outcome.errors.contains("the privacy budget of birch.example does not reach the fit of round 2"))
    let served = try Data(
      contentsOf: URL(fileURLWithPath: "\(runner.directory)/demo/hub/runs/\(run)/model.safetensors"))
    #expect(try ModelArtifact(decoding: [UInt8](served)).round == 1)
    for name in Self.organizations {
      let held = try Data(
        contentsOf: URL(fileURLWithPath: "\(runner.directory)/demo/\(name)/runs/\(run)/model.safetensors"))
      #expect(held == served, "\(name)")
      let sums = sums(try ledger(name, runner), of: run)
      #expect(sums == ["fit 1"] || name != "birch" && sums == ["fit 1", "fit 2"], "\(name): \(sums)")
    }
    #expect(try ledger("birch", runner).epsilon(of: data, unit: .record, delta: 1e-5) <= ceiling)
    let audit = try await runner.run(
      "bauta audit verify \(Self.organizations.map { "demo/\($0)" }.joined(separator: " ")) demo/hub "
        + "--manifest demo/hub/federation.note")
    #expect(audit.status == 0, "\(audit.output) \(audit.errors)")
  }

  private func setBudget(_ budget: String, _ path: String) throws {
    let lines = try String(contentsOfFile: path, encoding: .utf8).split(
      separator: "\n", omittingEmptySubsequences: false)
    let index = try #require(lines.firstIndex { $0.hasPrefix("privacy: ") })
    var changed = lines.map(String.init)
    changed[index] = "privacy: \(budget)"
    try changed.joined(separator: "\n").write(toFile: path, atomically: true, encoding: .utf8)
  }

  /// Runs sort as they were made.
  private func lastRun(_ runner: SessionRunner) throws -> String? {
    try FileManager.default.contentsOfDirectory(atPath: "\(runner.directory)/demo/hub/runs")
      .filter { !$0.hasPrefix(".") }.max()
  }

  // Noise is drawn anew each time: splits on which its standard deviation is less than a fifth of what is above 0.80.
  @Test(
    "On published data ε = 3 leaves a model that is of use, whoever adds the noise",
    .enabled(
      if: FileManager.default.isReadableFile(atPath: RealDataTests.path),
      "the CMS-derived data is not at ../shared/data"),
    arguments: [(1, NoisePlacement.distributed), (3, .distributed), (1, .local), (1, .central)])
  func published(seed: Int, noise: NoisePlacement) async throws {
    let runner = try SessionRunner()
    defer { runner.remove() }
    let result = try await FederationRunTests.demonstrate(
      "--epsilon 3 --noise \(noise.rawValue) --data '\(RealDataTests.path)' --label fraudulent_provider --seed \(seed)",
      in: runner)
    #expect(result.audit.verified)
    #expect(try #require(result.comparison?.federated["rocAuc"]) >= 0.80)
    let ledger = try ledger("alder", runner)
    #expect(ledger.entries.allSatisfy { $0.noise == noise })
    #expect(try ledger.epsilon(of: nil, unit: .record, delta: 1e-5, trustsServer: true) <= 3)
    #expect(
      try ledger.epsilon(of: nil, unit: .record, delta: 1e-5).isFinite == (noise != .central),
      "whoever does not trust the server knows of no noise")
  }
}
