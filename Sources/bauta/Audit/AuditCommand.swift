import ArgumentParser

struct AuditCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "audit", abstract: "Read, verify and compare the logs of what left and what arrived.",
    discussion: """
      A log is named by the directory of the organisation or server that keeps it, or by its own. Everything works \
      offline, from the files alone.

        bauta audit list alder --event messageSent
        bauta audit show alder 12
        bauta audit verify alder birch cedar hub
        bauta audit reconcile alder birch cedar --ingress hub
        bauta audit report alder birch cedar --ingress hub --output report.html
        bauta audit prove alder 17 --output record-17.tlog-proof

      cosign and prune are for the keeper of a log. serve and witness are services: they let others read a log, and vouch that it has one history.
      """,
    subcommands: [
      AuditListCommand.self, AuditShowCommand.self, AuditWatchCommand.self, AuditExportCommand.self,
      AuditVerifyCommand.self, AuditReconcileCommand.self, AuditReportCommand.self, AuditProveCommand.self,
      AuditCheckProofCommand.self, AuditServeCommand.self, AuditWitnessCommand.self, AuditCosignCommand.self,
      AuditPruneCommand.self, AuditOpenCommand.self,
    ])
}
