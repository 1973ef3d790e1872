import ArgumentParser

struct PrivacyCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "privacy", abstract: "What differential privacy costs and promises, and whether it holds.",
    subcommands: [PrivacyAuditCommand.self])
}
