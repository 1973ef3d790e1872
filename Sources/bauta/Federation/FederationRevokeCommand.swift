import ArgumentParser
import Cryptography
import Federation

struct FederationRevokeCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "revoke", abstract: "Let an organisation in no more, at once.",
    discussion: """
      Its connections are closed and it is refused from now on; a run that goes on treats it as lost. The next version of \
      the manifest is made without it: all others have to approve that one; until they have, runs go on under the version before, without it.

        bauta federation revoke birch.example --reason "left the programme" \\
          --directory hub

      If too few would be left for what the manifest assumes, it is revoked all the same, and no version is made until you \
      give other assumptions with the same command, or admit somebody else.

      It is the identity key that is revoked: the organisation can be admitted again with a new one. Status 0 done, 1 \
      failed, 2 wrong usage.
      """)

  @Argument(help: "The organisation.", transform: { try OrganizationName($0) })
  var name: OrganizationName

  @Option(help: ArgumentHelp("Why, for the log and for the others: one line.", valueName: "text"))
  var reason: String

  @OptionGroup var place: DirectoryOption
  @OptionGroup var assumptions: AssumptionOptions

  @Flag(help: "Do not ask.")
  var yes = false

  @OptionGroup var format: JSONOption

  func run() async throws {
    let server = try ServerDirectory(opening: place.directory)
    let reason = try Reason.require(reason)
    try Confirmation.require(
      "Do you revoke \(name)? It needs a new identity key to come back.", what: "revoking an organisation", given: yes)
    let result = try MemberRevocation.revoke(name, reason: reason, assumptions: assumptions.value, in: server)
    if format.json { Output.standard.json(Self.json(result)) } else { Self.show(result, in: server) }
  }

  private static func json(_ result: MemberRevocation.Result) -> JSONValue {
    .object([
      "schema": .string("bauta/federation-revoke/1"), "name": .string(result.name.value),
      "wasRevoked": .boolean(result.wasRevoked),
      "version": result.manifest.map { .count($0.manifest.version) } ?? .null,
      "manifest": .optional(result.manifest?.hash.hexadecimal),
      "missing": .strings(result.missing.map(\.value)),
      "obstacle": .optional(result.obstacle?.reason), "service": .string(result.service.word),
    ])
  }

  private static func show(_ result: MemberRevocation.Result, in server: ServerDirectory) {
    let output = Output.standard
    output.line(
      result.wasRevoked
        ? "\(result.name, .strong) was revoked already."
        : "\(result.name, .strong) is \("revoked", .bad): the server lets it in no more.")
    if let line = result.service.line(server.path) { output.line(line) }
    if !result.wasRevoked { output.line("A run that goes on treats it as lost.") }
    let missing = result.missing.map(\.value).joined(separator: ", ")
    if result.wasRevoked, result.manifest == nil, result.obstacle == nil, !missing.isEmpty {
      output.line("The version without it waits for: \(missing)")
    }
    if let manifest = result.manifest {
      output.line("Version \(manifest.manifest.version) is made without it. These have to approve: \(missing)")
      for invitation in result.invitations { output.line("  \(invitation.path)") }
      output.line("A running client is shown it; others are sent the invitation. Collect notes with")
      output.line("  bauta federation approve NOTE… --directory \(server.path)")
    }
    guard let obstacle = result.obstacle else { return }
    output.line("\("No new version:", .caution) \(obstacle.reason).")
    if let possible = obstacle.possible {
      output.line("Next, if those who are left agree to it:")
      output.line(
        "  bauta federation revoke \(result.name) --reason TEXT --assumed-corrupt \(possible.assumedCorrupt ?? 0) --minimum-cohort \(possible.minimumCohort ?? 0) --directory \(server.path)"
      )
      output.line("or admit another organisation, which makes the version without \(result.name).")
    } else {
      output.line("Next: admit another organisation, which makes the version without \(result.name).")
    }
  }
}
