/// What an auditor is handed: what logs say in figures, what was verified of them, and what was not.
///
/// Made of results only; `AuditReport.json` and the page of `bauta audit report` show the same figures.
public struct AuditReport: Hashable, Sendable {
  public static let schema = "bauta/audit-report/1"

  /// Where the key came from that a log's checkpoint was held against.
  public enum KeyOrigin: Hashable, Sendable {
    /// A file beside the log: that both belong together, not whose they are.
    case besideLog
    case file(String)
    case manifest(String)
  }

  public struct Log: Hashable, Sendable {
    /// As the caller named it.
    public let directory: String
    public let analysis: LogAnalysis
    public let verification: VerificationReport
    /// The verifier key as text; nil if there was none.
    public let key: String?
    public let keyOrigin: KeyOrigin

    public init(
      directory: String, analysis: LogAnalysis, verification: VerificationReport, key: String?, keyOrigin: KeyOrigin
    ) {
      self.directory = directory
      self.analysis = analysis
      self.verification = verification
      self.key = key
      self.keyOrigin = keyOrigin
    }

    public var figures: LogFigures { analysis.figures }

    /// The keeper: from the checkpoint, else from the first record, else the directory.
    public var name: String { verification.origin ?? analysis.keeper ?? directory }

    public var isVerified: Bool { verification.verified && analysis.tie != .differs && analysis.unreadable == 0 }
  }

  /// The log of what arrived, and how it agrees with the others.
  public struct Comparison: Hashable, Sendable {
    public let directory: String
    public let verification: VerificationReport
    /// The verifier key of this log as text; nil if there was none.
    public let key: String?
    public let keyOrigin: KeyOrigin
    public let result: ReconciliationReport
    /// Differences between the logs that were given.
    public let differences: [ReconciliationReport.Difference]

    /// Messages that arrived from organisations whose logs were not given: that these logs do not have them says nothing.
    public var ofOthers: Int { result.differences.count - differences.count }

    /// Whether there was something to compare, and the logs that were given do not differ.
    public var agrees: Bool { differences.isEmpty && !result.isEmpty }

    public init(
      directory: String, verification: VerificationReport, key: String?, keyOrigin: KeyOrigin,
      result: ReconciliationReport
    ) {
      self.directory = directory
      self.verification = verification
      self.key = key
      self.keyOrigin = keyOrigin
      self.result = result
      differences = result.differences.filter { !result.isOfOther($0) }
    }
  }

  /// When the report was made.
  public let time: AuditTime
  public let logs: [Log]
  public let filter: AuditFilter
  /// Nil if no log of what arrived was given.
  public let comparison: Comparison?

  public init(time: AuditTime, logs: [Log], filter: AuditFilter = AuditFilter(), comparison: Comparison? = nil) {
    self.time = time
    self.logs = logs
    self.filter = filter
    self.comparison = comparison
  }

  /// True if every log is verified, the figures are of the entries that were verified, and the logs agree if they were
  /// compared. What was not checked does not count: read the list.
  public var isVerified: Bool {
    !logs.isEmpty && logs.allSatisfy(\.isVerified)
      && (comparison.map { $0.agrees && $0.verification.verified } ?? true)
  }

  /// Records of histories that do not fit together, in all logs.
  public var conflicts: UInt64 { logs.reduce(0) { Tally.sum($0, $1.figures.witnesses.conflicts.total) } }

  public var isFiltered: Bool { filter != AuditFilter() }

  /// A control, and how many records of these logs speak to it.
  public struct ControlAnswer: Hashable, Sendable {
    public struct Item: Hashable, Sendable {
      public let evidence: Evidence
      public let count: UInt64
      /// A record to look at: whose log, and which entry.
      public let example: Example?
    }

    public struct Example: Hashable, Sendable {
      public let log: String
      public let entry: UInt64
    }

    public let control: Control
    public let items: [Item]
    /// Checks that speak to it, and in how many of the logs each passed.
    public let checks: [CheckCount]
  }

  public struct CheckCount: Hashable, Sendable {
    public let name: VerificationReport.CheckName
    public let passed: Int
    public let logs: Int
  }

  public var controls: [ControlAnswer] {
    Control.all.map { control in
      ControlAnswer(
        control: control, items: control.evidence.map(item),
        checks: control.checks.map { name in
          let passed = logs.count { log in
            log.verification.checks.contains { $0.name == name && $0.result == .passed }
          }
          return CheckCount(name: name, passed: passed, logs: logs.count)
        })
    }
  }

  private func item(_ evidence: Evidence) -> ControlAnswer.Item {
    var count: UInt64 = 0
    var example: ControlAnswer.Example?
    for log in logs {
      guard let tally = log.figures.evidence[evidence] else { continue }
      count = Tally.sum(count, tally.count)
      if example == nil, let first = tally.first { example = .init(log: log.name, entry: first.entry) }
    }
    return ControlAnswer.Item(evidence: evidence, count: count, example: example)
  }
}
