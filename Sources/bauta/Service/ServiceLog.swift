import ArgumentParser
import AuditLog
import Foundation

/// What a service tells its operator on standard error: one line an event, for people or for a log collector.
///
/// It is not the audit log: nothing depends on it, and a line that cannot be written is dropped. No secrets go in; figures
/// that depend on data go in at the level `debug` only.
struct ServiceLog: Sendable {
  enum Level: String, Sendable, CaseIterable, ExpressibleByArgument {
    case error, warning, info, debug

    /// Whether a line of this level is written where `threshold` is asked for.
    func isShown(at threshold: Level) -> Bool { rank <= threshold.rank }

    private var rank: Int { Self.allCases.firstIndex(of: self) ?? 0 }
  }

  enum Format: String, Sendable, CaseIterable, ExpressibleByArgument {
    /// `2026-03-01T09:30:00.000Z warning certificateExpires days=12 file=tls.crt`
    case text
    /// `{"event":"certificateExpires","fields":{"days":"12","file":"tls.crt"},"level":"warning","time":"2026-…"}`
    case json
  }

  private let threshold: Level
  private let format: Format
  private let output: Output
  private let clock: @Sendable () -> Date

  init(level: Level, format: Format) { self.init(level: level, format: format, output: .error) { Date() } }

  init(level: Level, format: Format, output: Output, clock: @escaping @Sendable () -> Date) {
    threshold = level
    self.format = format
    self.output = output
    self.clock = clock
  }

  /// Writes one line, at once.
  ///
  /// - Parameters:
  ///   - event: its name, in camel case; stable, so that it can be searched for.
  ///   - fields: public facts beside it, by name.
  func log(_ level: Level, _ event: String, _ fields: [String: String] = [:]) {
    guard level.isShown(at: threshold) else { return }
    let time = AuditTime(clock())?.description ?? "unknown"
    switch format {
    case .json:
      output.json(
        .object([
          "time": .string(time), "level": .string(level.rawValue), "event": .string(event),
          "fields": .object(fields.mapValues { .string($0) }),
        ]))
    case .text:
      let pairs = fields.sorted { $0.key < $1.key }.map { " \($0.key)=\(Self.quoted($0.value))" }.joined()
      output.line(StyledText("\(time) \(level.rawValue) \(event)\(pairs)"))
    }
    output.flush()
  }

  /// A value that needs no quotes has none; in one that has, line breaks do not begin a line.
  private static func quoted(_ value: String) -> String {
    let isPlain = !value.isEmpty && value.unicodeScalars.allSatisfy { $0.value > 0x20 && $0 != "\"" && $0 != "=" }
    return isPlain ? value : JSONValue.string(value).text
  }
}

/// `--log-level` and `--log-format` of services.
struct ServiceLogOptions: ParsableArguments {
  @Option(
    help: ArgumentHelp("Least important events that are written to standard error: error, warning, info or debug."))
  var logLevel: ServiceLog.Level = .info

  @Option(help: ArgumentHelp("How they are written, one a line: text or json."))
  var logFormat: ServiceLog.Format = .text

  var log: ServiceLog { ServiceLog(level: logLevel, format: logFormat) }
}
