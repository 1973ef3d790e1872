import ArgumentParser
import AuditLog
import Cryptography
import Federation
import FederationWire
import Foundation
import ServiceControl

struct AuditPruneCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "prune", abstract: "Stop keeping the oldest entries of a log.",
    discussion: """
      Entries go in whole segments of 65,536, the oldest first. Their hashes stay: the tree, every checkpoint and every \
      proof that was made before hold as they did, and who has a copy of an entry can still prove it. That entries are no \
      longer kept, from which on, and by whose decision is an entry of the log itself, signed before anything is removed.

        bauta audit prune alder --older-than 2192d --dry-run
        bauta audit prune alder --before 2026-03-01

      A client does so by itself with audit.retention in policy.yaml. Where cosigners are asked for, by policy.yaml or by \
      the manifest, entries that are not cosigned yet stay. For a stopped service; asks before it removes anything.
      """)

  @Argument(help: "Directory of the organisation or server.", completion: .directory)
  var directory: String

  @Option(
    help: ArgumentHelp("No entry of this time or later goes: a UTC day or time.", valueName: "time"),
    transform: { try AuditMoment.parse($0) })
  var before: AuditMoment?

  @Option(
    help: ArgumentHelp("Entries older than this go, as in 2192d.", valueName: "duration"),
    transform: { try AuditMoment.parse($0) })
  var olderThan: AuditMoment?

  @Flag(help: "Say what would go, and remove nothing.")
  var dryRun = false

  @Flag(help: "Remove without asking.")
  var yes = false

  @OptionGroup var format: JSONOption

  func validate() throws {
    guard (before == nil) != (olderThan == nil) else {
      throw ValidationError("Give either --before or --older-than.")
    }
  }

  func run() async throws {
    guard let time = (before ?? olderThan)?.time else { return }
    let participant = try Participant(opening: directory)
    if ControlClient.isRunning(in: directory) { throw ControlError.alreadyRunning(directory: directory) }
    let log = try OwnLog.open(participant.directory)
    let result: Result<Range<UInt64>?, any Error>
    do { result = .success(try prune(log, participant, time)) } catch { result = .failure(error) }
    try log.close()
    show(try result.get(), time)
  }

  /// - Returns: the entries that went, or would go.
  private func prune(_ log: AuditLogWriter, _ participant: Participant, _ time: AuditTime) throws -> Range<UInt64>? {
    let limit = Self.limit(log, participant)
    guard let range = try log.prunable(before: time, upTo: limit), !dryRun else {
      return try log.prunable(before: time, upTo: limit)
    }
    let entries = Figures.counted(UInt64(range.count), "entry", "entries")
    if !yes {
      let range = "\(entries), from \(range.lowerBound) to \(range.upperBound - 1)"
      Output.error.line("\(range), are removed for good. Their hashes, the tree and all proofs stay.")
    }
    try Confirmation.require("Remove them?", what: "removing \(entries) of the log", given: yes)
    var draft = AuditRecord.Draft(.entriesPruned)
    draft.actor = .init(service: "bauta")
    draft.approver = "owner"
    return try log.prune(before: time, upTo: limit, recording: draft).map { $0.below - $0.count..<$0.below }
  }

  /// Where cosigners are asked for, what they have not seen is not removed.
  private static func limit(_ log: AuditLogWriter, _ participant: Participant) -> UInt64 {
    var policies: [CosignerPolicy] = []
    if let manifest = (try? participant.directory.manifest()) ?? nil {
      policies.append(manifest.manifest.cosigners(ofLogOf: log.verifierKey.name))
    }
    if case .organization(let organization) = participant, let rules = try? organization.policy().log {
      policies.append(rules.cosigners)
    }
    return log.cosignedSize(as: policies)
  }

  private func show(_ range: Range<UInt64>?, _ time: AuditTime) {
    if format.json {
      Output.standard.json(
        .object([
          "schema": .string("bauta/audit-prune/1"), "before": .string(time.description), "dryRun": .boolean(dryRun),
          "count": .count(range?.count ?? 0),
          "below": range.map { JSONValue.count(Int(clamping: $0.upperBound)) } ?? .null,
        ]))
      return
    }
    guard let range else {
      Output.standard.line("No whole segment of \(directory) is older than \(time): nothing is removed.")
      return
    }
    let entries = Figures.counted(UInt64(range.count), "entry", "entries")
    let word = dryRun ? "would be removed" : "removed"
    Output.standard.line(
      "\(entries) \(word), up to \(range.upperBound - 1). Their hashes, the tree and all proofs stay.")
  }
}
