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
      run costs at worst, how wrong a gradient becomes by it, how a clip that follows the updates moves, and how the \
      noise changes with rounds and with epsilon. Of a plan with privacy.tree it compares the noise of the sums over many \
      rounds with noise that is drawn anew each round. With --directory also what the organisation has left, and how many \
      such runs fit. Nothing is sent or changed.

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

  @Option(help: PlannedDataOption.help, completion: .file())
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
      try show(planned, budget ?? nil, account)
    }
    if let budget,
      budget?.forecast.isAffordable != true || budget.map({ planned.isTrusted($0.forecast.ceiling) }) != true
    {
      try Output.standard.finish()
      throw ExitCode.failure
    }
  }

  // MARK: - Text

  private func show(
    _ planned: PlannedPrivacy, _ budget: PrivacyAccount.Budget?, _ account: PrivacyAccount?
  ) throws {
    let output = Output.standard
    let (settings, agreement) = (planned.settings, planned.agreement)
    let unit = settings.unit == .record ? "row" : "organisation"
    output.line("\(plan, .strong): hides one \(unit), by \(planned.mechanism)")
    output.line(
      "  the whole run   ε ≤ \(PrivacyAccount.text(agreement.form.epsilon)) at δ = \(settings.delta), for \(Figures.counted(planned.plan.rounds, "round"))"
        + (agreement.charges.count > 1 ? " and an evaluation" : ""))
    output.line("  counted on      \(planned.countedOn)")
    switch agreement.form {
    case .distributed(let noise): show(noise, planned, unit: unit)
    case .local(let noise): show(noise, planned)
    case .central(let noise): show(noise, planned)
    }
    output.line()
    showAlternatives(planned)
    if let budget, let account {
      try showBudget(budget, planned, account)
    } else if let account {
      output.line()
      output.line(
        "\(account.name, .strong): the policy has no privacy budget (privacy.unit: none), and refuses plans with noise."
      )
    }
  }

  /// Of a power of two, above or below one.
  private static func step(_ scale: Double) -> String {
    scale > 1 ? "1/\(Figures.decimals(scale, 0))" : Figures.decimals(1 / scale, 0)
  }

  /// Noise of which every organisation adds a share.
  private func show(_ noise: NoisePlan, _ planned: PlannedPrivacy, unit: String) {
    let output = Output.standard
    let (cohort, model) = (noise.parameters.cohort, noise.model)
    func deviation(_ organizations: Int) -> Double {
      model.noise.variance(shares: organizations).squareRoot() / noise.encoding.scale
    }
    output.line(
      "  noise of a fit  \(Figures.decimals(model.noiseMultiplier, 4)) times what one \(unit) can change; "
        + "each organisation adds σ = \(Figures.measured(deviation(1), 3))")
    output.line(
      "  in the sum      σ = \(Figures.measured(deviation(cohort.honestShares), 3)) counted on, "
        + "\(Figures.measured(deviation(cohort.size), 3)) if all \(cohort.size) take part; clip \(Figures.measured(planned.settings.clip, 3))"
    )
    showError(deviation(cohort.size), planned)
    PlannedClipping(planned)?.show()
    if let evaluation = planned.agreement.release(of: .evaluate) {
      let deviation = evaluation.noise.variance(shares: cohort.size).squareRoot()
      output.line("  evaluation      σ = \(Figures.decimals(deviation, 2)) rows in each bin of the histogram")
    }
    output.line(
      "  on the wire     steps of \(Self.step(noise.encoding.scale)), \(planned.plan.secureSum.bits) bits")
  }

  private func showError(_ deviation: Double, _ planned: PlannedPrivacy) {
    guard let examples = planned.plan.strategy.gradient?.expectedExamples else { return }
    Output.standard.line(
      "  expected error  \(Figures.measured(deviation / Double(examples), 5)) in each coordinate of the mean gradient of \(Figures.grouped(examples)) rows, every round"
    )
  }

  /// Noise that the server adds.
  private func show(_ noise: CentralNoise, _ planned: PlannedPrivacy) {
    let output = Output.standard
    let ofFit = noise.model.standardDeviation / noise.encoding.scale
    output.line(
      "  noise of a \(noise.tree == nil ? "fit " : "node") \(Figures.decimals(noise.model.noiseMultiplier, 4)) times what one row can change: "
        + "σ = \(Figures.measured(ofFit, 3)) in the sum, clip \(Figures.measured(planned.settings.clip, 3))")
    if let trees = planned.trees { trees.show() } else { showError(ofFit, planned) }
    if let evaluation = noise.evaluation {
      output.line(
        "  evaluation      σ = \(Figures.decimals(evaluation.noise.standardDeviation, 2)) rows in each bin of the histogram"
      )
    }
    output.line("  a policy        allows it only with privacy.trustServer: true; no client can check the noise")
  }

  /// Noise inside every organisation's own training.
  private func show(_ noise: LocalNoise, _ planned: PlannedPrivacy) {
    let output = Output.standard
    let examples = planned.plan.trainer.local?.expectedExamples ?? 1
    let drawn = noise.samplingProbability * Double(examples)
    output.line(
      "  noise of a step \(Figures.decimals(noise.noiseMultiplier, 4)) times what one row can change: "
        + "σ = \(Figures.measured(noise.deviation, 3)), clip \(Figures.measured(noise.clip, 3))")
    output.line(
      "  a step          draws each row with probability \(noise.samplingProbability), in secret; "
        + "\(planned.plan.trainer.steps) steps a round, \(noise.releases) in all")
    output.line(
      "  expected error  \(Figures.measured(noise.deviation / drawn, 5)) in each coordinate of the mean gradient of "
        + "\(Figures.decimals(drawn, 0)) rows, every step")
  }

  /// What other ε and other numbers of rounds ask for.
  private func showAlternatives(_ planned: PlannedPrivacy) {
    // Of whole passes, where there are some.
    let passes = planned.plan.trees?.passes ?? 1
    let rounds = Self.rounds(around: planned.plan.rounds / passes).map { $0 * passes }.filter { $0 <= 1000 }
    let output = Output.standard
    let unit = planned.settings.unit == .record ? "row" : "organisation"
    output.line("Noise by ε and rounds, in multiples of what one \(unit) can change")
    var table = Table([.number("ε")] + rounds.map { .number(Figures.counted($0, "round")) }, indentation: 2)
    var epsilons: Set = [0.5, 1, 3, 8]
    if case .target(let epsilon) = planned.settings.amount { epsilons.insert(epsilon) }
    for epsilon in epsilons.sorted() {
      table.append(
        ["\(JSONValue.number(epsilon).text)"]
          + rounds.map {
            "\((try? planned.agreement.form(epsilon: epsilon, rounds: $0)).map { Figures.decimals($0.noiseMultiplier, 2) } ?? "–")"
          })
    }
    output.table(table)
  }

  static func rounds(around count: Int) -> [Int] {
    Set([max(1, count / 4), max(1, count / 2), count, count * 2, count * 4].map { min($0, 1000) }).sorted()
  }

  private func showBudget(
    _ budget: PrivacyAccount.Budget, _ planned: PlannedPrivacy, _ account: PrivacyAccount
  ) throws {
    let output = Output.standard
    let forecast = budget.forecast
    output.line()
    output.line("\(budget.name, .strong): ε at δ = \(forecast.ceiling.delta), by its ledger and policy")
    var table = Table(
      [.text("data"), .number("spent"), .number("with this run"), .number("ceiling")], indentation: 2)
    func append(_ name: String, _ spent: Double, _ after: Double, _ ceiling: Double) {
      table.append([
        "\(name)", "\(PrivacyAccount.text(spent))",
        StyledText(PrivacyAccount.text(after), after <= ceiling ? .good : .bad), "\(Figures.decimals(ceiling, 4))",
      ])
    }
    append(
      budget.dataSet.isEmpty ? "a data set" : budget.dataSet, forecast.spent, forecast.after, forecast.ceiling.epsilon)
    append("all data together", forecast.spentInAll, forecast.afterInAll, forecast.ceiling.epsilonInAll)
    output.table(table)
    guard planned.isTrusted(forecast.ceiling) else {
      output.line(
        "\(StyledText("The policy refuses it", .bad)), whatever is left: it does not trust the server with the noise "
          + "(privacy.trustServer)")
      return
    }
    guard !forecast.isAffordable else {
      let most = PrivacyAccount.Budget.most
      let runs =
        budget.runs > most ? "more than \(Figures.counted(most, "such run"))" : Figures.counted(budget.runs, "such run")
      output.line("\(StyledText("It fits", .good)): \(runs) from here in all.")
      return
    }
    guard forecast.spent.isFinite, forecast.spentInAll.isFinite else {
      output.line(
        "\(StyledText("It does not fit.", .bad)) No number can be given for what left before: bauta privacy spent says why."
      )
      return
    }
    let affordable = try account.affordable(planned, dataSet: budget.dataSet)
    output.line(
      "\(StyledText("It does not fit.", .bad)) "
        + (affordable.map {
          "With \(Figures.counted(planned.plan.rounds, "round")) it would at ε = \(Figures.decimals($0, 2))."
        } ?? "What is left is too little for such a run at ε = \(PrivacyAccount.leastEpsilon) or more.")
        + (planned.settings.delta == forecast.ceiling.delta
          ? "" : " (The plan's δ is \(planned.settings.delta), the policy's \(forecast.ceiling.delta).)"))
  }

  // MARK: - JSON

  private func json(_ planned: PlannedPrivacy, _ budget: PrivacyAccount.Budget?) -> JSONValue {
    let (agreement, settings) = (planned.agreement, planned.settings)
    var members: [String: JSONValue] = [
      "schema": .string("bauta/privacy-plan/1"), "plan": .string(plan), "unit": .string(settings.unit.rawValue),
      "noise": .string(settings.placement.rawValue), "mechanism": .string(settings.mechanism.planName),
      "epsilon": .number(agreement.form.epsilon), "delta": .number(settings.delta),
      "rounds": .count(planned.plan.rounds),
      "clip": .number(settings.clip), "countedOn": .string(planned.countedOn),
      "honestShares": agreement.distributed.map { .count($0.parameters.cohort.honestShares) } ?? .null,
      "releases": .array(releases(agreement)),
    ]
    if let encoding = agreement.encoding { members["scale"] = .number(encoding.scale) }
    if let clipping = PlannedClipping(planned) { members["adaptiveClipping"] = clipping.json }
    if let trees = planned.trees { members["tree"] = trees.json }
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

  private func releases(_ agreement: NoiseAgreement) -> [JSONValue] {
    switch agreement.form {
    case .distributed(let noise):
      noise.releases.map { release in
        .object([
          "name": .string(release.name), "count": .count(release.releases), "dimension": .count(release.dimension),
          "noiseMultiplier": .number(release.noiseMultiplier),
          "localVariance": .number(release.noise.variance(shares: 1)), "event": .string(release.event.canonical),
        ])
      }
    case .central(let noise):
      zip(
        [(noise.tree == nil ? "model" : "node", noise.model), ("evaluation", noise.evaluation?.noise)],
        agreement.charges
      ).map { release, charge in
        .object([
          "name": .string(release.0), "count": .count(charge.count),
          "noiseMultiplier": release.1.map { .number($0.noiseMultiplier) } ?? .null,
          "event": .string(charge.event.canonical),
        ])
      }
    case .local(let noise):
      [
        .object([
          "name": .string("step"), "count": .count(noise.releases), "noiseMultiplier": .number(noise.noiseMultiplier),
          "samplingProbability": .number(noise.samplingProbability), "event": .string(noise.event.canonical),
        ])
      ]
    }
  }
}
