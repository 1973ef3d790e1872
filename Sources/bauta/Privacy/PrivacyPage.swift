import Federation
import Foundation

/// One self-contained page: ε over the rounds, and accuracy over ε.
struct PrivacyPage {
  let planned: PlannedPrivacy
  let curve: [(task: TaskKind, round: Int, epsilon: Double)]
  let accuracies: [PrivacyCurveCommand.Accuracy]

  private static let (width, height) = (720.0, 280.0)
  private static let (left, right, top, bottom) = (64.0, 20.0, 20.0, 48.0)

  var html: String {
    """
    <!DOCTYPE html>
    <html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
    <title>Privacy of \(Self.escaped(planned.plan.name))</title>
    <style>
    body { font: 16px/1.5 system-ui, sans-serif; max-width: 48rem; margin: 2rem auto; padding: 0 1rem; color: #1b1b1b; background: #fff }
    svg { width: 100%; height: auto } svg text { font-size: 13px; fill: currentColor }
    .axis { stroke: currentColor; stroke-opacity: .5 } .grid { stroke: currentColor; stroke-opacity: .15 }
    .curve { fill: none; stroke: #1f6f8b; stroke-width: 2.5 } .dot { fill: #1f6f8b } .range { stroke: #1f6f8b; stroke-opacity: .5; stroke-width: 2 }
    @media (prefers-color-scheme: dark) { body { color: #e8e8e8; background: #161616 } .curve { stroke: #6fc3df } .dot { fill: #6fc3df } .range { stroke: #6fc3df } }
    </style></head><body>
    <h1>Privacy of the plan \(Self.escaped(planned.plan.name))</h1>
    <p>\(summary)</p>
    <h2>ε over the run</h2>
    \(epsilonChart)
    \(accuracies.isEmpty ? "" : "<h2>Noise and accuracy</h2>\n\(accuracyChart)")
    </body></html>

    """
  }

  private var summary: String {
    let cohort = planned.cohort
    return
      "The whole run costs at most ε = \(Figures.decimals(planned.noise.epsilon, 3)) at δ = \(planned.settings.delta), "
      + "counted on \(cohort.honestShares) honest of at least \(cohort.minimum) organisations. It hides one "
      + "\(planned.settings.unit == .record ? "row more or less" : "organisation's part")."
  }

  private var plotWidth: Double { Self.width - Self.left - Self.right }
  private var plotHeight: Double { Self.height - Self.top - Self.bottom }

  private var epsilonChart: String {
    let highest = max(curve.map(\.epsilon).max() ?? 1, 1e-9)
    func x(_ index: Int) -> Double { Self.left + plotWidth * Double(index + 1) / Double(max(curve.count, 1)) }
    func y(_ epsilon: Double) -> Double { Self.top + plotHeight * (1 - epsilon / (highest * 1.05)) }
    var path = "M\(Self.left) \(y(0))"
    for (index, point) in curve.enumerated() { path += "V\(Self.number(y(point.epsilon)))H\(Self.number(x(index)))" }
    let ticks = Self.ticks(to: highest).map { (y($0), Figures.decimals($0, highest < 2 ? 2 : 1)) }
    let labels = stride(from: 0, to: curve.count, by: max(1, curve.count / 8)).map { (x($0), "\(curve[$0].round)") }
    return svg(
      "ε after each sum, up to \(Figures.decimals(highest, 3))", ticks, labels, "sums in order, by round",
      "<path class=\"curve\" d=\"\(path)\" />")
  }

  private var accuracyChart: String {
    let shown = accuracies.filter { !$0.areas.isEmpty }
    let lowest = max(0, ((shown.map(\.lowest).min() ?? 0.5) * 20).rounded(.down) / 20)
    func x(_ index: Int) -> Double { Self.left + plotWidth * (Double(index) + 0.5) / Double(max(shown.count, 1)) }
    func y(_ area: Double) -> Double { Self.top + plotHeight * (1 - (area - lowest) / (1 - lowest)) }
    let marks = shown.enumerated().map { index, accuracy in
      """
      <line class="range" x1="\(Self.number(x(index)))" x2="\(Self.number(x(index)))" y1="\(Self.number(y(accuracy.lowest)))" \
      y2="\(Self.number(y(accuracy.highest)))" /><circle class="dot" cx="\(Self.number(x(index)))" \
      cy="\(Self.number(y(accuracy.mean)))" r="5" /><text x="\(Self.number(x(index) + 10))" \
      y="\(Self.number(y(accuracy.mean) + 4))">\(Figures.decimals(accuracy.mean, 3))</text>
      """
    }
    let labels = shown.enumerated().map { index, accuracy in
      (x(index), accuracy.epsilon.map { "ε = \(Figures.decimals($0, $0 < 1 ? 1 : 0))" } ?? "no noise")
    }
    let ticks = [lowest, (lowest + 1) / 2, 1].map { (y($0), Figures.decimals($0, 3)) }
    return svg(
      "ROC AUC by ε", ticks, labels, "ROC AUC on held-out rows; the line is from the worst to the best training",
      marks.joined())
  }

  private func svg(
    _ title: String, _ ticks: [(Double, String)], _ labels: [(Double, String)], _ caption: String, _ content: String
  ) -> String {
    let base = Self.height - Self.bottom
    let grid = ticks.map { place, label in
      """
      <line class="grid" x1="\(Self.left)" x2="\(Self.width - Self.right)" y1="\(Self.number(place))" y2="\(Self.number(place))" />\
      <text x="\(Self.left - 8)" y="\(Self.number(place + 4))" text-anchor="end">\(label)</text>
      """
    }
    let names = labels.map { place, label in
      "<text x=\"\(Self.number(place))\" y=\"\(base + 18)\" text-anchor=\"middle\">\(label)</text>"
    }
    return """
      <svg viewBox="0 0 \(Int(Self.width)) \(Int(Self.height))" role="img" aria-label="\(title)">\(grid.joined())\
      <line class="axis" x1="\(Self.left)" x2="\(Self.width - Self.right)" y1="\(base)" y2="\(base)" />\(names.joined())\
      <text x="\(Self.left)" y="\(base + 40)">\(caption)</text>\(content)</svg>
      """
  }

  private static func ticks(to highest: Double) -> [Double] {
    let step = pow(10, floor(log10(highest)))
    let width = highest / step < 2 ? step / 4 : highest / step < 5 ? step : 2 * step
    return stride(from: 0, through: highest, by: width).map { $0 }
  }

  private static func number(_ value: Double) -> String { Figures.decimals(value, 1) }

  private static func escaped(_ text: String) -> String {
    text.replacingOccurrences(of: "&", with: "&amp;").replacingOccurrences(of: "<", with: "&lt;")
  }
}
