import Federation
import Foundation

/// Every rule of a policy held against a plan.
struct PolicyExplanation: Sendable {
  let plan: RunPlan
  let policy: Policy
  let checks: [PolicyCheck]

  /// - Parameters:
  ///   - features: columns of the data; nil where only the plan can say it.
  ///   - ledger: what was charged before; without it a run's cost alone is held against the ceiling.
  ///   - moment: when the run would begin; hours are not checked without one.
  init(
    policy: Policy, plan: RunPlan, manifest: Manifest?, features: Int? = nil,
    ledger: (entries: PrivacyLedger, dataSet: String)? = nil, at moment: Date? = nil
  ) {
    self.plan = plan
    self.policy = policy
    checks = policy.explain(plan, manifest: manifest, featureCount: features, ledger: ledger, at: moment)
  }

  var isAllowed: Bool { checks.allSatisfy(\.isSatisfied) }

  /// Whether the policy has a ceiling for the plan's noise, and nothing was held against it.
  var isCostUnknown: Bool {
    plan.privacy.settings != nil && policy.ceiling != nil && !checks.contains { $0.rule == "privacy.epsilon" }
  }

  var rulesJSON: JSONValue {
    .array(
      checks.map { check in
        .object([
          "rule": .string(check.rule), "policy": .string(check.policyValue), "plan": .string(check.planValue),
          "allowed": .boolean(check.isSatisfied), "requirement": .string(check.requirement),
        ])
      })
  }

  func show(_ output: Output, policy name: String) {
    let verdict =
      isAllowed ? StyledText("allows the plan", .good) : StyledText("refuses the plan", .bad)
    output.line("\(name, .strong) \(verdict).")
    var table = Table([.text("rule"), .text("policy"), .text("plan"), .text(""), .text("meaning")], indentation: 2)
    for check in checks {
      table.append([
        "\(check.rule)", "\(check.policyValue)", "\(check.planValue)",
        check.isSatisfied ? StyledText("allowed", .good) : StyledText("REFUSED", .bad), "\(check.requirement)",
      ])
    }
    output.table(table)
    showLog(output)
  }

  /// What the policy says of the organisation's own log, for scripts.
  var logJSON: JSONValue {
    .object([
      "retention": .string(policy.log.retentionText), "quorum": .count(policy.log.quorum),
      "within": .string(policy.log.withinText),
      "witnesses": .array(
        policy.log.witnesses.map { witness in
          .object(["key": .string(witness.key.text), "url": .string(witness.url.description)])
        }),
    ])
  }

  /// No plan is held against it, so it is said only where the policy says something.
  private func showLog(_ output: Output) {
    let log = policy.log
    if log.retention != nil {
      output.line(
        "Entries of the log older than \(log.retentionText) are no longer kept; their hashes and all proofs are.")
    }
    guard !log.witnesses.isEmpty else { return }
    let names = log.witnesses.map { "\($0.key.name) at \($0.url)" }.joined(separator: ", ")
    output.line("Checkpoints of the log are submitted to \(names).")
    output.line(
      log.quorum == 0
        ? "None of them needs to cosign for a run to be joined."
        : "\(log.quorum) of them must have cosigned within \(log.withinText), or no run is joined.")
  }
}
