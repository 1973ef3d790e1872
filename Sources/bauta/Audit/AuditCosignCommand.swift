import ArgumentParser
import AuditLog
import Cryptography
import Federation
import FederationWire
import Foundation
import LogService
import ServiceControl
import TransparencyLog

extension WitnessAddress: ExpressibleByArgument {
  public init?(argument: String) { self.init(parsing: argument) }
}

/// `--witness KEY@URL`.
enum WitnessOption {
  static let help = ArgumentHelp(
    "A witness outside the federation, its verifier key and where it is: NAME+ID+KEY@http://HOST:PORT; may be repeated.",
    valueName: "key@url")
}

struct AuditCosignCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "cosign", abstract: "Submit a log's checkpoint to witnesses, now.",
    discussion: """
      A client does so by itself with the witnesses of its policy.yaml, a server with those of its --witness. This is for \
      a keeper who has been offline, and for a first look. What is sent is an entry of the log first, as always.

        bauta audit cosign alder
        bauta audit cosign hub --witness 'watch.example+1b2c3d4e+BA…@http://watch.example:7481'

      The service that runs in the directory does it, or this command if none does. Without --witness, the witnesses are \
      those of the policy, or of the running server. Status 0 if all have cosigned, 1 if not. A witness that has seen more \
      of the log than there is, or another history, ends the service as well.
      """)

  @Argument(help: "Directory of the organisation or server.", completion: .directory)
  var directory: String

  @Option(help: WitnessOption.help)
  var witness: [WitnessAddress] = []

  @OptionGroup var format: JSONOption

  func run() async throws {
    let participant = try Participant(opening: directory)
    let lines =
      ControlClient.isRunning(in: directory) ? try askService() : try await submit(participant).map(\.line)
    guard !lines.isEmpty else {
      throw CommandError.usage("no witness is named", remedy: "Give one with --witness KEY@URL.")
    }
    let outcomes = try lines.map { try CosignOutcome(line: $0) }
    for (line, outcome) in zip(lines, outcomes) {
      if format.json { Output.standard.write(Array((line + "\n").utf8)) } else { outcome.show(Output.standard) }
    }
    guard outcomes.allSatisfy({ $0.error == nil }) else {
      try Output.standard.finish()
      throw ExitCode.failure
    }
  }

  private func askService() throws -> [String] {
    let arguments = witness.isEmpty ? [:] : ["witnesses": WitnessAddress.list(witness)]
    return try ControlClient.ask(ControlRequest("cosign", arguments), of: directory)
  }

  private func submit(_ participant: Participant) async throws -> [SubmittedCheckpoint] {
    var witnesses = witness
    if witnesses.isEmpty, case .organization(let organization) = participant {
      witnesses = try organization.policy().log.witnesses
    }
    let log = try OwnLog.open(participant.directory)
    if let manifest = (try? participant.directory.manifest()) ?? nil {
      log.preferCheckpoints(
        cosignedAs: manifest.manifest.cosigners(ofLogOf: log.verifierKey.name), by: .federation)
    }
    if case .organization(let organization) = participant {
      log.preferCheckpoints(cosignedAs: try organization.policy().log.cosigners, by: .keeper)
    }
    let submissions = WitnessSubmissions(log: log, service: "bauta", timeout: .seconds(10))
    let result: Result<[SubmittedCheckpoint], any Error>
    do { result = .success(try await submissions.submit(to: witnesses)) } catch { result = .failure(error) }
    try log.close()
    return try result.get()
  }
}

/// The log of a directory in which no service runs.
enum OwnLog {
  /// - Throws: `FederationError` for its key, `AuditLogError` if it is not sound or another process has it open.
  static func open(_ directory: any ParticipantDirectory) throws -> AuditLogWriter {
    try AuditLogWriter(
      directory: directory.logPath, organization: directory.name, logKey: directory.logKey(), clock: { Date() })
  }
}

/// A line of the answer.
private struct CosignOutcome: Decodable {
  struct Failure: Decodable {
    let message: String
    let remedy: String
  }

  let schema: String
  let witness: String
  let url: String
  let size: UInt64
  let time: UInt64?
  let error: Failure?

  /// - Throws: `ControlError` for that of another release.
  init(line: String) throws {
    guard let outcome = try? JSONDecoder().decode(CosignOutcome.self, from: Data(line.utf8)),
      outcome.schema == SubmittedCheckpoint.schema
    else { throw ControlError.malformedAnswer }
    self = outcome
  }

  func show(_ output: Output) {
    if let error {
      return output.line("\("not cosigned", .bad) by \(witness): \(error.message) → \(error.remedy)")
    }
    let when = time.map { Moment.text(Date(timeIntervalSince1970: Double($0))) } ?? ""
    output.line("\("cosigned", .good) by \(witness): \(Figures.counted(size, "entry", "entries")), \(when)")
  }
}
