import ArgumentParser
import Cryptography
import Foundation

/// What can be measured.
enum Suite: String, CaseIterable, ExpressibleByArgument {
  case masking
  case packing
  case sharing
  case feldman
  case rounds
  case unmasking
  case memory
  case transport
  case audit
  case noise
  case all
}

/// How thoroughly.
struct Effort {
  let isQuick: Bool

  /// Repetitions of a comparison.
  var repetitions: Int { isQuick ? 3 : 7 }
  /// Seconds of one measurement within a repetition.
  var seconds: Double { isQuick ? 0.1 : 0.25 }
}

@main
struct BenchmarksCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "bauta-benchmarks",
    abstract:
      "Measure the secure sum, the transport, the audit log and the noise against what this machine does by itself.",
    discussion: """
      The reference is 'openssl speed -evp aes-256-ctr', run in turns with ours. One core is compared in processor time, \
      several in wall time. 'transport' compares gRPC over mutual TLS with two threads that only write and \
      read TLS, 'audit' appends with an fsync alone and verifying with SHA-256 alone, 'noise' drawing samples with the keystream alone. Figures are medians, with smallest and largest in parentheses. Keep the machine idle: \
      'all' takes about ten minutes on two cores and up to 8 GiB of memory; --quick takes two.
      """)

  @Argument(help: "masking, packing, sharing, feldman, rounds, unmasking, memory, transport, audit, noise or all.")
  var suites: [Suite] = [.all]

  @Flag(help: "Fewer repetitions and smaller sums.")
  var quick = false

  @Flag(help: "With audit: ten million records as well, 12 GB of files.")
  var large = false

  @Flag(help: "Print Markdown, as in Benchmarks/RESULTS.md.")
  var markdown = false

  /// Set in a child process, whose peak memory is that of one measurement.
  @Option(help: .hidden)
  var measurement: MemoryMeasurement?

  /// As above, for a log that is verified.
  @Option(help: .hidden)
  var verification: AuditVerification?

  func run() async throws {
    try initializeCryptography()
    if let verification {
      print(try verification.run().line)
      return
    }
    if let measurement {
      print(try measurement.run().line)
      return
    }
    let writer = ReportWriter(isMarkdown: markdown)
    var goals: [Goal] = []
    show(writer.text(of: Machine.section(command: command)))
    let chosen = suites.contains(.all) ? Suite.allCases.filter { $0 != .all } : suites
    for suite in chosen {
      FileHandle.standardError.write(Data("measuring \(suite.rawValue) …\n".utf8))
      let result = try await run(suite)
      for section in result.sections { show(writer.text(of: section)) }
      goals += result.goals
    }
    guard !goals.isEmpty else { return }
    var section = Section(title: "Goals", columns: ["goal", "measured", ""])
    section.rows = goals.map { [$0.text, $0.figure, $0.isMet ? "met" : "missed"] }
    show(writer.text(of: section))
  }

  private func run(_ suite: Suite) async throws -> SuiteResult {
    let effort = Effort(isQuick: quick)
    return switch suite {
    case .masking: try MaskingSuite(effort: effort).run()
    case .packing: try PackingSuite(effort: effort).run()
    case .sharing: try SharingSuite(effort: effort).run()
    case .feldman: try FeldmanSuite(effort: effort).run()
    case .rounds: try RoundsSuite(effort: effort).run()
    case .unmasking: try UnmaskingSuite(effort: effort).run()
    case .memory: try MemorySuite(effort: effort).run()
    case .transport: try await TransportSuite(effort: effort).run()
    case .audit: try AuditSuite(effort: effort, isLarge: large).run()
    case .noise: try NoiseSuite(effort: effort).run()
    case .all: SuiteResult(sections: [])
    }
  }

  private var command: String {
    var words = suites.map(\.rawValue)
    if quick { words.append("--quick") }
    if large { words.append("--large") }
    return "make bench ARGS=\"\(words.joined(separator: " "))\""
  }

  /// At once, so that a long run shows what it has.
  private func show(_ text: String) { FileHandle.standardOutput.write(Data((text + "\n").utf8)) }
}
