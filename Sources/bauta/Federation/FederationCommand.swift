import ArgumentParser
import Cryptography
import Federation

struct FederationCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "federation", abstract: "Found a federation, admit organisations, approve who is in it.",
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
      """,
    subcommands: [
      FederationInitCommand.self, FederationAdmitCommand.self, FederationApproveCommand.self,
      FederationShowCommand.self,
    ])
}

struct FederationInitCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "init", abstract: "Make the directory of a new federation's server.",
    discussion: """
      Makes the server's keys, the federation's certificate authority (in ca/) and version 1 of the manifest.

        bauta federation init fraud.example --server-name hub.example \\
          --address 127.0.0.1:7443 --directory hub

      Next: bauta federation admit REQUEST… with the requests of the organisations.
      """)

  @Argument(help: "Name of the federation, like a host name.", transform: { try OrganizationName($0) })
  var name: OrganizationName

  @Option(
    help: ArgumentHelp("Name of the server, like a host name.", valueName: "name"),
    transform: { try OrganizationName($0) })
  var serverName: OrganizationName

  @Option(
    help: ArgumentHelp("HOST:PORT where clients connect; may be repeated, in the order to try.", valueName: "address"),
    transform: { try NetworkAddress($0) })
  var address: [NetworkAddress]

  @Option(
    help: ArgumentHelp("A new directory (default: the server name's first part).", valueName: "dir"),
    completion: .directory)
  var directory: String?

  @Option(help: ArgumentHelp("Organisations that may collude with the server without harm.", valueName: "n"))
  var assumedCorrupt = 1

  @Option(help: ArgumentHelp("Fewest organisations in any sum.", valueName: "n"))
  var minimumCohort = 3

  @OptionGroup var format: JSONOption

  func validate() throws {
    if address.isEmpty { throw ValidationError("Give at least one --address HOST:PORT.") }
  }

  func run() async throws {
    var settings = FederationInitializer.Settings(federation: name, serverName: serverName, addresses: address)
    settings.assumedCorrupt = assumedCorrupt
    settings.minimumCohort = minimumCohort
    let path = directory ?? String(serverName.value.prefix { $0 != "." })
    let result = try FederationInitializer.initialize(settings, at: path)
    let output = Output.standard
    if format.json {
      output.json(
        .object([
          "schema": .string("bauta/federation-init/1"), "federation": .string(name.value), "directory": .string(path),
          "fingerprint": .string(result.fingerprint.hexadecimal),
          "manifest": .string(result.manifest.hash.hexadecimal), "version": .integer(1),
        ]))
      return
    }
    output.line("\(name, .strong): server \(serverName) in \(path)")
    output.line()
    output.line("  fingerprint  \(result.fingerprint)")
    output.line()
    output.line("Keep \(path)/ca apart if you can: it is only needed to admit.")
    output.line("Next: bauta federation admit REQUEST… --directory \(path)")
  }
}

struct FederationAdmitCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "admit", abstract: "Admit organisations: certificates, the next manifest, invitations.",
    discussion: """
      Compare each fingerprint with the organisation, over a channel you trust, before you send the invitations. \
      Several requests make one version of the manifest. Without a request, the present invitations are written again.

        bauta federation admit alder.request.json birch.request.json --directory hub

      Next: send invitations/NAME.invitation.json to every organisation; each has to approve.
      """)

  @Argument(help: "Join requests.", completion: .file(extensions: ["json"]))
  var requests: [String] = []

  @OptionGroup var place: DirectoryOption

  @Option(help: ArgumentHelp("Days that certificates are valid.", valueName: "n"))
  var days = 365

  @OptionGroup var format: JSONOption

  func run() async throws {
    let server = try ServerDirectory(opening: place.directory)
    let candidates = try requests.map { try Admission.Candidate(contentsOf: $0) }
    let result = try Admission.admit(candidates, in: server, days: days)
    if format.json {
      Output.standard.json(Self.json(result))
    } else {
      Self.show(result, in: place.directory)
    }
  }

  private static func json(_ result: Admission.Result) -> JSONValue {
    .object([
      "schema": .string("bauta/federation-admit/1"), "version": .count(result.manifest.manifest.version),
      "manifest": .string(result.manifest.hash.hexadecimal),
      "admitted": .array(
        result.admitted.map {
          .object(["name": .string($0.name.value), "fingerprint": .string($0.fingerprint.hexadecimal)])
        }),
      "invitations": .array(
        result.invitations.map { .object(["name": .string($0.name.value), "path": .string($0.path)]) }),
    ])
  }

  private static func show(_ result: Admission.Result, in directory: String) {
    let output = Output.standard
    if !result.admitted.isEmpty {
      output.line("Admitted; compare each fingerprint by voice before you send anything:")
      for candidate in result.admitted { output.line("  \(candidate.name, .strong)  \(candidate.fingerprint)") }
      output.line()
    }
    let manifest = result.manifest.manifest
    output.line(
      "\(manifest.federation, .strong), version \(manifest.version): \(Figures.counted(manifest.organizations.count, "organisation"))"
    )
    for (_, path) in result.invitations { output.line("  \(path)") }
    output.line("Next: send each organisation its invitation; collect the notes they hand back with")
    output.line("  bauta federation approve NOTE… --directory \(directory)")
  }
}

struct FederationShowCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "show", abstract: "Show the members, who has approved, and until when certificates last.",
    discussion: """
        bauta federation show --directory hub
      """)

  @OptionGroup var place: DirectoryOption
  @OptionGroup var format: JSONOption

  func run() async throws {
    let summary = try FederationSummary(Participant(opening: place.directory))
    if format.json { Output.standard.json(summary.json) } else { summary.show(Output.standard) }
  }
}
