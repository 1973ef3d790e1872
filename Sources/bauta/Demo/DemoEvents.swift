import Foundation

/// Follows the server's events, one JSON object a line, and tells them.
struct DemoEvents: Sendable {
  let path: String
  /// Whether what is summed carries noise.
  let hasNoise: Bool
  let narrator: DemoNarrator

  private struct Event: Decodable {
    let event: String
    var task: String?
    var round: Int?
    var stage: String?
    var organization: String?
    var missing: [String]?
    var survivors: [String]?
    var reason: String?
    var message: String?
    var state: String?
    var metrics: [String: Double]?
  }

  /// Returns when the server has ended and everything it said has been told.
  func follow(while isRunning: () -> Bool) async throws {
    let file = try FileHandle(forReadingFrom: URL(fileURLWithPath: path))
    defer { try? file.close() }
    var pending = Data()
    while true {
      let wasRunning = isRunning()
      pending += try file.readToEnd() ?? Data()
      while let end = pending.firstIndex(of: 0x0A) {
        tell(pending[pending.startIndex..<end])
        pending = Data(pending[(end + 1)...])
      }
      if !wasRunning { return }
      try await Task.sleep(for: .milliseconds(20))
    }
  }

  private func tell(_ line: Data) {
    guard let event = try? JSONDecoder().decode(Event.self, from: line), let text = self.line(event) else { return }
    narrator.line("   \(text)")
  }

  private func line(_ event: Event) -> StyledText? {
    switch event.event {
    case "runStarted": return "all have accepted the plan under their own policies"
    case "stageClosed":
      guard let missing = event.missing, !missing.isEmpty else { return nil }
      let title = Self.title(event.task, event.round)
      // Who is missing from the first message on was lost before, and that was told then.
      guard event.stage != "AdvertiseKeys" else { return nil }
      return StyledText("\(title): \(missing.joined(separator: ", ")) lost in \(event.stage ?? "")", .caution)
    case "openingCompleted":
      guard event.task != "evaluate" else { return nil }
      return "\(Self.title(event.task, event.round)): summed over \(event.survivors?.count ?? 0) organisations"
    case "evaluated":
      let area = Figures.decimals(event.metrics?["rocAuc"], 4, plusMinus: event.metrics?["rocAucNoiseError"])
      return "round \(event.round ?? 0): ROC AUC \(area), "
        + "log loss \(Figures.decimals(event.metrics?["logLoss"], 4)) on everybody's held-out rows, summed too\(hasNoise ? ", with noise" : "")"
    case "attemptFailed", "refused", "refusedMessage", "blamed":
      return StyledText(
        [event.organization, event.message ?? event.reason].compactMap { $0 }.joined(separator: ": "), .bad)
    case "ended":
      guard event.state != "completed" else { return nil }
      return StyledText("the run \(event.state ?? "ended"): \(event.reason ?? "")", .bad)
    default: return nil
    }
  }

  private static func title(_ task: String?, _ round: Int?) -> String {
    switch task {
    case "statistics": "means and deviations"
    case "fit": "round \(round ?? 0), models"
    default: "round \(round ?? 0), evaluation"
    }
  }
}
