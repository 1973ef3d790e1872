import ArgumentParser
import Cryptography
import Federation
import Foundation
import LogService
import TransparencyLog

struct AuditWitnessCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "witness", abstract: "Watch logs: cosign each checkpoint that continues the one before.",
    discussion: """
      A witness (C2SP tlog-witness) makes it impossible to show one history of a log to some and another to others, as \
      long as it is honest. It sees sizes and hashes, no records. With a directory that has no key yet, --name is its \
      name, and a key is made; give the verifier key that it prints to those whose logs it watches.

        bauta audit witness watch --name watch.example \\
          --log alder-log.vkey --log hub-log.vkey
        bauta audit witness watch --log alder-log.vkey --log hub-log.vkey \\
          --listen 10.0.0.7:7481

      Two histories are an ALARM on standard output, and evidence that anyone can check is kept in \
      DIRECTORY/witness/evidence. What it cosigned is in DIRECTORY/witness: a witness that has lost it, or was restored \
      from a copy, must get a new directory, key and name. Ends on SIGINT or SIGTERM, status 0.
      """)

  @Argument(help: "Directory of the witness, or of an organisation.", completion: .directory)
  var directory: String

  @Option(
    help: ArgumentHelp("Name of a new witness, like a host's.", valueName: "name"),
    transform: { try OrganizationName($0) })
  var name: OrganizationName?

  @Option(
    help: ArgumentHelp(
      "Verifier key of a log to watch, \(VerifierKeyArgument.explanation); may be repeated.", valueName: "key"),
    completion: .file(extensions: ["vkey"]))
  var log: [String] = []

  @Option(help: ArgumentHelp("Where to listen; port 0 for a free one.", valueName: "host:port"))
  var listen = ListenAddress(host: "127.0.0.1", port: 7481)

  @OptionGroup var format: JSONOption

  func validate() throws {
    if log.isEmpty { throw ValidationError("Give at least one log to watch: --log KEY.") }
  }

  func run() async throws {
    // Before a key is made: a wrong argument should leave nothing behind.
    let logs = try log.map { try VerifierKeyArgument.key($0, as: LogKeyRole.self) }
    let home = try open()
    let witness = try Witness(
      directory: home.statePath, name: home.name, key: home.witnessKey(), logs: Self.watched(logs),
      clock: Witness.systemClock)
    let asJSON = format.json
    let ending = EndingSignal()
    let site = LogSite(witness: witness) { event in WitnessLines.show(event, asJSON: asJSON) }
    let server = try await LogServer.start(site, host: listen.host, port: listen.port)
    if asJSON {
      Output.standard.json(
        .object([
          "event": .string("serving"), "witness": .string(home.verifierKey.text), "url": .string(server.url),
          "logs": .strings(witness.origins),
        ]))
    } else {
      Output.standard.line("Witness \(home.verifierKey.text, .strong)")
      Output.standard.line("watches \(witness.origins.joined(separator: ", ")) on \(server.url, .strong)")
    }
    Output.standard.flush()
    await ending.wait()
    await server.stop()
  }

  private func open() throws -> WitnessDirectory {
    if LocalFile.exists(directory) { try LocalFile.requireDirectory(directory) }
    if name == nil, !LocalFile.exists("\(directory)/witness.vkey") {
      throw CommandError.unsuitable(
        path: directory, problem: "there is no witness in it yet", remedy: "Give a new one its name with --name.")
    }
    return try WitnessDirectory.open(directory, name: name)
  }

  /// Several keys of one name are those of one log whose key is being replaced.
  private static func watched(_ keys: [NoteVerifierKey<LogKeyRole>]) -> [WitnessedLog] {
    var byName: [NoteKeyName: [NoteVerifierKey<LogKeyRole>]] = [:]
    for key in keys { byName[key.name, default: []].append(key) }
    return byName.map { WitnessedLog(origin: $0.key.value, keys: $0.value) }
  }
}

/// A line for everything that a witness does.
enum WitnessLines {
  static func show(_ event: LogServiceEvent, asJSON: Bool) {
    let output = Output.standard
    let time = Date().formatted(.iso8601)
    if asJSON {
      var members = members(of: event)
      members["time"] = .string(time)
      output.json(.object(members))
    } else {
      output.line("\(time) \(text(of: event))")
    }
    output.flush()
  }

  static func text(of event: LogServiceEvent) -> StyledText {
    switch event {
    case .failed(let error): return "\("FAILED", .bad) nothing was cosigned: \(error.message)"
    case .witness(.cosigned(let origin, let size, let previous)):
      let remark = size == previous ? "again" : "after \(previous)"
      return "\("cosigned", .good) \(origin), \(Figures.counted(size, "entry", "entries")), \(remark)"
    case .witness(.conflict(let origin, let held, let offered)):
      let remark = offered < held ? "; an old checkpoint, or the log was put back to an earlier state" : ""
      return
        "\("conflict", .caution) \(origin), \(Figures.counted(offered, "entry", "entries")): the request did not start at the \(held) that were cosigned\(remark)"
    case .witness(.refused(let refusal, let origin)):
      return "\("refused", .caution) \(origin ?? "unknown log"): \(refusal.explanation)"
    case .witness(.alarm(let evidence, let file)):
      let (held, offered) = (evidence.held.checkpoint, evidence.offered.checkpoint)
      let kept = file.map { "evidence in \($0)" } ?? "no further evidence is kept"
      let problem =
        switch evidence.suspicion {
        case .splitView: "has signed TWO HISTORIES of \(held.size) entries"
        case .notConsistent: "offers \(offered.size) entries that were not shown to continue the \(held.size) cosigned"
        }
      return "\("ALARM", .bad) \(held.origin) \(problem); \(kept)"
    }
  }

  static func members(of event: LogServiceEvent) -> [String: JSONValue] {
    switch event {
    case .failed(let error):
      return ["event": .string("failed"), "code": .string(error.code), "message": .string(error.message)]
    case .witness(.cosigned(let origin, let size, let previous)):
      return [
        "event": .string("cosigned"), "log": .string(origin), "size": .integer(Int64(clamping: size)),
        "previous": .integer(Int64(clamping: previous)),
      ]
    case .witness(.conflict(let origin, let held, let offered)):
      return [
        "event": .string("conflict"), "log": .string(origin), "held": .integer(Int64(clamping: held)),
        "offered": .integer(Int64(clamping: offered)),
      ]
    case .witness(.refused(let refusal, let origin)):
      return ["event": .string("refused"), "log": .optional(origin), "status": .count(refusal.rawValue)]
    case .witness(.alarm(let evidence, let file)):
      let (held, offered) = (evidence.held.checkpoint, evidence.offered.checkpoint)
      return [
        "event": .string("alarm"), "kind": .string(evidence.suspicion.rawValue), "log": .string(held.origin),
        "held": .integer(Int64(clamping: held.size)), "heldRoot": .string(held.root.hexadecimal),
        "offered": .integer(Int64(clamping: offered.size)), "offeredRoot": .string(offered.root.hexadecimal),
        "evidence": .optional(file),
      ]
    }
  }
}
