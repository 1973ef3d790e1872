import ArgumentParser

struct PrivacyCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "privacy", abstract: "What differential privacy costs and promises, and whether it holds.",
    discussion: """
      A plan whose privacy is 'none' hides terms, not sums. With noise, a run costs a part of a budget, epsilon at delta; \
      each organisation keeps its own account and its own ceiling.

        bauta privacy plan plan.yaml --organizations 5
        bauta privacy spent --directory alder
        bauta privacy curve plan.yaml --organizations 5 --accuracy
        bauta privacy audit plan.yaml
      """,
    subcommands: [
      PrivacyPlanCommand.self, PrivacySpentCommand.self, PrivacyCurveCommand.self, PrivacyAuditCommand.self,
    ])
}

/// For whom a plan is computed: the members of a federation, or so many that nobody knows yet.
struct PlannedCohortOptions: ParsableArguments {
  @Option(
    help: ArgumentHelp("Compute it for the members of this federation.", valueName: "note"),
    completion: .file(extensions: ["note"]))
  var manifest: String?

  @Option(help: ArgumentHelp("Compute it for so many organisations instead, 3 to 256.", valueName: "n"))
  var organizations: Int?

  @Option(help: ArgumentHelp("Columns of the data, where the plan does not name them.", valueName: "n"))
  var features: Int?

  func validate() throws {
    if organizations != nil, manifest != nil {
      throw ValidationError("Give --manifest or --organizations: the manifest names its members.")
    }
    if let organizations, !(3...256).contains(organizations) {
      throw ValidationError("--organizations must be from 3 to 256.")
    }
    if let features, !(1...4096).contains(features) { throw ValidationError("--features must be from 1 to 4096.") }
  }
}
