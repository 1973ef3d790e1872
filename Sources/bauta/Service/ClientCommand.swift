import ArgumentParser

/// `bauta client --data FILE` is `bauta client run --data FILE`.
struct ClientCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "client", abstract: "Take part in runs with this organisation's data, and see that all is well.",
    discussion: """
      Takes part in the server's next run:
        bauta client --data claims.csv --directory alder
      Runs as a service:
        bauta client --stay --data claims.csv --directory alder
      Looks for what is wrong before a run does:
        bauta client doctor --data claims.csv --directory alder

      'bauta client run --help' says more.
      """,
    subcommands: [
      ClientRunCommand.self, ClientDoctorCommand.self, ClientStatusCommand.self, ClientReloadCommand.self,
      ClientUnitCommand.self,
    ],
    defaultSubcommand: ClientRunCommand.self)
}
