import ArgumentParser
import Federation
import Learning

struct PlanCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "plan", abstract: "Write and check what a run is to do.",
    subcommands: [PlanTemplateCommand.self, PlanCheckCommand.self])
}

struct PlanTemplateCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "template", abstract: "Print a plan with every key, its default and its meaning.",
    discussion: """
        bauta plan template > plan.yaml

      With --privacy record, a plan whose sums carry noise that hides every single row, for the 49 figures of providers \
      that the demonstration uses; with --privacy organization, one that hides every single organisation, of which it \
      takes many. For other data replace names, constants and the expected number of rows by what is known without \
      looking at the data: what is read off the rows is told by the plan, and no noise hides it. --noise says who adds \
      the noise that hides rows: all organisations together (distributed), each to its own training (local), or the \
      server, which then sees sums without any (central).

        bauta plan template --privacy record > private.yaml
        bauta plan template --privacy record --noise local > private.yaml
        bauta privacy plan private.yaml --organizations 5
      """)

  @Option(help: "What noise is to hide: none, record for single rows, or organization for whole organisations.")
  var privacy: PrivacyUnit = .none

  @Option(help: "Who adds it.")
  var noise: NoisePlacement = .distributed

  func validate() throws {
    guard noise == .distributed || privacy == .record else {
      throw ValidationError("--noise \(noise.rawValue) goes with --privacy record.")
    }
  }

  func run() async throws {
    switch privacy {
    case .none: Output.standard.write(Array(RunPlan.template.utf8))
    case .record, .organization: Output.standard.write(Array(try privateTemplate().utf8))
    }
  }

  /// The demonstration's plan for five organisations with a thousand rows each.
  private func privateTemplate() throws -> String {
    let features = ProviderSchema.features
    var template = PrivateTemplate(
      name: "fraud", label: ProviderSchema.label, positive: ProviderSchema.positive, dataSet: "claims",
      features: features, scaling: try DemoData.publicScaling(of: features), expectedExamples: 4000, organizations: 5,
      epsilon: 3)
    template.minimumClients = 4
    template.unit = privacy
    template.noise = noise
    return template.text
  }
}

struct PlanCheckCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "check", abstract: "Say whether a plan is sound, and whether a policy allows it.",
    discussion: """
      Checks every key and value, and that no secure sum under the plan can wrap. Status 1 if it can, or if the policy \
      refuses.

        bauta plan check plan.yaml --organizations 5
        bauta plan check plan.yaml --manifest federation.note --policy policy.yaml
      """)

  @Argument(help: "Plan (YAML).", completion: .file(extensions: ["yaml"]))
  var plan: String

  @Option(help: ArgumentHelp("Hold a policy against it.", valueName: "file"), completion: .file(extensions: ["yaml"]))
  var policy: String?

  @OptionGroup var cohort: PlannedCohortOptions
  @OptionGroup var format: JSONOption

  func run() async throws {
    let parsed = try RunPlan(contentsOf: plan)
    let (federation, features) = (try cohort.federation(for: parsed), try cohort.featureCount(of: parsed))
    let sums: PlannedSums
    do { sums = try PlannedSums(parsed, manifest: federation, features: features) } catch {
      throw PlannedSums.refusal(of: plan, error)
    }
    // What noise costs follows from how many take part: a federation that exists nowhere will do.
    let members = cohort.manifest == nil && parsed.privacy.settings == nil ? nil : federation
    let explanation = try policy.map { path in
      PolicyExplanation(policy: try Policy(contentsOf: path), plan: parsed, manifest: members, features: features)
    }
    if format.json {
      Output.standard.json(json(parsed, sums, explanation))
    } else {
      show(parsed, sums, explanation)
    }
    if explanation?.isAllowed == false {
      try Output.standard.finish()
      throw ExitCode.failure
    }
  }

  private func json(_ parsed: RunPlan, _ sums: PlannedSums, _ explanation: PolicyExplanation?) -> JSONValue {
    var members: [String: JSONValue] = [
      "schema": .string("bauta/plan-check/1"), "plan": .string(plan), "name": .string(parsed.name),
      "sha256": .string(parsed.hash.hexadecimal), "secureSum": sums.json,
    ]
    if let explanation {
      members["allowed"] = .boolean(explanation.isAllowed)
      members["rules"] = explanation.rulesJSON
    }
    return .object(members)
  }

  private func show(_ parsed: RunPlan, _ sums: PlannedSums, _ explanation: PolicyExplanation?) {
    let output = Output.standard
    let task = parsed.task
    output.line("\(plan, .strong): \(parsed.name), SHA-256 \(parsed.hash.hexadecimal)")
    output.line("  task        \(task.kind.rawValue) \(task.label) = \(task.positive), data set \(parsed.data.set)")
    if task.kind == .train {
      output.line(
        "  model       \(parsed.model.kind.rawValue), l2 \(parsed.model.l2), \(parsed.strategy.name.rawValue)")
      output.line("  rounds      \(parsed.rounds), \(Self.step(of: parsed))")
    }
    if let settings = parsed.privacy.settings {
      output.line("  privacy     \(settings.summary): bauta privacy plan \(plan)")
    }
    output.line("  secure sum  \(sums.description)")
    output.line("\("The plan is sound.", .good)")
    if let explanation, let policy {
      output.line()
      explanation.show(output, policy: policy)
      if cohort.manifest == nil {
        output.line(
          parsed.privacy.settings == nil
            ? "Rules about the federation's assumptions need --manifest."
            : "Costs are those of one such run, in a new federation of \(sums.organizations): with --manifest, in yours."
        )
      }
    } else {
      output.line("Next: bauta policy explain \(plan) in each organisation, then bauta run start \(plan)")
    }
  }
}

extension PlanCheckCommand {
  /// What an organisation does in a round.
  fileprivate static func step(of plan: RunPlan) -> String {
    if let trees = plan.trees {
      return "one gradient over one row in \(trees.steps) in each, every row "
        + (trees.passes == 1 ? "once" : "\(trees.passes) times")
    }
    if plan.strategy.gradient != nil { return "one gradient over all rows in each" }
    return "\(Figures.counted(plan.trainer.steps, "step")) of \(plan.trainer.optimizer.rawValue) in each"
  }
}

extension PrivacySettings {
  /// What is hidden, how well, and by whom.
  var summary: String {
    let unit = unit == .record ? "every row" : "every organisation"
    let amount =
      switch amount {
      case .target(let epsilon): "at ε = \(JSONValue.number(epsilon).text)"
      case .noiseMultiplier(let multiplier): "with noise multiplier \(JSONValue.number(multiplier).text)"
      }
    let source =
      switch placement {
      case .distributed: adaptiveClipping == nil ? "" : ", a clip that follows the updates"
      case .local: ", noise of each organisation's own training"
      case .central: ", noise of the server, which sees sums without any"
      }
    return "hides \(unit) \(amount), δ = \(delta)\(source)"
  }
}

extension RunPlan {
  /// Fewest organisations with which this plan could run.
  var smallestFederation: Int {
    max(strategy.minimumAvailableClients, strategy.minimumFitClients, strategy.minimumEvaluateClients)
  }
}

extension PrivacyUnit: ExpressibleByArgument {}
extension NoisePlacement: ExpressibleByArgument {}
