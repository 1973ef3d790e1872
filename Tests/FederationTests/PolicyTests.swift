import Cryptography
import Foundation
import Testing
import TransparencyLog

@testable import Federation

@Suite("Policies")
struct PolicyTests {
  @Test("The documented policy is read to the value, and the template says the same")
  func documented() throws {
    let policy = try Policy(parsing: documentedPolicy)
    #expect(policy.allow.programs == [.builtin])
    #expect(policy.allow.models == [.logisticRegression])
    #expect(policy.allow.statistics == [.count, .sum, .sumOfSquares, .histogram])
    #expect(policy.cohort.minimum == 3)
    #expect(policy.cohort.minimumHonest == 2)
    #expect(policy.cohort.nearOpenings == Policy.NearOpenings(count: 8, days: 30))
    #expect(policy.cohort.minimumRows == 10)
    #expect(policy.bounds == Policy.Bounds(dimension: 1_000_000, bits: 16...32, clip: 16, rounds: 100))
    #expect(policy.hours == .any)
    let template = try Policy(parsing: Policy.template)
    #expect(template.allow == policy.allow)
    #expect(template.cohort == policy.cohort)
    #expect(template.bounds == policy.bounds)
    #expect(template.hours == policy.hours)
  }

  @Test("Secrets are kept for a time and for an auditor, both or neither")
  func keptSecrets() throws {
    #expect(try Policy(parsing: documentedPolicy).audit == nil)
    #expect(try Policy(parsing: Policy.template).audit == nil)
    let key = AuditorKeyPair.generate().publicKey
    func policy(_ audit: String) throws -> Policy {
      try Policy(parsing: documentedPolicy.replacingOccurrences(of: "{keepSecretsFor: 0d}", with: audit))
    }
    let kept = try policy("{keepSecretsFor: 30d, auditor: \(key)}")
    #expect(kept.audit == Policy.AuditRules(keepSecretsFor: .seconds(30 * 86_400), auditor: key))
    #expect(try policy("{keepSecretsFor: 30d, auditor: \"\(key)\"}").audit == kept.audit)
    #expect(throws: FederationError.self) { try policy("{auditor: \(key)}") }
    #expect(throws: FederationError.self) { try policy("{keepSecretsFor: 0d, auditor: \(key)}") }
    #expect(try policy("{keepSecretsFor: 0d, auditor: null}").audit == nil)
  }

  @Test("An auditor's key is a file for its owner alone, and no other file is one")
  func auditorKeyFile() throws {
    let path = FileManager.default.temporaryDirectory.appendingPathComponent("bauta-\(UUID().uuidString)").path
    defer { try? FileManager.default.removeItem(atPath: path) }
    let key = AuditorKeyPair.generate()
    try AuditorKeyFile.create(path, key: key)
    #expect(try AuditorKeyFile.load(path).publicKey == key.publicKey)
    #expect(throws: FederationError.file(.exists(path: path))) { try AuditorKeyFile.create(path, key: key) }
    chmod(path, 0o644)
    #expect(throws: FederationError.file(.exposed(path: path, mode: 0o644))) { _ = try AuditorKeyFile.load(path) }
    chmod(path, 0o600)
    for text in [
      "", "bauta/auditor-key/1 AAAA\n", "bauta/key/1 identity alder.example \(String(repeating: "A", count: 43))=\n",
    ] {
      try text.write(toFile: path, atomically: false, encoding: .utf8)
      #expect(throws: FederationError.file(.auditorKey(path: path))) { _ = try AuditorKeyFile.load(path) }
    }
  }

  @Test(
    "Faults",
    arguments: [
      ("bits: [16, 32]", "bits: [32, 16]", "policy.yaml:4:36: bounds.bits: write [narrowest, widest], as in [16, 32]"),
      ("bits: [16, 32]", "bits: 32", "policy.yaml:4:36: bounds.bits: expected a list: [one, two], found '32'"),
      (
        "[builtin]", "[python]",
        "policy.yaml:2:20: allow.programs: expected one of builtin, found 'python'"
      ),
      (
        "minimum: 3", "minimum: 2", "policy.yaml:3:19: cohort.minimum: expected an integer from 3 to 10000, found '2'"
      ),
      (
        "minimumHonest", "minimumHonset",
        "policy.yaml:3:22: unknown key 'cohort.minimumHonset'; did you mean "
          + "'minimumHonest'?"
      ),
      (
        "unit: none", "unit: organization",
        "policy.yaml:5:40: privacy.epsilon: expected a number above 0 and at most 1000, found 'null'"
      ),
      (
        "epsilon: null", "epsilon: 8",
        "policy.yaml:5:32: privacy.epsilon: without differential privacy (unit: none) it means nothing"
      ),
      (
        "keepSecretsFor: 0d", "keepSecretsFor: 30d",
        "policy.yaml:7:25: audit.keepSecretsFor: name the auditor to whom the secrets are sealed"
      ),
      (
        "keepSecretsFor: 0d", "keepSecretsFor: 3661d",
        "policy.yaml:7:25: audit.keepSecretsFor: expected a duration from 0d to 3660d, such as 30d, found '3661d'"
      ),
      (
        "keepSecretsFor: 0d", "keepSecretsFor: 30d, auditor: bauta-auditor+00000000+AAAA",
        "policy.yaml:7:39: audit.auditor: expected an auditor's public key, as 'bauta audit open key' prints it or null, "
          + "found 'bauta-auditor+00000000+AAAA'"
      ),
      (
        "hours: any", "hours: always",
        "policy.yaml:6:8: hours: expected 'any' or a list such as [mon-fri 08:00-18:00], found 'always'"
      ),
      ("hours: any", "hours: []", "policy.yaml:6:8: hours: the list is empty, so no run could ever begin"),
      (
        "hours: any", "hours: [mon-fri 8-18]",
        "policy.yaml:6:9: hours: expected hours such as mon-fri 08:00-18:00, found 'mon-fri 8-18'"
      ),
    ] as [(String, String, String)])
  func refused(old: String, new: String, message: String) {
    let text = documentedPolicy.replacingOccurrences(of: old, with: new)
    #expect(federationError { try Policy(parsing: text) }?.message == message)
  }

  @Test("What becomes of the organisation's own log")
  func logRules() throws {
    #expect(try Policy(parsing: documentedPolicy).log == Policy(parsing: Policy.template).log)
    let none = try Policy(parsing: documentedPolicy).log
    #expect(none.retention == nil && none.witnesses.isEmpty && none.quorum == 0 && none.retentionText == "forever")
    let key = NoteVerifierKey<WitnessKeyRole>(
      organization: try OrganizationName("watch.example"), key: WitnessSigningKey.generate().verifyingKey
    ).text
    func rules(_ audit: String) throws -> Policy.LogRules {
      try Policy(parsing: documentedPolicy.replacingOccurrences(of: "{keepSecretsFor: 0d}", with: "{\(audit)}")).log
    }
    let one = "{key: \"\(key)\", url: \"http://watch.example:7481/log\"}"
    let some = try rules("retention: 2192d, witnesses: [\(one)], quorum: 1, within: 2h")
    #expect(some.retention == .seconds(2192 * 86_400) && some.retentionText == "2192d")
    #expect(some.witnesses.map(\.description) == ["\(key)@http://watch.example:7481/log"])
    #expect(some.quorum == 1 && some.within == .seconds(7200) && some.withinText == "2h")
    for (audit, problem) in [
      ("retention: 23h", "audit.retention"), ("retention: never", "audit.retention"),
      ("witnesses: [\(one), \(one)]", "audit.witnesses[2].key"), ("quorum: 1", "audit.quorum"),
      ("witnesses: [\(one)], quorum: 2", "audit.quorum"), ("within: 1m", "audit.within"),
      ("within: 31d", "audit.within"),
      ("witnesses: [{key: \"\(key)\", url: \"https://watch.example\"}]", "audit.witnesses[1].url"),
      ("witnesses: [{key: \"\(key.dropLast())\", url: \"http://watch.example\"}]", "audit.witnesses[1].key"),
      ("witnesses: [{url: \"http://watch.example\"}]", "audit.witnesses[1].key"),
    ] {
      let error = federationError { try rules(audit) }
      #expect(error?.message.contains(problem) == true, "\(audit): \(error?.message ?? "read")")
    }
  }

  @Test("A plan within the policy is accepted, and decisions carry policy, plan and rules")
  func accepted() throws {
    let federation = try TestFederation()
    let policy = try Policy(parsing: documentedPolicy)
    let plan = try RunPlan(parsing: documentedPlan)
    let signed = try federation.approved()
    let accepted = try policy.decide(plan: plan, manifest: signed, featureCount: 49, ledger: nil, at: Date())
    #expect(accepted.manifest == signed.hash)
    #expect(accepted.checks.allSatisfy { $0.isSatisfied })
    for kind in OutboundKind.allCases where kind.requiresAcceptedPlan {
      let decision = accepted.decision(for: kind)
      #expect(decision.verdict == .allowed)
      #expect(decision.kind == kind)
      #expect(decision.policy == policy.hash)
      #expect(decision.plan == plan.hash)
      #expect(
        decision.rule
          == "allow.programs allow.models allow.statistics cohort.minimum cohort.minimumHonest bounds.dimension "
          + "bounds.bits bounds.clip bounds.rounds privacy.unit hours")
    }
    let control = PolicyDecision.protocolControl(.hello)
    #expect(control.rules == ["control"])
    #expect(control.plan == nil)
    #expect(!control.kind.requiresAcceptedPlan)
  }

  @Test(
    "Each rule refuses alone, and says so",
    arguments: [
      ("[builtin]", "[]", "allow.programs"), ("[logisticRegression]", "[]", "allow.models"),
      (", histogram]", "]", "allow.statistics"), ("[count, ", "[", "allow.statistics"),
      ("minimum: 3", "minimum: 4", "cohort.minimum"), ("minimumHonest: 2", "minimumHonest: 3", "cohort.minimumHonest"),
      ("dimension: 1000000", "dimension: 49", "bounds.dimension"), ("[16, 32]", "[16, 31]", "bounds.bits"),
      ("clip: 16", "clip: 7.5", "bounds.clip"), ("rounds: 100", "rounds: 2", "bounds.rounds"),
      ("hours: any", "hours: [sat 00:00-24:00]", "hours"),
    ] as [(String, String, String)])
  func refusals(old: String, new: String, rule: String) throws {
    let federation = try TestFederation()
    #expect(documentedPolicy.contains(old))
    let policy = try Policy(parsing: documentedPolicy.replacingOccurrences(of: old, with: new))
    let plan = try RunPlan(parsing: documentedPlan)
    let signed = try federation.approved()
    // A Wednesday.
    let moment = Date(timeIntervalSince1970: 1_767_787_200)
    do throws(PolicyRefusal) {
      _ = try policy.decide(plan: plan, manifest: signed, featureCount: 49, ledger: nil, at: moment, timeZone: .gmt)
      Issue.record("accepted")
    } catch {
      #expect(error.violations.map(\.rule) == [rule])
      #expect(error.reason == .policy)
      #expect(error.message.contains(rule))
      #expect(error.decision.verdict == .refused)
      #expect(error.decision.kind == .refusal)
      #expect(error.decision.rules == [rule])
    }
  }

  @Test("A refusal names every rule with both values")
  func words() throws {
    let federation = try TestFederation()
    let text = documentedPolicy.replacingOccurrences(of: "rounds: 100", with: "rounds: 2")
      .replacingOccurrences(of: "clip: 16", with: "clip: 4")
    let policy = try Policy(parsing: text)
    let plan = try RunPlan(parsing: documentedPlan)
    let signed = try federation.approved()
    do throws(PolicyRefusal) {
      _ = try policy.decide(plan: plan, manifest: signed, featureCount: 49, ledger: nil, at: Date())
      Issue.record("accepted")
    } catch {
      #expect(
        error.message
          == "the policy refuses the plan: bounds.clip: values may be clipped at most at; the policy says 4, the plan 8; "
          + "bounds.rounds: a run may have at most so many rounds; the policy says 2, the plan 3")
    }
  }

  @Test("A statistics run needs no histograms; a larger manifest minimum counts")
  func statisticsAndCohort() throws {
    let federation = try TestFederation()
    let text = documentedPolicy.replacingOccurrences(of: ", histogram]", with: "]")
    let policy = try Policy(parsing: text)
    let plan = try RunPlan(parsing: documentedPlan.replacingOccurrences(of: "kind: train", with: "kind: statistics"))
    let manifest = try federation.manifest()
    #expect(policy.explain(plan, manifest: manifest).allSatisfy { $0.isSatisfied })
    let strict = try Policy(parsing: documentedPolicy.replacingOccurrences(of: "minimum: 3", with: "minimum: 4"))
    let larger = try federation.manifest(minimumCohort: 4)
    #expect(strict.explain(plan, manifest: manifest).filter { !$0.isSatisfied }.map(\.rule) == ["cohort.minimum"])
    #expect(strict.explain(plan, manifest: larger).allSatisfy { $0.isSatisfied })
  }

  @Test("Without a manifest and a feature count, what cannot be known is left out")
  func explainAlone() throws {
    let policy = try Policy(parsing: documentedPolicy)
    let rules = policy.explain(try RunPlan(parsing: documentedPlan)).map(\.rule)
    #expect(!rules.contains("bounds.dimension"))
    #expect(!rules.contains("cohort.minimumHonest"))
    #expect(!rules.contains("hours"))
    #expect(rules.contains("cohort.minimum"))
  }

  @Test(
    "Hours, on the organisation's clock",
    arguments: [
      // 2026-01-07 is a Wednesday.
      ("mon-fri 08:00-18:00", "2026-01-07T08:00:00Z", true), ("mon-fri 08:00-18:00", "2026-01-07T07:59:59Z", false),
      ("mon-fri 08:00-18:00", "2026-01-07T17:59:59Z", true), ("mon-fri 08:00-18:00", "2026-01-07T18:00:00Z", false),
      ("mon-fri 08:00-18:00", "2026-01-10T12:00:00Z", false), ("sat 00:00-24:00", "2026-01-10T23:59:00Z", true),
      ("mon,wed 12:00-13:00", "2026-01-07T12:30:00Z", true), ("mon,thu 12:00-13:00", "2026-01-07T12:30:00Z", false),
      ("fri-mon 00:00-24:00", "2026-01-11T12:00:00Z", true), ("fri-mon 00:00-24:00", "2026-01-07T12:00:00Z", false),
      ("tue 22:00-06:00", "2026-01-07T05:59:00Z", true), ("tue 22:00-06:00", "2026-01-07T06:00:00Z", false),
      ("wed 22:00-06:00", "2026-01-07T05:59:00Z", false), ("wed 22:00-06:00", "2026-01-07T22:00:00Z", true),
      ("sun 22:00-06:00", "2026-01-12T01:00:00Z", true),
    ] as [(String, String, Bool)])
  func hours(window: String, moment: String, expected: Bool) throws {
    let hours = AllowedHours.windows([try AllowedHours.Window(window)])
    let date = try Date(moment, strategy: .iso8601)
    #expect(hours.contains(date, timeZone: .gmt) == expected)
  }

  @Test("A time zone shifts the hours")
  func timeZone() throws {
    let hours = AllowedHours.windows([try AllowedHours.Window("wed 00:00-01:00")])
    let date = try Date("2026-01-06T23:30:00Z", strategy: .iso8601)
    #expect(!hours.contains(date, timeZone: .gmt))
    #expect(hours.contains(date, timeZone: try #require(TimeZone(secondsFromGMT: 3600))))
  }

  @Test(
    "Hours that are none",
    arguments: [
      "", "mon", "mon 08:00", "08:00-18:00", "mon-fri  08:00-18:00", "mon-fri 8:00-18:00", "mon-fri 08:00-24:01",
      "mon-fri 24:00-08:00", "mon-fri 08:60-18:00", "mon-fri 08:00-08:00", "mon-xyz 08:00-18:00",
      "mon-tue-wed 08:00-18:00",
      "mon, 08:00-18:00", "mon-fri 08:00-18:00-19:00", "MON 08:00-18:00",
    ])
  func badHours(text: String) {
    #expect(federationError { try AllowedHours.Window(text) } == .malformed(.hours))
  }
}
