import Federation
import Foundation

/// One self-contained page: ε over the rounds, and accuracy over ε.
struct PrivacyPage {
  let planned: PlannedPrivacy
  let curve: [(task: TaskKind, round: Int, epsilon: Double)]
  let accuracies: [PrivacyCurveCommand.Accuracy]
  /// What the accuracies are of.
  let measurement: String

  private static let (width, height) = (720.0, 300.0)
  private static let (left, right, top, bottom) = (72.0, 20.0, 20.0, 44.0)

  var html: String {
    """
    <!DOCTYPE html>
    <html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
    <title>Privacy of \(Self.escaped(planned.plan.name))</title>
    <style>\(Self.style)</style></head><body>
    <h1>Privacy of the plan \(Self.escaped(planned.plan.name))</h1>
    <p>\(summary)</p>
    <h2>ε over the run</h2>
    \(epsilonChart)
    \(accuracies.isEmpty ? "" : "<h2>Noise and accuracy</h2>\n\(accuracyChart)\n\(accuracyTable)")
    </body></html>

    """
  }

  // A narrow screen shrinks the pictures, and their letters with them: so they are drawn larger there.
  private static let style = """
    body { font: 16px/1.5 system-ui, sans-serif; max-width: 48rem; margin: 2rem auto; padding: 0 1rem; color: #1b1b1b; \
    background: #fff; color-scheme: light dark; --ink: #1f6f8b }
    h1 { line-height: 1.2; overflow-wrap: anywhere } h2 { margin: 2rem 0 .5rem }
    figure { margin: 0 } figcaption { font-size: .875rem } svg { width: 100%; height: auto; display: block }
    svg text { font-size: 14px; fill: currentColor }
    .axis { stroke: currentColor; stroke-opacity: .5 } .grid { stroke: currentColor; stroke-opacity: .15 }
    .curve { fill: none; stroke: var(--ink); stroke-width: 2.5 } .dot { fill: var(--ink) }
    .range { stroke: var(--ink); stroke-opacity: .6; stroke-width: 3 }
    table { border-collapse: collapse; margin: 1rem 0; font-variant-numeric: tabular-nums }
    th, td { text-align: right; padding: .2rem 1.2rem .2rem 0 } th { border-bottom: 1px solid currentColor }
    @media (max-width: 34rem) { svg text { font-size: 24px } th, td { padding-right: .8rem } .every-other { display: none } }
    @media (prefers-color-scheme: dark) { body { color: #e8e8e8; background: #161616; --ink: #6fc3df } }
    """

  private var summary: String {
    "The whole run costs at most ε = \(PrivacyForecast.text(planned.agreement.form.epsilon)) at δ = \(planned.settings.delta), "
      + "counted on \(Self.escaped(planned.countedOn)). It hides one "
      + "\(planned.settings.unit == .record ? "row more or less" : "organisation's part")."
  }

  private var plotWidth: Double { Self.width - Self.left - Self.right }
  private var plotHeight: Double { Self.height - Self.top - Self.bottom }

  private var epsilonChart: String {
    let highest = max(curve.map(\.epsilon).max() ?? 1, 1e-9)
    let ceiling = highest * 1.08
    func x(_ index: Int) -> Double { Self.left + plotWidth * Double(index + 1) / Double(max(curve.count, 1)) }
    func y(_ epsilon: Double) -> Double { Self.top + plotHeight * (1 - epsilon / ceiling) }
    var path = "M\(Self.left) \(y(0))"
    for (index, point) in curve.enumerated() { path += "V\(Self.number(y(point.epsilon)))H\(Self.number(x(index)))" }
    let ticks = Self.ticks(to: ceiling).map { (y($0), Figures.decimals($0, ceiling < 2 ? 2 : ceiling < 10 ? 1 : 0)) }
    let fits = curve.indices.filter { curve[$0].task == .fit }
    let step = max(1, (fits.count + 7) / 8)
    // In the middle of the step that is the round's.
    let labels = fits.enumerated().filter { $0.offset % step == 0 }
      .map { (x($0.element) - plotWidth / Double(max(curve.count, 1)) / 2, "\(curve[$0.element].round)") }
    let evaluated = curve.last?.task == .evaluate ? "; the last step is the evaluation" : ""
    return figure(
      "ε after each sum, up to \(Figures.decimals(highest, 3))", ticks, labels,
      "ε (at δ = \(planned.settings.delta)) after each round's sum\(evaluated)",
      "<path class=\"curve\" d=\"\(path)\" />")
  }

  private var accuracyChart: String {
    let shown = accuracies.filter { !$0.areas.isEmpty }
    // Twentieths about what was measured.
    let lowest = max(0, ((shown.map(\.lowest).min() ?? 0.5) * 20 - 0.2).rounded(.down))
    let highest = max(lowest + 1, min(20, ((shown.map(\.highest).max() ?? 1) * 20 + 0.2).rounded(.up)))
    func x(_ index: Int) -> Double { Self.left + plotWidth * (Double(index) + 0.5) / Double(max(shown.count, 1)) }
    func y(_ area: Double) -> Double { Self.top + plotHeight * (1 - (area * 20 - lowest) / (highest - lowest)) }
    let marks = shown.enumerated().map { index, accuracy in
      """
      <line class="range" x1="\(Self.number(x(index)))" x2="\(Self.number(x(index)))" y1="\(Self.number(y(accuracy.lowest)))" \
      y2="\(Self.number(y(accuracy.highest)))" /><circle class="dot" cx="\(Self.number(x(index)))" \
      cy="\(Self.number(y(accuracy.mean)))" r="6" /><text x="\(Self.number(x(index) + 12))" \
      y="\(Self.number(y(accuracy.mean) + 5))">\(Figures.decimals(accuracy.mean, 2))</text>
      """
    }
    let labels = shown.enumerated().map { index, accuracy in (x(index), Self.name(accuracy, "ε = ", "no noise")) }
    let ticks = stride(from: lowest, through: highest, by: 1).map { (y($0 / 20), Figures.decimals($0 / 20, 2)) }
    return figure(
      "ROC AUC by ε", ticks, labels,
      Self.escaped("\(measurement): the mean, and a line from the worst to the best"), marks.joined())
  }

  private var accuracyTable: String {
    let rows = accuracies.map { accuracy in
      let cells = [
        Self.name(accuracy, "", "∞"), Figures.decimals(accuracy.noiseMultiplier, 2), Figures.decimals(accuracy.mean, 4),
        Figures.decimals(accuracy.lowest, 4), Figures.decimals(accuracy.highest, 4),
      ]
      return "<tr>\(cells.map { "<td>\($0)</td>" }.joined())</tr>"
    }
    return """
      <table><tr><th>ε</th><th>noise</th><th>mean</th><th>from</th><th>to</th></tr>\(rows.joined())</table>
      """
  }

  private static func name(_ accuracy: PrivacyCurveCommand.Accuracy, _ prefix: String, _ none: String) -> String {
    accuracy.epsilon.map { prefix + JSONValue.number($0).text } ?? none
  }

  private func figure(
    _ title: String, _ ticks: [(Double, String)], _ labels: [(Double, String)], _ caption: String, _ content: String
  ) -> String {
    let base = Self.height - Self.bottom
    let grid = ticks.map { place, label in
      """
      <line class="grid" x1="\(Self.left)" x2="\(Self.width - Self.right)" y1="\(Self.number(place))" y2="\(Self.number(place))" />\
      <text x="\(Self.left - 8)" y="\(Self.number(place + 5))" text-anchor="end">\(label)</text>
      """
    }
    // Few of them are all shown, also on a narrow screen.
    let names = labels.enumerated().map { index, label in
      "<text\(labels.count > 5 && index % 2 == 1 ? " class=\"every-other\"" : "") x=\"\(Self.number(label.0))\" "
        + "y=\"\(base + 26)\" text-anchor=\"middle\">\(label.1)</text>"
    }
    return """
      <figure><svg viewBox="0 0 \(Int(Self.width)) \(Int(Self.height))" role="img" aria-label="\(title)">\(grid.joined())\
      <line class="axis" x1="\(Self.left)" x2="\(Self.width - Self.right)" y1="\(base)" y2="\(base)" />\(names.joined())\
      \(content)</svg><figcaption>\(caption)</figcaption></figure>
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
