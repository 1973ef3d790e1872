import ArgumentParser
import Cryptography
import Federation

struct OrganizationCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "organization", abstract: "Make, show and replace your organisation's keys.",
    subcommands: [
      OrganizationInitCommand.self, OrganizationShowCommand.self, OrganizationRotateCommand.self,
      OrganizationReplaceIdentityCommand.self, OrganizationAcknowledgeCommand.self,
    ])
}

struct OrganizationInitCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "init", abstract: "Make keys, a policy and the request to join a federation.",
    discussion: """
      Keys are made here and never leave the directory. The request file holds public keys only: send it to the \
      operator, and read the fingerprint to each other over the telephone.

        bauta organization init alder.example --directory alder

      The certificate's key may be in a token instead, whose PIN comes from a descriptor:

        bauta organization init alder.example --directory alder \\
          --tls-key 'pkcs11:token=alder;object=tls' --passphrase-fd 3 3<pin

      With --passphrase-fd alone the key's file is encrypted; the client is then given the passphrase, too.

      Next: edit alder/policy.yaml; when the invitation comes back, bauta federation approve.
      """)

  @Argument(help: "Name of the organisation, like a host name.", transform: { try OrganizationName($0) })
  var name: OrganizationName

  @Option(
    help: ArgumentHelp("A new directory (default: the name's first part).", valueName: "dir"), completion: .directory)
  var directory: String?

  @Option(help: ArgumentHelp("URI of the certificate's key, instead of a new key in a file.", valueName: "uri"))
  var tlsKey: String?

  @OptionGroup var secret: PassphraseOption

  @OptionGroup var format: JSONOption

  func run() async throws {
    let path = directory ?? String(name.value.prefix { $0 != "." })
    let result = try OrganizationInitializer.initialize(
      name, at: path, keyURI: tlsKey, passphrase: try secret.read())
    let output = Output.standard
    if format.json {
      output.json(
        .object([
          "schema": .string("bauta/organization-init/1"), "name": .string(name.value), "directory": .string(path),
          "fingerprint": .string(result.fingerprint.hexadecimal), "request": .string(result.requestPath),
        ]))
      return
    }
    output.line("\(name, .strong): keys, policy and log are in \(path)")
    output.line()
    output.line("  fingerprint  \(result.fingerprint)")
    output.line()
    output.line("Next:")
    output.line("  1. Send \(result.requestPath) to the operator, and compare the fingerprint by voice.")
    output.line("  2. Read \(result.directory.policyPath): it says what may leave. Nothing overrides it.")
    output.line("  3. With the invitation: bauta federation approve INVITATION --directory \(path)")
  }
}

struct OrganizationShowCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "show", abstract: "Show names, public keys, certificate, manifest and log of an organisation.",
    discussion: """
        bauta organization show --directory alder
      """)

  @OptionGroup var place: DirectoryOption
  @OptionGroup var format: JSONOption

  func run() async throws {
    let summary = try OrganizationSummary(OrganizationDirectory(opening: place.directory))
    if format.json { Output.standard.json(summary.json) } else { summary.show(Output.standard) }
  }
}
