import DifferentialPrivacy
import Foundation

/// An audit in words and for scripts.
struct PrivacyAuditReport {
  let plan: String
  let audit: PrivacyAudit
  let result: PrivacyAuditResult

  private var noise: String {
    switch audit.settings.noise {
    case .planned: "as planned"
    case .least: "next to none"
    case .scaled(let factor): "planned × \(factor)"
    }
  }

  /// Where the noise is and what draws it.
  private var source: String {
    let sum = "in a sum of \(audit.cohort) organisations"
    return switch audit.noise {
    case .shares(let share):
      "\(Figures.counted(audit.honest, "share")) of \(share.mechanism.rawValue) noise \(sum)"
    case .server: "discrete Gaussian noise of the server \(sum)"
    case .training: "discrete Gaussian noise in each of \(audit.plan.trainer.steps) steps a round of one organisation"
    }
  }

  private var honestShares: JSONValue {
    if case .shares = audit.noise { .count(audit.honest) } else { .null }
  }

  private var confidence: String {
    let percent = 100 * result.confidence
    return percent == percent.rounded() ? Figures.decimals(percent, 0) : "\(JSONValue.number(percent).text)"
  }

  func show(_ output: Output) {
    let guesses = result.guesses
    output.line("\(plan, .strong): \(audit.plan.name), \(Figures.counted(audit.plan.rounds, "round"))")
    output.line(
      "  noise       \(noise); \(source)"
    )
    output.line(
      "  canaries    \(Figures.grouped(guesses.canaries)) in \(Figures.counted(audit.runs - audit.pilotRuns, "run")); \(Figures.grouped(audit.pilot)) in \(audit.pilotRuns == 1 ? "a pilot run" : Figures.counted(audit.pilotRuns, "pilot run")), which chose how many to guess"
    )
    output.line("  accountant  ε ≤ \(epsilon(result.epsilon)) at δ = \(delta)")
    output.line(
      "  audit       with \(confidence) % confidence ε ≥ \(epsilon(result.bound)) (\(Figures.counted(guesses.guesses, "guess", "guesses")) of which \(Figures.grouped(guesses.correct)) right; all right would show \(epsilon(result.ceiling)))"
    )
    output.line(verdict)
    guard !result.hasTeeth else { return }
    let remedy =
      audit.settings.canaries == nil
      ? "No number of them could, at this δ: audit a plan with a smaller ε."
      : "Leave --canaries out for the number that shows most."
    output.line("\("So many canaries could not show that there is no noise at all.", .caution) \(remedy)")
  }

  private var verdict: StyledText {
    if result.isFlagged {
      return audit.settings.noise == .planned
        ? "\("FLAW: more can be told than the plan's ε allows.", .bad) Do not use it with anybody's data, and report it."
        : "\("The audit notices: without noise more can be told than the plan's ε allows.", .bad)"
    }
    return audit.settings.noise == .planned
      ? "\("No flaw found", .good): the audit's bound is below the accountant's ε, which it does not prove."
      : "\("The audit did not notice that there is no noise.", .caution)"
  }

  private func epsilon(_ value: Double) -> String { Figures.decimals(value, 3) }
  private var delta: String { JSONValue.number(result.delta).text }

  var json: JSONValue {
    .object([
      "schema": .string("bauta/privacy-audit/1"), "plan": .string(plan),
      "sha256": .string(audit.plan.hash.hexadecimal),
      "noise": .string(noise.replacingOccurrences(of: " ", with: "-")),
      "mechanism": .string(audit.noise.mechanism.rawValue),
      "organizations": .count(audit.cohort), "honestShares": honestShares,
      "rounds": .count(audit.plan.rounds), "runs": .count(audit.runs),
      "seed": .optional(audit.settings.seed.map { String($0) }),
      "accountant": .object(["epsilon": .number(result.epsilon), "delta": .number(result.delta)]),
      "audit": .object([
        "confidence": .number(result.confidence), "epsilon": .number(result.bound),
        "ceiling": .number(result.ceiling), "canaries": .count(result.guesses.canaries),
        "pilotCanaries": .count(audit.pilot), "guesses": .count(result.guesses.guesses),
        "correct": .count(result.guesses.correct),
      ]),
      "flagged": .boolean(result.isFlagged), "hasTeeth": .boolean(result.hasTeeth),
    ])
  }
}
