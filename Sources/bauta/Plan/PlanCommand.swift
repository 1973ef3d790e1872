import ArgumentParser
import Federation

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
      """)

  func run() async throws {
    Output.standard.write(Array(RunPlan.template.utf8))
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

  @Option(
    help: ArgumentHelp("Check it for the members of this federation.", valueName: "note"),
    completion: .file(extensions: ["note"]))
  var manifest: String?

  @Option(help: ArgumentHelp("Check it for so many organisations instead, 3 to 256.", valueName: "n"))
  var organizations: Int?

  @OptionGroup var format: JSONOption

  func validate() throws {
    if organizations != nil, manifest != nil {
      throw ValidationError("Give --manifest or --organizations: the manifest names its members.")
    }
    if let organizations, !(3...256).contains(organizations) {
      throw ValidationError("--organizations must be from 3 to 256.")
    }
  }

  func run() async throws {
    let parsed = try RunPlan(contentsOf: plan)
    let members = try manifest.map { try ManifestFile.read($0, requiringApprovals: false).manifest }
    let federation = try members ?? PlannedSums.federation(of: organizations ?? parsed.smallestFederation)
    let sums: PlannedSums
    do { sums = try PlannedSums(parsed, manifest: federation) } catch { throw CommandError.about(plan, error) }
    let explanation = try policy.map { path in
      PolicyExplanation(policy: try Policy(contentsOf: path), plan: parsed, manifest: members)
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
      let steps = "\(Figures.counted(parsed.trainer.steps, "step")) of \(parsed.trainer.optimizer.rawValue) in each"
      output.line("  rounds      \(parsed.rounds), \(steps)")
    }
    output.line("  secure sum  \(sums.description)")
    output.line("\("The plan is sound.", .good)")
    if let explanation, let policy {
      output.line()
      explanation.show(output, policy: policy)
    } else {
      output.line("Next: bauta policy explain \(plan) in each organisation, then bauta run start \(plan)")
    }
  }
}

extension RunPlan {
  /// Fewest organisations with which this plan could run.
  var smallestFederation: Int {
    max(strategy.minimumAvailableClients, strategy.minimumFitClients, strategy.minimumEvaluateClients)
  }
}
