import ArgumentParser
import Cryptography
import Federation
import MutualTLS

struct FederationRotateServerCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "rotate-server", abstract: "Replace the key of the server's certificate, without anybody's approval.",
    discussion: """
      First makes the next key and states both keys; the running server tells every client that connects.

        bauta federation rotate-server --directory hub

      When 'bauta federation status' shows that all organisations have the statement, change to the next key:

        bauta federation rotate-server --finish --directory hub

      One that was away is handed DIR/pins/SERVER.note, and installs it with 'bauta federation approve'. With an authority \
      of your own, have the certificate issued for DIR/tls-next.csr and give it with --certificate, at either step. Status 0 done \
      or pending, 1 failed, 2 wrong usage.
      """)

  @OptionGroup var place: DirectoryOption

  @Flag(help: "Change to the next key.")
  var finish = false

  @Flag(help: "With --finish: although organisations have not taken it; they are shut out until they have.")
  var force = false

  @Flag(help: "Withdraw the next key.")
  var cancel = false

  @Option(help: ArgumentHelp("Why, for the log: one line.", valueName: "text"))
  var reason: String?

  @Option(help: ArgumentHelp("URI of the next key, instead of a new one in a file.", valueName: "uri"))
  var tlsKey: String?

  @Option(
    help: ArgumentHelp("Certificate for tls-next.csr from your own authority, PEM.", valueName: "file"),
    completion: .file())
  var certificate: String?

  @OptionGroup var lifetime: LifetimeOption
  @OptionGroup var secret: PassphraseOption
  @OptionGroup var format: JSONOption

  func validate() throws {
    guard !finish || !cancel else { throw ValidationError("Give --finish or --cancel.") }
    guard finish || !force else { throw ValidationError("--force goes with --finish.") }
    guard tlsKey == nil || !(finish || cancel) else { throw ValidationError("--tls-key begins a rotation.") }
    guard certificate == nil || !cancel else { throw ValidationError("--cancel takes no certificate.") }
  }

  func run() async throws {
    let server = try ServerDirectory(opening: place.directory)
    let reason = try reason.map { try Reason.require($0) }
    let chain = try certificate.map { try AuthorityFiles.read($0).certificates }
    let passphrase = try secret.read()
    if cancel {
      end(try ServerRotation.cancel(in: server, reason: reason, passphrase: passphrase), "cancelled", in: server)
    } else if finish {
      end(
        try ServerRotation.finish(in: server, force: force, certificate: chain, passphrase: passphrase), "finished",
        in: server)
    } else {
      let begun = try ServerRotation.begin(
        in: server, reason: reason, keyURI: tlsKey, certificate: chain, lifetime: lifetime.value,
        passphrase: passphrase)
      try show(begun, in: server)
    }
  }

  private func show(_ begun: ServerRotation.Begun, in server: ServerDirectory) throws {
    let output = Output.standard
    if format.json {
      output.json(
        Self.json(server, state: begun.wasPending ? "pending" : "begun", begun.statement, begun.service))
      return
    }
    output.line(
      begun.wasPending
        ? "\(server.name, .strong): a rotation is pending since statement \(begun.statement.sequence)"
        : "\(server.name, .strong): the next key is made; statement \(begun.statement.sequence) names both")
    output.line("  next key  \(begun.statement.pins.next?.hexadecimal ?? "–")")
    if let certificate = begun.certificate {
      output.line("  its certificate is \(Moment.expiry(certificate.notAfter))")
    } else {
      output.line("  its certificate is still to be issued, for \(server.nextCertificateRequestPath)")
    }
    if let line = begun.service.line(server.path) { output.line(line) }
    output.line("Next:")
    output.line(
      "  1. Wait until every organisation has the statement: bauta federation status --directory \(server.path)")
    output.line("     One that is away can be handed \(server.pinsPath(of: server.name))")
    let given = begun.certificate == nil ? " --certificate FILE" : ""
    output.line("  2. bauta federation rotate-server --finish\(given) --directory \(server.path)")
  }

  private func end(_ finished: ServerRotation.Finished?, _ state: String, in server: ServerDirectory) {
    let output = Output.standard
    if format.json {
      output.json(
        Self.json(
          server, state: finished == nil ? "nothing-pending" : state, finished?.statement, finished?.service ?? .none))
      return
    }
    guard let finished else {
      output.line("\(server.name, .strong): no rotation is pending")
      return
    }
    output.line(
      cancel
        ? "\(server.name, .strong): the next key is withdrawn; statement \(finished.statement.sequence) says so"
        : "\(server.name, .strong): the new key is in use; statement \(finished.statement.sequence) names it alone")
    if let line = finished.service.line(server.path) { output.line(line) }
  }

  private static func json(
    _ server: ServerDirectory, state: String, _ statement: SignedPins?, _ service: RunningService.Outcome
  ) -> JSONValue {
    .object([
      "schema": .string("bauta/federation-rotate-server/1"), "server": .string(server.name.value),
      "state": .string(state), "statement": statement.map { .count($0.sequence) } ?? .null,
      "current": .optional(statement?.pins.current.hexadecimal), "next": .optional(statement?.pins.next?.hexadecimal),
      "service": .string(service.word),
    ])
  }
}
