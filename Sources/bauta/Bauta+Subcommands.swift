import ArgumentParser

extension Bauta {
  /// In the order in which a newcomer meets them.
  static var subcommands: [any ParsableCommand.Type] {
    [
      DemoCommand.self, SimulateCommand.self, OrganizationCommand.self, FederationCommand.self, PlanCommand.self,
      PolicyCommand.self, PrivacyCommand.self,
      DataCommand.self,
      ServerCommand.self, ClientCommand.self,
      RunCommand.self, ModelCommand.self, AuditCommand.self,
    ]
  }
}
