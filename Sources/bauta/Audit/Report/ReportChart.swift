import AuditLog

/// Messages over time as a picture: stacked bars, by kind.
struct ReportChart {
  enum Measure {
    case bytes, messages

    func value(_ amount: Timeline.Amount) -> UInt64 {
      switch self {
      case .bytes: amount.bytes
      case .messages: amount.messages
      }
    }

    func text(_ value: UInt64) -> String {
      switch self {
      case .bytes: Figures.bytes(value)
      case .messages: Figures.counted(value, "message")
      }
    }
  }

  /// Kinds with a colour of their own; the others are drawn together.
  static let maximumSeries = 7

  let caption: String
  private let measure: Measure
  private let width: Int64
  private let intervals: [Timeline.Interval]
  /// Those with the most bytes first.
  private let series: [(name: String, total: UInt64)]
  private let hasRest: Bool

  init(_ caption: String, _ timeline: Timeline, _ measure: Measure) {
    self.caption = caption
    self.measure = measure
    width = timeline.width
    intervals = timeline.intervals
    var totals: [String: Timeline.Amount] = [:]
    for interval in intervals { totals.merge(interval.amounts) { $0 + $1 } }
    // By bytes in every picture, so that a kind has the same colour in all of them.
    let ranked = totals.filter { !$0.key.isEmpty }
      .sorted { $0.value.bytes != $1.value.bytes ? $0.value.bytes > $1.value.bytes : $0.key < $1.key }
    series = ranked.prefix(Self.maximumSeries).map { ($0.key, measure.value($0.value)) }
    hasRest = ranked.count > Self.maximumSeries || totals[""] != nil
  }

  /// Nothing if there is nothing to draw.
  var markup: Markup {
    guard !series.isEmpty || hasRest else { return "" }
    return """
      <figure><figcaption>\(caption)</figcaption>
      \(drawing(ChartFrame(width: 1040, height: 250, left: 84, ticks: 8), "wide"))
      \(drawing(ChartFrame(width: 350, height: 230, left: 62, ticks: 3), "narrow"))
      \(legend)</figure>

      """
  }

  // MARK: - Parts

  private func amounts(_ interval: Timeline.Interval) -> [UInt64] {
    var rest: UInt64 = 0
    let named = Set(series.map(\.name))
    for (kind, amount) in interval.amounts where !named.contains(kind) { rest &+= measure.value(amount) }
    return series.map { interval.amounts[$0.name].map(measure.value) ?? 0 } + (hasRest ? [rest] : [])
  }

  private func color(_ place: Int) -> Int { place < series.count ? place : Self.maximumSeries }

  private func kindName(_ place: Int) -> String { place < series.count ? series[place].name : "other kinds" }

  private func drawing(_ frame: ChartFrame, _ name: String) -> Markup {
    let stacks = intervals.map(amounts)
    let highest = stacks.map { $0.reduce(0, &+) }.max() ?? 0
    let scale = ChartScale(highest: highest, isBytes: measure == .bytes)
    let step = frame.plotWidth / Double(intervals.count)
    let bar = min(step * 0.86, 44)
    var shapes: [Markup] = []
    for (place, stack) in stacks.enumerated() {
      let x = frame.left + step * Double(place) + (intervals.count == 1 ? 8 : (step - bar) / 2)
      var base = 0.0
      for (kind, value) in stack.enumerated() where value > 0 {
        let height = Double(value) / scale.top * frame.plotHeight
        // A finger does not hover: the narrow picture has no tips.
        let title: Markup = name == "wide" ? "<title>\(tip(intervals[place], kind, value))</title>" : ""
        shapes.append(
          """
          <rect class="s\(color(kind))" x="\(x.svg)" y="\((frame.bottom - base - height).svg)" width="\(bar.svg)" \
          height="\(max(height, 0.5).svg)">\(title)</rect>

          """)
        base += height
      }
    }
    return """
      <svg class="\(name)" viewBox="0 0 \(frame.width) \(frame.height)" role="img" aria-label="\(description)">
      \(scale.markup(frame) { measure == .bytes ? Figures.bytes($0) : Figures.grouped($0) })\(.joined(shapes))\
      \(ChartTimeAxis(start: intervals[0].start, width: width, count: intervals.count).markup(frame))</svg>
      """
  }

  private func tip(_ interval: Timeline.Interval, _ kind: Int, _ value: UInt64) -> String {
    let start = interval.start.description
    return
      "\(start.prefix(10)) \(start.dropFirst(11).dropLast(1)): \(Self.short(kindName(kind))), \(measure.text(value))"
  }

  private static func short(_ text: String) -> String {
    text.count > 40 ? String(text.prefix(39)) + "…" : text
  }

  /// In words, for those who do not see it; the table below has the figures.
  private var description: String {
    let stacks = intervals.map { amounts($0).reduce(0, &+) }
    let total = stacks.reduce(0, &+)
    let place = stacks.indices.max { stacks[$0] < stacks[$1] } ?? 0
    let first = intervals[0].start.description
    let last = intervals[intervals.count - 1].start.description
    let kinds = series.map { "\(Self.short($0.name)) \(measure.text($0.total))" }.joined(separator: "; ")
    return """
      \(caption): stacked bars from \(first) to \(last), each of \(ChartTimeAxis.words(width)). In all \
      \(measure.text(total)), most of it at \(intervals[place].start): \(measure.text(stacks[place])). By kind: \(kinds).
      """
  }

  private var legend: Markup {
    let items = (0..<series.count + (hasRest ? 1 : 0)).map { place -> Markup in
      """
      <li><svg viewBox="0 0 12 12" aria-hidden="true"><rect class="s\(color(place))" width="12" height="12" /></svg>\
      \(.logged(kindName(place), limit: 40))</li>
      """
    }
    return "<ul class=\"legend\">\(.joined(items))</ul>"
  }
}
