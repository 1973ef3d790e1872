import Cryptography
import Foundation
import Testing

@testable import Federation

@Suite("Bindings and identifiers")
struct BindingTests {
  private func binding(
    federation: String = "fraud.example", manifest: UInt8 = 1, plan: UInt8 = 2, run: String = "run-1",
    task: TaskKind = .fit, round: Int = 1, attempt: Int = 1, dataSet: String = "claims", model: UInt8 = 3,
    program: UInt8 = 4
  ) throws -> BindingDigest {
    Binding(
      federation: try OrganizationName(federation), manifest: ManifestHash(hashing: [manifest]),
      plan: PlanHash(hashing: [plan]),
      opening: OpeningIdentifier(run: try RunIdentifier(run), task: task, round: round, attempt: attempt),
      dataSet: dataSet, model: ModelHash(hashing: [model]), program: ProgramHash(hashing: [program])
    ).digest
  }

  @Test("Every field changes the digest, and each in another way")
  func everyField() throws {
    let digests = [
      try binding(), try binding(federation: "fraud.exampl"), try binding(manifest: 2), try binding(plan: 3),
      try binding(run: "run-2"), try binding(task: .evaluate), try binding(task: .statistics), try binding(round: 2),
      try binding(attempt: 2), try binding(dataSet: "claims2"), try binding(model: 4), try binding(program: 5),
      // The same hashed bytes in another field.
      try binding(manifest: 2, plan: 1),
    ]
    #expect(Set(digests).count == digests.count)
    #expect(try binding() == binding())
  }

  @Test("From manifest and plan")
  func assembled() throws {
    let federation = try TestFederation()
    let signed = try federation.approved()
    let plan = try RunPlan(parsing: documentedPlan)
    let opening = OpeningIdentifier(run: try RunIdentifier("r"), task: .fit, round: 1, attempt: 1)
    let model = ModelHash(hashing: [1])
    let binding = Binding(manifest: signed, plan: plan, opening: opening, model: model)
    #expect(
      binding
        == Binding(
          federation: try OrganizationName("fraud.example"), manifest: signed.hash, plan: plan.hash, opening: opening,
          dataSet: "claims-2026", model: model, program: plan.programHash))
    let fewer = try RunPlan(parsing: documentedPlan.replacingOccurrences(of: "steps: 20", with: "steps: 19"))
    #expect(Binding(manifest: signed, plan: fewer, opening: opening, model: model).digest != binding.digest)
  }

  @Test(
    "Run identifiers can name a directory",
    arguments: [
      ("a", true), ("20260107-120000-0011223344556677", true), ("", false), ("A", false), ("a/b", false), ("..", false),
      ("-a", false), ("a-", false), ("a b", false), ("é", false), (String(repeating: "a", count: 64), true),
      (String(repeating: "a", count: 65), false),
    ])
  func runIdentifiers(text: String, isAllowed: Bool) {
    #expect(((try? RunIdentifier(text)) != nil) == isAllowed)
  }

  @Test("Generated identifiers differ and carry the moment")
  func generated() throws {
    let moment = try Date("2026-01-07T12:34:56Z", strategy: .iso8601)
    let (first, second) = (RunIdentifier.generate(at: moment), RunIdentifier.generate(at: moment))
    #expect(first.text.hasPrefix("20260107-123456-"))
    #expect(first != second)
    #expect(try RunIdentifier(first.text) == first)
    #expect(max(first, second) < RunIdentifier.generate(at: moment + 0.001))
  }

  @Test("Openings")
  func openings() throws {
    let opening = OpeningIdentifier(run: try RunIdentifier("r"), task: .evaluate, round: 2, attempt: 1)
    #expect(opening.nextAttempt.attempt == 2)
    #expect(opening.nextAttempt.round == 2)
    #expect(opening.description == "evaluate of round 2, attempt 1, of run r")
  }

  @Test("A report is JSON with every key, and reads back")
  func report() throws {
    let name = try OrganizationName("alder.example")
    var report = RunReport(run: try RunIdentifier("r"))
    #expect(
      report.json == #"{"model":null,"reason":null,"rounds":[],"run":"r","schema":"bauta/run/1","state":"running"}"#)
    report.state = .completed
    report.rounds = [
      RunReport.Round(
        round: 1, attempt: 2, cohort: [name], survivors: [name], examples: 9, metrics: ["rocAuc": 0.5], seconds: 0.25,
        bytes: 12)
    ]
    report.model = RunReport.Model(path: "models/final.safetensors", sha256: ModelHash(hashing: [1]))
    try withTemporaryDirectory { directory in
      let path = "\(directory)/report.json"
      try report.write(to: path)
      #expect(try RunReport(contentsOf: path) == report)
      try Data("{}".utf8).write(to: URL(fileURLWithPath: path))
      #expect(federationError { try RunReport(contentsOf: path) } == .file(.malformedReport(path: path)))
    }
  }
}
