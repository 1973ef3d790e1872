import ArgumentParser

struct FederationCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "federation", abstract: "Found a federation, admit and revoke organisations, approve who is in it.",
    discussion: """
      Who is in a federation is one text, the manifest, that every member signs.

      The organisation makes keys and a request:
        bauta organization init alder.example --directory alder
      The operator admits it, which makes the next version and an invitation:
        bauta federation admit alder.example.request.json --directory hub
      The organisation reads and signs it, which makes a note:
        bauta federation approve alder.example.invitation.json --directory alder
      The operator collects the signature:
        bauta federation approve alder.example.approval.note --directory hub

      Certificates are renewed, and their keys rotated, by their owner and the operator alone; 'status' says what is \
      due. 'revoke' counts at once.
      """,
    subcommands: [
      FederationInitCommand.self, FederationAdmitCommand.self, FederationApproveCommand.self,
      FederationStatusCommand.self, FederationRenewCommand.self, FederationRotateServerCommand.self,
      FederationRevokeCommand.self,
    ])
}
