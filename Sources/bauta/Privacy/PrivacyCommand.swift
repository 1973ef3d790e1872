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
