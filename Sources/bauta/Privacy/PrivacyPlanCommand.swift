import ArgumentParser
import DifferentialPrivacy
import Federation
import FederationClient
import Foundation

struct PrivacyPlanCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "plan", abstract: "Say what a plan's noise is, what it costs, and what you can afford.",
    discussion: """
      Computes the noise that the plan's privacy asks for in the cohort: how much each organisation adds, what the whole \
      run costs at worst, how wrong a gradient becomes by it, and how the noise changes with rounds and with epsilon. \
      With --directory also what the organisation has left, and how many such runs fit. Nothing is sent or changed.

        bauta privacy plan plan.yaml --organizations 5
        bauta privacy plan plan.yaml --manifest federation.note --directory alder --data alder/data.csv
      Status 1 if the plan cannot be carried out, or does not fit into what is left.
      """)

  @Argument(help: "Plan (YAML).", completion: .file(extensions: ["yaml"]))
  var plan: String

  @OptionGroup var cohort: PlannedCohortOptions

  @Option(
    help: ArgumentHelp("Hold it against this organisation's ledger and policy.", valueName: "dir"),
    completion: .directory)
  var directory: String?

  @Option(
    help: ArgumentHelp("The data set whose account counts; without it, all data together.", valueName: "file"),
    completion: .file())
  var data: String?

  @OptionGroup var format: JSONOption

  func validate() throws {
    if data != nil, directory == nil { throw ValidationError("--data goes with --directory: whose account is it?") }
  }

  func run() async throws {
    let planned = try PlannedPrivacy(path: plan, cohort: cohort)
    let account = try directory.map { try PrivacyAccount(directory: $0) }
    let budget = try account.map { try $0.budget(for: planned.agreement.charges, data: data) }
    if format.json {
      Output.standard.json(json(planned, budget ?? nil))
    } else {
      show(planned, budget ?? nil)
    }
    if let budget, budget?.forecast.isAffordable != true {
      try Output.standard.finish()
      throw ExitCode.failure
    }
  }

  // MARK: - Text

  private func show(_ planned: PlannedPrivacy, _ budget: PrivacyAccount.Budget?) {
    let output = Output.standard
    let (settings, noise, cohort) = (planned.settings, planned.noise, planned.cohort)
    let model = noise.model
    output.line(
      "\(plan, .strong): hides one \(settings.unit == .record ? "row" : "organisation"), by \(settings.mechanism.planName) noise"
    )
    output.line(
      "  the whole run   ε ≤ \(Figures.decimals(noise.epsilon, 4)) at δ = \(settings.delta), for \(planned.plan.rounds) rounds"
        + (noise.releases.count > 1 ? " and an evaluation" : ""))
    output.line(
      "  counted on      \(cohort.honestShares) honest of at least \(cohort.minimum) organisations; \(cohort.assumedCorrupt) "
        + "may subtract their own noise")
    output.line(
      "  noise of a fit  \(Figures.decimals(model.noiseMultiplier, 4)) times what one \(settings.unit == .record ? "row" : "organisation") can change; "
        + "each organisation adds σ = \(Figures.decimals(planned.deviation(organizations: 1), 3))")
    output.line(
      "  in the sum      σ = \(Figures.decimals(planned.deviation(organizations: cohort.honestShares), 3)) counted on, "
        + "\(Figures.decimals(planned.deviation(organizations: cohort.size), 3)) if all \(cohort.size) take part; clip \(Figures.decimals(settings.clip, 3))"
    )
    if let examples = planned.plan.strategy.gradient?.expectedExamples {
      let error = planned.deviation(organizations: cohort.size) / Double(examples)
      output.line(
        "  expected error  \(Figures.decimals(error, 5)) in each coordinate of the mean gradient of \(examples) rows, every round"
      )
    }
    if noise.releases.count > 1 {
      let deviation = noise.releases[1].noise.variance(shares: cohort.size).squareRoot()
      output.line("  evaluation      σ = \(Figures.decimals(deviation, 2)) rows in each bin of the histogram")
    }
    output.line(
      "  on the wire     steps of 1/\(Figures.decimals(noise.encoding.scale, 0)), \(planned.plan.secureSum.bits) bits")
    output.line()
    showAlternatives(planned)
    if let budget { showBudget(budget) }
  }

  /// What other ε and other numbers of rounds ask for.
  private func showAlternatives(_ planned: PlannedPrivacy) {
    let rounds = Self.rounds(around: planned.plan.rounds)
    let output = Output.standard
    output.line("What you could afford instead: noise (in multiples of what one can change) by ε and rounds")
    var table = Table([.number("ε")] + rounds.map { .number("\($0) rounds") }, indentation: 2)
    for epsilon in [0.5, 1, 3, 8] {
      table.append(
        ["\(Figures.decimals(epsilon, 1))"]
          + rounds.map {
            "\((try? planned.noise(epsilon: epsilon, rounds: $0)).map { Figures.decimals($0.model.noiseMultiplier, 2) } ?? "–")"
          })
    }
    output.table(table)
  }

  static func rounds(around count: Int) -> [Int] {
    Set([max(1, count / 4), max(1, count / 2), count, count * 2, count * 4].map { min($0, 1000) }).sorted()
  }

  private func showBudget(_ budget: PrivacyAccount.Budget) {
    let output = Output.standard
    let forecast = budget.forecast
    output.line()
    output.line(
      "\(budget.name, .strong): ε = \(Figures.decimals(forecast.spentInAll, 3)) of \(Figures.decimals(forecast.ceiling.epsilonInAll, 3)) "
        + "spent in all, \(Figures.decimals(forecast.afterInAll, 3)) with this run, at δ = \(forecast.ceiling.delta)")
    output.line(
      forecast.isAffordable
        ? "\(StyledText("It fits", .good)); \(Figures.counted(budget.runs, "such run")) from here in all."
        : "\(StyledText("It does not fit.", .bad)) Ask for more noise, fewer rounds, or see 'bauta privacy spent'.")
  }

  // MARK: - JSON

  private func json(_ planned: PlannedPrivacy, _ budget: PrivacyAccount.Budget?) -> JSONValue {
    let noise = planned.noise
    var members: [String: JSONValue] = [
      "schema": .string("bauta/privacy-plan/1"), "plan": .string(plan), "unit": .string(planned.settings.unit.rawValue),
      "mechanism": .string(planned.settings.mechanism.planName), "epsilon": .number(noise.epsilon),
      "delta": .number(noise.delta), "rounds": .count(planned.plan.rounds), "clip": .number(planned.settings.clip),
      "honestShares": .count(planned.cohort.honestShares), "scale": .number(noise.encoding.scale),
      "releases": .array(
        noise.releases.map { release in
          .object([
            "name": .string(release.name), "count": .count(release.releases), "dimension": .count(release.dimension),
            "noiseMultiplier": .number(release.noiseMultiplier),
            "localVariance": .number(release.noise.variance(shares: 1)), "event": .string(release.event.canonical),
          ])
        }),
    ]
    if let budget {
      members["budget"] = .object([
        "organization": .string(budget.name), "spent": .number(budget.forecast.spent),
        "spentInAll": .number(budget.forecast.spentInAll), "after": .number(budget.forecast.after),
        "afterInAll": .number(budget.forecast.afterInAll), "ceiling": .number(budget.forecast.ceiling.epsilon),
        "ceilingInAll": .number(budget.forecast.ceiling.epsilonInAll), "delta": .number(budget.forecast.ceiling.delta),
        "affordable": .boolean(budget.forecast.isAffordable), "runs": .count(budget.runs),
      ])
    }
    return .object(members)
  }
}
