import ArgumentParser
import DifferentialPrivacy
import Federation
import Foundation
import Training

struct PrivacyAuditCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "audit", abstract: "Try to break a plan's differential privacy, and say how far one gets.",
    discussion: """
      Runs the plan on this machine with canaries, which are rows whose gradients are as easy to tell apart as clipping \
      allows, each there or not by a coin. An auditor who knows everything but the coins and the honest organisations' \
      noise guesses them from the published sums. From how many guesses are right follows a lower bound on epsilon \
      (Steinke, Nasr, Jagielski 2023). A bound above the accountant's epsilon is a flaw in clipping, noise or accounting; \
      one below it proves nothing, since somebody might guess better. Of training with noise inside an organisation the \
      auditor sees every step. Nothing leaves this machine.

        bauta privacy audit plan.yaml
      To see that it would notice, without noise; it has to end with status 1:
        bauta privacy audit plan.yaml --without-noise

      Exit status: 0 the bound is below the plan's epsilon, 1 above it, 2 wrong usage.
      """)

  @Argument(help: "Plan (YAML) with privacy.unit: record.", completion: .file(extensions: ["yaml"]))
  var plan: String

  @Option(
    help: ArgumentHelp(
      "CSV file of rows to divide among the organisations. (default: made-up rows)", valueName: "file"),
    completion: .file(extensions: ["csv"]))
  var data: String?

  @Option(
    help: ArgumentHelp(
      "Canaries that are counted, 100 to 1000000. (default: as many as show the plan's epsilon)", valueName: "n"))
  var canaries: Int?

  @Option(help: ArgumentHelp("How sure the bound is to be, 0.5 to 0.999999.", valueName: "share"))
  var confidence: Double = 0.95

  @Option(help: "Seed, for the same result again. (default: random)")
  var seed: UInt64?

  @Flag(help: "Draw next to no noise: the audit has to notice.")
  var withoutNoise = false

  @OptionGroup var format: JSONOption

  func validate() throws {
    if let canaries, !PrivacyAudit.canaryCounts.contains(canaries) {
      throw ValidationError("--canaries is from 100 to 1000000.")
    }
    guard PrivacyAudit.confidences.contains(confidence) else {
      throw ValidationError("--confidence is from 0.5 to 0.999999; a usual value is 0.95.")
    }
  }

  func run() async throws {
    let parsed = try RunPlan(contentsOf: plan)
    let columns: FeatureSelection =
      switch parsed.task.features {
      case .all: .all
      case .named(let names): .list(names)
      }
    let table = try data.map {
      try CSVTable.load(path: $0, label: parsed.task.label, positive: parsed.task.positive, features: columns)
    }
    let audit = try PrivacyAudit(
      plan: parsed, path: plan, data: table,
      settings: PrivacyAudit.Settings(
        canaries: canaries, confidence: confidence, noise: withoutNoise ? .least : .planned, seed: seed))
    let display = PrivacyAuditDisplay(output: .error)
    let result = try audit.run { display.show(done: $0, total: $1) }
    display.clear()
    let report = PrivacyAuditReport(plan: plan, audit: audit, result: result)
    if format.json { Output.standard.json(report.json) } else { report.show(.standard) }
    try Output.standard.finish()
    if result.isFlagged { throw ExitCode(Failure.Status.failed.rawValue) }
  }
}

/// Says how far an audit is, once it has taken a second: on a line that is written over at a terminal, in a line every
/// few seconds elsewhere.
final class PrivacyAuditDisplay {
  private let output: Output
  private var next: ContinuousClock.Instant
  private var isShown = false

  init(output: Output) {
    self.output = output
    next = .now + .seconds(1)
  }

  func show(done: Int, total: Int) {
    guard done < total, .now >= next else { return }
    next = .now + (output.isTerminal ? .milliseconds(100) : .seconds(5))
    isShown = true
    let text = "round \(Figures.grouped(done)) of \(Figures.grouped(total))"
    if output.isTerminal { output.write(Array("\r\(text)\u{1B}[K".utf8)) } else { output.line(StyledText(text)) }
    output.flush()
  }

  /// Takes the line away again, so that the result stands alone.
  func clear() {
    guard isShown, output.isTerminal else { return }
    output.write(Array("\r\u{1B}[K".utf8))
    output.flush()
  }
}
