import ArgumentParser
import Federation

struct OrganizationReplaceIdentityCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "replace-identity", abstract: "Make a new identity key: the old one is lost or in other hands.",
    discussion: """
      The identity key is what the others know you by: they all have to approve a new one. Until then you are in no run. \
      The log goes on and holds your reason; certificate, log and witness key stay.

        bauta organization replace-identity --directory alder \\
          --reason "identity.key deleted by mistake"
      (the operator)
        bauta federation admit alder.example.request.json --replace \\
          --reason "…" --directory hub
      (everybody)
        bauta federation approve INVITATION --directory …

      The operator's step ends what the old key can do, at once. Tell the operator by voice, and compare the fingerprint. A \
      stolen key is revoked first (bauta federation revoke); the new one is admitted without --replace then.

      If others may have read the whole directory, start anew instead: bauta organization init in a new directory, then \
      the same steps. Status 0 done, 1 failed, 2 wrong usage.
      """)

  @OptionGroup var place: DirectoryOption

  @Option(help: ArgumentHelp("What happened, for the log: one line.", valueName: "text"))
  var reason: String

  @Flag(help: "Do not ask: the old identity key is of no use any more.")
  var yes = false

  @OptionGroup var secret: PassphraseOption
  @OptionGroup var format: JSONOption

  func run() async throws {
    let directory = try OrganizationDirectory(opening: place.directory)
    let reason = try Reason.require(reason)
    try Confirmation.require(
      "Do you replace the identity key of \(directory.name)? The old one is removed, and everybody has to approve.",
      what: "replacing an identity key", given: yes)
    let result = try OrganizationInitializer.replaceIdentity(
      in: directory, reason: reason, passphrase: try secret.read())
    let output = Output.standard
    if format.json {
      output.json(
        .object([
          "schema": .string("bauta/organization-replace-identity/1"), "name": .string(directory.name.value),
          "fingerprint": .string(result.fingerprint.hexadecimal), "request": .string(result.requestPath),
        ]))
      return
    }
    output.line("\(directory.name, .strong): a \("NEW IDENTITY KEY", .caution) is in \(directory.path)")
    output.line()
    output.line("  fingerprint  \(result.fingerprint)")
    output.line()
    output.line("Next:")
    output.line("  1. Call the operator: the old key must not count any more. Read the fingerprint to each other.")
    output.line("  2. Send \(result.requestPath) to the operator.")
    output.line("  3. With the invitation: bauta federation approve INVITATION --directory \(directory.path)")
  }
}
