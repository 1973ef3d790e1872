import Federation
import Foundation

/// Every rule of a policy held against a plan.
struct PolicyExplanation: Sendable {
  let plan: RunPlan
  let policy: Policy
  let checks: [PolicyCheck]

  /// - Parameter moment: when the run would begin; hours are not checked without one.
  init(policy: Policy, plan: RunPlan, manifest: Manifest?, at moment: Date? = nil) {
    self.plan = plan
    self.policy = policy
    checks = policy.explain(plan, manifest: manifest, at: moment)
  }

  var isAllowed: Bool { checks.allSatisfy(\.isSatisfied) }

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
  }
}
