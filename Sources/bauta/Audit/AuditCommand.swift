import ArgumentParser

struct AuditCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "audit", abstract: "Read, verify and compare the logs of what left and what arrived.",
    discussion: """
      A log is named by the directory of the organisation or server that keeps it, or by its own. Everything works \
      offline, from the files alone.

        bauta audit list alder --event messageSent
        bauta audit verify alder birch cedar hub
        bauta audit reconcile alder birch cedar --ingress hub
      """,
    subcommands: [AuditListCommand.self, AuditVerifyCommand.self, AuditReconcileCommand.self, AuditOpenCommand.self])
}
