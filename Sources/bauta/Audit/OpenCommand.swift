import ArgumentParser
import Cryptography
import Federation
import FederationClient
import Foundation

struct AuditOpenCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "open", abstract: "Prove to an auditor that what left was one organisation's masked term.",
    discussion: """
      An organisation whose policy.yaml keeps secrets for an auditor can open one of its masked inputs: the auditor \
      recomputes every mask and every byte, and holds them against the logs. Whoever is opened counts as corrupt, so a \
      sum has few openings, and a quorum of its members agrees to each before anything is unsealed.

      (the auditor)
        bauta audit open key auditor.key
      (every organisation, before the round: policy.yaml)
        audit:
          keepSecretsFor: 30d
          auditor: bauta-auditor+…
      (the organisation to be opened)
        bauta audit open request alder --run RUN --round 1
      (other members of the sum)
        bauta audit open consent birch alder.opening-request
      (the auditor, in a session at the organisation)
        bauta audit open prove alder --request alder.opening-request \\
          --consent birch.opening-consent --auditor-key auditor.key --ingress hub

      It does not prove that the term was computed from data, nor that its rounding carried no bits.
      """,
    subcommands: [
      OpenKeyCommand.self, OpenRequestCommand.self, OpenConsentCommand.self, OpenProveCommand.self,
    ])
}

struct OpenKeyCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "key", abstract: "Make an auditor's key pair.",
    discussion: """
      The secret key goes to FILE, which only you can read. The public key is printed: organisations put it into their \
      policy.yaml. Without the secret key nothing that is sealed can be opened; there is no other copy.

        bauta audit open key auditor.key
      """)

  @Argument(help: "File for the secret key; must not exist.", completion: .file())
  var file: String

  @OptionGroup var format: JSONOption

  func run() async throws {
    // Said in the words of a file: the error below them speaks of an organisation's own.
    if LocalFile.exists(file) { throw CommandError.exists(path: file) }
    try LocalFile.requireDirectory(LocalFile.parent(of: file))
    let key = AuditorKeyPair.generate()
    try AuditorKeyFile.create(file, key: key)
    let text = key.publicKey.text
    guard !format.json else {
      Output.standard.json(
        .object([
          "schema": .string("bauta/audit-open-key/1"), "file": .string(file), "publicKey": .string(text),
          "sha256": .string(key.publicKey.digest.hexadecimal),
        ]))
      return
    }
    Output.standard.line("\(text, .strong)")
    Output.standard.line("The secret key is in \(file). For policy.yaml of every organisation, under audit:")
    Output.standard.line("  keepSecretsFor: 30d")
    Output.standard.line("  auditor: \(text)")
  }
}

struct OpenRequestCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "request", abstract: "Ask the members of a sum to agree that your masked input is opened.",
    discussion: """
      Recorded in your log and under a checkpoint, then signed with your identity key. No client may be running in the \
      directory. Send the file to the other members of the sum.

        bauta audit open request alder --round 1 \\
          --run 20260301-093000-00000000000000aa
      """)

  @Argument(help: "Directory of your organisation.", completion: .directory)
  var directory: String

  @Option(name: .customLong("run"), help: ArgumentHelp("The run.", valueName: "run"))
  var runIdentifier: String

  @Option(help: ArgumentHelp("The round; 0 for the statistics before the first.", valueName: "n"))
  var round: Int

  @Option(help: ArgumentHelp("What was summed: statistics, fit or evaluate.", valueName: "task"))
  var task: TaskKind = .fit

  @Option(help: ArgumentHelp("The slot, if others are known to have asked for the lower ones.", valueName: "n"))
  var slot: Int?

  @Option(
    help: ArgumentHelp("File for the request (default: NAME.opening-request in the directory).", valueName: "file"),
    completion: .file())
  var output: String?

  @OptionGroup var format: JSONOption

  func run() async throws {
    let run = try RunIdentifier(runIdentifier)
    let path = try output ?? OpeningFiles.path(directory, "opening-request")
    guard !LocalFile.exists(path) else { throw CommandError.exists(path: path) }
    let desk = try OpeningDesk(directory: directory)
    let request: OpeningRequest
    do {
      request = try desk.request(run: run, task: task, round: round, slot: slot)
    } catch {
      try? desk.close()
      throw error
    }
    try desk.close()
    try LocalFile.create(path, request.serialized)
    let terms = request.terms
    guard !format.json else {
      Output.standard.json(
        .object([
          "schema": .string("bauta/audit-open-request/1"), "file": .string(path), "terms": OpeningFiles.json(terms),
          "sha256": .string(request.hash.hexadecimal), "entry": .count(Int(clamping: request.entry)),
          "quorum": .count(terms.rule.quorum),
        ]))
      return
    }
    Output.standard.line("\(terms.organization, .strong): \(terms.opening), is to be opened")
    Output.standard.line("  slot \(terms.slot) of \(terms.rule.slots); entry \(request.entry) of the log")
    Output.standard.line("  request \(Fingerprint.grouped(request.hash.hexadecimal))")
    Output.standard.line("Next:")
    Output.standard.line("  1. Send \(path) to the other members of the sum: \(OpeningFiles.others(terms)).")
    Output.standard.line(
      "  2. \(Figures.counted(terms.rule.quorum - 1, "consent")) of them must come back: bauta audit open consent")
  }
}

struct OpenConsentCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "consent", abstract: "Agree that another member's masked input is opened.",
    discussion: """
      Checks that you have signed who is in the sum as the request says it, and that you have not agreed to another \
      organisation in the same slot; remembers it, records it, then signs. No client may be running in the directory.

        bauta audit open consent birch alder.opening-request
      """)

  @Argument(help: "Directory of your organisation.", completion: .directory)
  var directory: String

  @Argument(help: "The request.", completion: .file())
  var request: String

  @Option(
    help: ArgumentHelp("File for the consent (default: NAME.opening-consent in the directory).", valueName: "file"),
    completion: .file())
  var output: String?

  @Flag(help: "Agree without being asked.")
  var yes = false

  @OptionGroup var format: JSONOption

  func run() async throws {
    let request = try OpeningFiles.request(self.request)
    let path = try output ?? OpeningFiles.path(directory, "opening-consent")
    guard !LocalFile.exists(path) else { throw CommandError.exists(path: path) }
    let desk = try OpeningDesk(directory: directory)
    let consent: OpeningConsent
    do {
      try desk.review(request)
      if !format.json { Self.explain(request) }
      try Confirmation.require(
        "Agree that \(request.terms.organization) is opened?", what: "the consent", given: yes)
      consent = try desk.consent(to: request)
    } catch {
      try? desk.close()
      throw error
    }
    try desk.close()
    try LocalFile.create(path, consent.serialized)
    guard !format.json else {
      Output.standard.json(
        .object([
          "schema": .string("bauta/audit-open-consent/1"), "file": .string(path), "member": .string(desk.name.value),
          "terms": OpeningFiles.json(request.terms), "request": .string(request.hash.hexadecimal),
        ]))
      return
    }
    Output.standard.line("\(desk.name, .strong) agrees: send \(path) to \(request.terms.organization)")
  }

  /// What it means, in plain words.
  private static func explain(_ request: OpeningRequest) {
    let terms = request.terms
    let rule = terms.rule
    let output = Output.standard
    output.line("\(terms.organization, .strong) asks to be opened: \(terms.opening)")
    output.line("  to the auditor's key  \(Fingerprint.grouped(terms.auditor.hexadecimal))")
    output.line("  request               \(Fingerprint.grouped(request.hash.hexadecimal))")
    output.line("The auditor will know its term of this sum, and the masks between it and each other member. It counts")
    output.line(
      "as corrupt from then on: of \(rule.survivors) in the sum \(rule.assumedCorrupt) are assumed corrupt and \(rule.minimumHonest) must stay honest,"
    )
    output.line("so that \(rule.slots) may be opened; this is slot \(terms.slot). You can agree to one in each slot.")
  }
}

/// What the commands have in common.
enum OpeningFiles {
  /// `DIR/NAME.KIND`.
  static func path(_ directory: String, _ kind: String) throws -> String {
    "\(directory)/\(try OrganizationDirectory(opening: directory).name).\(kind)"
  }

  /// - Throws: `CommandError` naming the file.
  static func request(_ path: String) throws(CommandError) -> OpeningRequest {
    let bytes = try LocalFile.read(path, maximum: OpeningRequest.maximumBytes)
    do { return try OpeningRequest(parsing: bytes) } catch { throw .about(path, error) }
  }

  /// - Throws: `CommandError` naming the file.
  static func consent(_ path: String) throws(CommandError) -> OpeningConsent {
    let bytes = try LocalFile.read(path, maximum: OpeningConsent.maximumBytes)
    do { return try OpeningConsent(parsing: bytes) } catch { throw .about(path, error) }
  }

  static func others(_ terms: OpeningTerms) -> String {
    terms.survivors.filter { $0 != terms.organization }.map(\.value).joined(separator: ", ")
  }

  static func json(_ terms: OpeningTerms) -> JSONValue {
    .object([
      "federation": .string(terms.federation.value), "organization": .string(terms.organization.value),
      "run": .string(terms.opening.run.text), "task": .string(terms.opening.task.rawValue),
      "round": .count(terms.opening.round), "attempt": .count(terms.opening.attempt),
      "context": .string(terms.context.hexadecimal), "statement": .string(terms.statement.digest.hexadecimal),
      "survivors": .strings(terms.survivors.map(\.value)), "slot": .count(terms.slot),
      "slots": .count(terms.rule.slots), "auditor": .string(terms.auditor.hexadecimal),
      "sha256": .string(terms.digest.hexadecimal),
    ])
  }
}

extension TaskKind: ExpressibleByArgument {}
