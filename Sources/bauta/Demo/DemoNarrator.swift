import Foundation

/// Tells what the demonstration does while it does it; silent with `--json`.
struct DemoNarrator: Sendable {
  let output: Output?

  func line(_ text: StyledText) {
    output?.line(text)
    output?.flush()
  }

  /// A heading, then the work, then nothing: the work tells the rest.
  func step(_ title: String) { line("\(title, .strong)") }
}

/// How long each part of a demonstration took, in seconds.
struct DemoTimes: Sendable {
  private(set) var parts: [(name: String, seconds: Double)] = []
  private var last = ContinuousClock.now

  mutating func mark(_ name: String) {
    let now = ContinuousClock.now
    parts.append((name, (now - last) / .seconds(1)))
    last = now
  }

  var total: Double { parts.reduce(0) { $0 + $1.seconds } }
}
