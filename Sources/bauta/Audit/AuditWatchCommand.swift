import ArgumentParser
import AuditLog
import Foundation
import Synchronization

struct AuditWatchCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "watch", abstract: "Follow a log that grows.",
    discussion: """
      Shows the last records, then every new one, until it is interrupted (status 0). It goes on when the log begins a \
      new journal. Each entry is held against the hash of the one before; an entry that does not fit, or that went away, \
      is told, and the status is 1 in the end. Signatures are for `bauta audit verify`.

        bauta audit watch alder
        bauta audit watch hub --event handshakeRefused --json
      """)

  private static let interval = Duration.milliseconds(250)

  @Argument(help: "Directory of an organisation, a server or a log.", completion: .directory)
  var directory: String

  @OptionGroup(title: "Which records") var selection: RecordFilterOptions

  @Option(help: ArgumentHelp("How many of the records that are there to show first.", valueName: "n"))
  var last = 10

  @OptionGroup var format: JSONOption

  func validate() throws {
    guard (0...1_000_000).contains(last) else { throw ValidationError("--last takes a number from 0 to 1000000.") }
  }

  func run() async throws {
    try LocalFile.requireLogDirectory(directory)
    let stop = StopFlag()
    let interruption = Interruption { stop.set() }
    defer { interruption.cancel() }
    let follower = LogFollower(directory: directory)
    var display = WatchDisplay(filter: selection.filter, asJSON: format.json, history: last)
    try follower.poll { display.takeHistory($0) }
    display.beginLive()
    while !stop.isSet, Output.standard.hasReader {
      Output.standard.flush()
      try await Task.sleep(for: Self.interval)
      try follower.poll { display.take($0) }
    }
    Output.standard.flush()
    if display.hasTrouble {
      try Output.standard.finish()
      throw ExitCode.failure
    }
  }
}

private final class StopFlag: Sendable {
  private let flag = Atomic(false)

  var isSet: Bool { flag.load(ordering: .acquiring) }

  func set() { flag.store(true, ordering: .releasing) }
}

/// Shows what comes, and remembers whether anything was wrong.
private struct WatchDisplay {
  let filter: AuditFilter
  let asJSON: Bool
  private(set) var hasTrouble = false
  private var recent: Recent<AuditListCommand.Line>?

  init(filter: AuditFilter, asJSON: Bool, history: Int) {
    self.filter = filter
    self.asJSON = asJSON
    recent = history > 0 ? Recent(limit: history) : nil
  }

  /// What was there already: the last of it is shown when all is read.
  mutating func takeHistory(_ item: LogFollower.Item) {
    guard case .entry(let entry) = item else {
      take(item)
      return
    }
    if filter.matches(entry.record) { recent?.append(.init(entry)) }
  }

  mutating func beginLive() {
    for line in recent?.elements ?? [] { show(line) }
    recent = nil
  }

  mutating func take(_ item: LogFollower.Item) {
    switch item {
    case .entry(let entry): if filter.matches(entry.record) { show(.init(entry)) }
    case .unreadable(let error): warn("a line that is not an entry: \(error.message)")
    case .broken(let sequence): warn("entry \(sequence) does not continue the one before it")
    case .missing(let from, let end): warn("entries \(from) to \(end - 1) are nowhere")
    case .shortened(let path): warn("\(path) became shorter: entries were removed")
    }
  }

  private func show(_ line: AuditListCommand.Line) {
    if asJSON {
      Output.standard.write(line.bytes + [0x0A])
    } else {
      Output.standard.line(RecordRow.line(line.record))
    }
  }

  private mutating func warn(_ text: String) {
    hasTrouble = true
    Output.standard.flush()
    Output.error.line("\("bauta:", .bad) \(text)")
    Output.error.flush()
  }
}
