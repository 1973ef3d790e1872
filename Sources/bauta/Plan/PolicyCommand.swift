import ArgumentParser
import Federation
import FederationClient
import Foundation

struct PolicyCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "policy", abstract: "What your organisation allows, and what it means for a plan.",
    subcommands: [PolicyTemplateCommand.self, PolicyExplainCommand.self])
}

struct PolicyTemplateCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "template", abstract: "Print the policy of a new organisation, with every key and its meaning.",
    discussion: """
        bauta policy template > policy.yaml
      """)

  func run() async throws {
    Output.standard.write(Array(Policy.template.utf8))
  }
}

struct PolicyExplainCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "explain", abstract: "Hold your policy against a plan, rule by rule.",
    discussion: """
      Says for each rule what the policy asks, what the plan brings, and whether it is allowed. Status 1 if a rule \
      refuses. Nothing is sent and nothing is changed. What a plan with noise would cost is held against the ceiling \
      together with what the directory's ledger holds already.

        bauta policy explain plan.yaml --directory alder
        bauta policy explain plan.yaml --directory alder --data claims.csv
        bauta policy explain plan.yaml --policy policy.yaml
      """)

  @Argument(help: "Plan (YAML).", completion: .file(extensions: ["yaml"]))
  var plan: String

  @OptionGroup var place: DirectoryOption

  @Option(
    help: ArgumentHelp("A policy elsewhere than in the directory.", valueName: "file"),
    completion: .file(extensions: ["yaml"]))
  var policy: String?

  @Option(
    help: ArgumentHelp("A manifest elsewhere than in the directory.", valueName: "note"),
    completion: .file(extensions: ["note"]))
  var manifest: String?

  @Option(help: PlannedDataOption.help, completion: .file())
  var data: String?

  @OptionGroup var format: JSONOption

  func run() async throws {
    let parsed = try RunPlan(contentsOf: plan)
    if policy == nil { try Participant.requireNoServer(place.directory) }
    let policyPath = policy ?? "\(place.directory)/policy.yaml"
    let rules = try Policy(contentsOf: policyPath)
    let own = "\(place.directory)/federation.note"
    // A new organisation has a policy before it has a federation.
    let note = manifest ?? (LocalFile.exists(own) ? own : nil)
    let members = try note.map { try ManifestFile.read($0, requiringApprovals: false).manifest }
    let explanation = PolicyExplanation(
      policy: rules, plan: parsed, manifest: members, ledger: try ledger(parsed, rules), at: Date())
    if format.json {
      Output.standard.json(
        .object([
          "schema": .string("bauta/policy-explain/1"), "plan": .string(plan), "policy": .string(policyPath),
          "allowed": .boolean(explanation.isAllowed), "rules": explanation.rulesJSON,
          "log": explanation.logJSON,
        ]))
    } else {
      explanation.show(Output.standard, policy: policyPath)
      if members == nil {
        let cost = parsed.privacy.settings == nil ? "" : ", and what the run costs,"
        Output.standard.line("Rules about the federation's assumptions\(cost) need --manifest.")
      } else if explanation.isCostUnknown {
        Output.standard.line(
          "What the run costs is not held against the ceiling: the plan takes all columns of the data, and does not say "
            + "how many there are. See bauta privacy plan \(plan) --features N --directory \(place.directory).")
      }
    }
    if !explanation.isAllowed {
      try Output.standard.finish()
      throw ExitCode.failure
    }
  }

  /// The directory's ledger, and whose account in it counts; nil where nothing is charged, or nobody has a ledger yet.
  private func ledger(_ plan: RunPlan, _ policy: Policy) throws -> (entries: PrivacyLedger, dataSet: String)? {
    guard plan.privacy.settings != nil, policy.ceiling != nil,
      LocalFile.exists("\(place.directory)/state.sqlite")
    else { return nil }
    let ledger = try StoredLedger.read(OrganizationDirectory(opening: place.directory))
    return (ledger, try PlannedDataOption.dataSet(data, in: ledger))
  }
}
