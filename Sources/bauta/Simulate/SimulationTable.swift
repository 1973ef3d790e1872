import FederationSimulation
import Foundation
import SecureAggregation

/// What a simulation found, for people.
enum SimulationTable {
  static func show(_ report: SimulationReport, output: Output) {
    output.table(stages(report))
    output.line()
    for (name, text) in summary(report) {
      output.line(StyledText("  " + name.padding(toLength: 14, withPad: " ", startingAt: 0)) + text)
    }
    for sum in report.sums { show(sum, of: report, output: output) }
    output.line("  outcome       \(report.outcome.hexadecimal)")
    output.line(verdict(report))
  }

  private static func stages(_ report: SimulationReport) -> Table {
    var table = Table([
      .text("round"), .number("answers"), .number("client median"), .number("client max"), .number("server"),
      .number("sent mean"), .number("sent max"), .number("received mean"), .number("received max"),
    ])
    for stage in report.stages {
      table.append([
        "\(stage.stage.rawValue)", "\(Figures.grouped(stage.clientSeconds.count))",
        "\(milliseconds(stage.clientSeconds.median))", "\(milliseconds(stage.clientSeconds.maximum))",
        "\(seconds(stage.serverSeconds))", "\(bytes(stage.sentBytes.mean))", "\(bytes(stage.sentBytes.maximum))",
        "\(bytes(stage.receivedBytes.mean))", "\(bytes(stage.receivedBytes.maximum))",
      ])
    }
    let clients = report.stages.reduce(0) { $0 + $1.clientSeconds.total }
    let server = report.stages.reduce(0) { $0 + $1.serverSeconds }
    table.append([
      StyledText("all", .strong), "\(Figures.grouped(report.stages.reduce(0) { $0 + $1.clientSeconds.count }))",
      "total \(seconds(clients))", "", "\(seconds(server))",
      "total \(bytes(report.stages.reduce(0) { $0 + $1.sentBytes.total }))", "",
      "total \(bytes(report.stages.reduce(0) { $0 + $1.receivedBytes.total }))", "",
    ])
    return table
  }

  private static func summary(_ report: SimulationReport) -> [(String, StyledText)] {
    let settings = report.settings
    let kind = report.regularGraph == nil ? "complete" : "\(report.neighborCount)-regular"
    let limit = bytes(report.maskedInputLimit)
    let overhead = 100 * (Double(report.maskedInputBytes) / report.termBytes - 1)
    return [
      (
        "cohort",
        """
        \(Figures.counted(settings.organizations, "organisation")), \(settings.dropouts) leave a round, \
        \(settings.faults) misbehave, \(settings.assumedCorrupt) assumed corrupt
        """
      ),
      (
        "graph",
        """
        \(kind): \(Figures.counted(report.neighborCount, "neighbour")) each, \(report.threshold) shares recover a secret
        """
      ),
      (
        "masked input",
        """
        \(Figures.grouped(report.maskedInputBytes)) bytes on the wire for \(Figures.grouped(Int(report.termBytes))) of \
        coordinates (+\(Figures.decimals(overhead, 1)) %; at most \(limit))
        """
      ),
      ("time", "\(seconds(report.seconds)) on \(Figures.counted(settings.cores, "core"))"),
      ("peak memory", "\(Figures.bytes(report.peakMemoryBytes)) for all of them and the server"),
    ]
  }

  private static func show(_ sum: SumOutcome, of report: SimulationReport, output: Output) {
    let name = report.settings.rounds > 1 ? "round \(sum.round)" : "sum"
    var text = StyledText("  " + name.padding(toLength: 14, withPad: " ", startingAt: 0))
    if sum.stop == nil {
      text =
        text + "\(Figures.counted(sum.survivors.count, "survivor")) of \(report.settings.organizations), "
        + (sum.isExact ? StyledText("exact", .good) : StyledText("WRONG", .bad))
        + ": \(sum.isExact ? "every word is" : "not every word is") the sum in the clear"
    } else {
      text = text + StyledText("stopped", .bad)
    }
    output.line(text + ", \(Figures.counted(sum.attempts, "attempt")), \(seconds(sum.seconds))")
    for injection in sum.injections {
      let result =
        !injection.wasSent
        ? StyledText("not sent, or the sum ended before", .faint)
        : injection.noticed.map { StyledText("noticed (\($0))", .good) } ?? StyledText("NOT NOTICED", .bad)
      output.line(
        "    \(injection.organization): \(injection.misbehavior.rawValue) in \(injection.stage.rawValue): " + result)
    }
    if let stop = sum.stop {
      output.line("    " + StyledText(String(stop.message.prefix(400)), .bad))
      output.line("    → \(stop.remedy)")
    }
  }

  private static func verdict(_ report: SimulationReport) -> StyledText {
    if report.stop != nil { return StyledText("Stopped: see the reason above.", .bad) }
    if !report.slippedThrough.isEmpty {
      return StyledText(
        "Failed: \(Figures.counted(report.slippedThrough.count, "misbehaviour")) went unnoticed.", .bad)
    }
    if !report.isExact { return StyledText("Failed: a sum is not the sum of the survivors' terms.", .bad) }
    if !report.isSound { return StyledText("Failed: a masked input is larger than it may be.", .bad) }
    let sums = report.sums.count == 1 ? "The sum is" : "All \(report.sums.count) sums are"
    return StyledText("\(sums) exact.", .good)
  }

  private static func milliseconds(_ seconds: Double) -> String { Figures.decimals(1000 * seconds, 1) + " ms" }

  private static func seconds(_ seconds: Double) -> String { Figures.decimals(seconds, 2) + " s" }

  private static func bytes(_ count: Double) -> String { Figures.bytes(UInt64(max(0, count.rounded()))) }
}
