import ArgumentParser
import Federation

struct OrganizationRotateCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "rotate", abstract: "Replace the key of your certificate, without anybody's approval.",
    discussion: """
      Makes the next key beside the one in use, states both under your identity key, and writes NAME.rotation.json for \
      the operator, who returns an invitation with the next key's certificate:

        bauta organization rotate --directory alder
      (the operator)
        bauta federation admit alder.example.rotation.json --directory hub
      (with the invitation)
        bauta federation approve alder.example.invitation.json --directory alder

      The last step changes to the new key. A running client tells the server; without one, hand over the rotation file \
      that is written then. Runs go on meanwhile: the server accepts both keys.

      If others may have read the key in use, this is what to do, and to do at once. If they may have read identity.key: \
      bauta organization replace-identity. Status 0 done or pending, 1 failed, 2 wrong usage.
      """)

  @OptionGroup var place: DirectoryOption

  @Option(help: ArgumentHelp("Why, for the log: one line.", valueName: "text"))
  var reason: String?

  @Option(help: ArgumentHelp("URI of the next key, instead of a new one in a file.", valueName: "uri"))
  var tlsKey: String?

  @Flag(help: "Withdraw the next key.")
  var cancel = false

  @OptionGroup var secret: PassphraseOption
  @OptionGroup var format: JSONOption

  func validate() throws {
    if cancel, tlsKey != nil { throw ValidationError("--cancel withdraws a key; it takes no --tls-key.") }
  }

  func run() async throws {
    let directory = try OrganizationDirectory(opening: place.directory)
    let reason = try reason.map { try Reason.require($0) }
    let passphrase = try secret.read()
    if cancel {
      show(try Rotation.cancel(in: directory, reason: reason, passphrase: passphrase), in: directory)
    } else {
      show(try Rotation.begin(in: directory, reason: reason, keyURI: tlsKey, passphrase: passphrase), in: directory)
    }
  }

  private func show(_ begun: Rotation.Begun, in directory: OrganizationDirectory) {
    let output = Output.standard
    if format.json {
      output.json(
        Self.json(
          directory, state: begun.wasPending ? "pending" : "begun", begun.statement, file: begun.path, begun.service))
      return
    }
    output.line(
      begun.wasPending
        ? "\(directory.name, .strong): a rotation is pending since statement \(begun.statement.sequence); nothing was changed"
        : "\(directory.name, .strong): the next key is made; statement \(begun.statement.sequence) names both")
    output.line("  next key  \(begun.nextKey.hexadecimal)")
    if let line = begun.service.line(directory.path) { output.line(line) }
    output.line("Next:")
    output.line("  1. Send \(begun.path) to the operator.")
    output.line("  2. With the invitation: bauta federation approve INVITATION --directory \(directory.path)")
    output.line("To withdraw it: bauta organization rotate --cancel --directory \(directory.path)")
  }

  private func show(_ ended: Rotation.Ended?, in directory: OrganizationDirectory) {
    let output = Output.standard
    if format.json {
      output.json(
        Self.json(
          directory, state: ended == nil ? "nothing-pending" : "cancelled", ended?.statement, file: ended?.path,
          ended?.service ?? .none))
      return
    }
    guard let ended else {
      output.line("\(directory.name, .strong): no rotation is pending")
      return
    }
    output.line("\(directory.name, .strong): the next key is withdrawn; statement \(ended.statement.sequence) says so")
    if let line = ended.service.line(directory.path) { output.line(line) }
    output.line("A running client tells the server. Without one, send \(ended.path) to the operator.")
  }

  private static func json(
    _ directory: OrganizationDirectory, state: String, _ statement: SignedPins?, file: String?,
    _ service: RunningService.Outcome
  ) -> JSONValue {
    .object([
      "schema": .string("bauta/organization-rotate/1"), "organization": .string(directory.name.value),
      "state": .string(state), "statement": statement.map { .count($0.sequence) } ?? .null,
      "current": .optional(statement?.pins.current.hexadecimal), "next": .optional(statement?.pins.next?.hexadecimal),
      "file": .optional(file), "service": .string(service.word),
    ])
  }
}
