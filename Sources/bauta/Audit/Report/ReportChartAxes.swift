import AuditLog

/// The room that a chart has, in units of its picture.
struct ChartFrame {
  let width: Int
  let height: Int
  let left: Double
  /// Labels on the axis of time, at most.
  let ticks: Int

  var right: Double { Double(width) - 12 }
  var top: Double { 12 }
  var bottom: Double { Double(height) - 46 }
  var plotWidth: Double { right - left }
  var plotHeight: Double { bottom - top }
}

extension Double {
  /// With one decimal: a tenth of a unit is finer than any screen shows.
  var svg: String { Figures.decimals(self, 1) }
}

/// The upright axis: from zero to a round number.
struct ChartScale {
  let top: Double
  private let step: Double

  init(highest: UInt64, isBytes: Bool) {
    let base: Double = isBytes ? 1024 : 1000
    var unit = 1.0
    while Double(highest) >= unit * base { unit *= base }
    let steps = [1.0, 2, 5, 10, 20, 50, 100, 200, 500, 1000].map { $0 * unit }
    let wanted = Double(max(highest, 1)) / 5
    step = steps.first { $0 >= wanted } ?? wanted
    top = max(step, (Double(highest) / step).rounded(.up) * step)
  }

  func markup(_ frame: ChartFrame, _ label: (UInt64) -> String) -> Markup {
    let count = Int((top / step).rounded())
    return .joined(
      (0...max(count, 1)).map { place in
        let value = Double(place) * step
        let y = frame.bottom - value / top * frame.plotHeight
        return """
          <line class="\(place == 0 ? "axis" : "grid")" x1="\(frame.left.svg)" x2="\(frame.right.svg)" y1="\(y.svg)" \
          y2="\(y.svg)" /><text x="\((frame.left - 8).svg)" y="\((y + 4).svg)" text-anchor="end">\
          \(Self.withoutZeros(label(UInt64(value))))</text>

          """
      })
  }

  /// 20.0 KiB is a round number here.
  private static func withoutZeros(_ text: String) -> String {
    guard let point = text.range(of: ".0 ") else { return text }
    return text.replacingCharacters(in: point, with: " ")
  }
}

/// The axis of time: UTC, as fine as the period asks for.
struct ChartTimeAxis {
  let start: AuditTime
  /// Of an interval, in milliseconds.
  let width: Int64
  let count: Int

  private var span: Int64 { width * Int64(count) }

  func markup(_ frame: ChartFrame) -> Markup {
    // About nine units a digit on paper, and some room between two labels; the first is not centred.
    let room = max(1, Int(frame.plotWidth) / (label(start).count * (frame.width > 500 ? 12 : 9) + 26))
    let ticks = min(frame.ticks, room)
    let step = max(1, (count + ticks - 1) / ticks)
    let labels = stride(from: 0, to: count, by: step).map { place -> Markup in
      let x = frame.left + frame.plotWidth * Double(place) / Double(count)
      let time = AuditTime(milliseconds: start.milliseconds + Int64(place) * width) ?? start
      return """
        <line class="axis" x1="\(x.svg)" x2="\(x.svg)" y1="\(frame.bottom.svg)" y2="\((frame.bottom + 5).svg)" />\
        <text x="\(x.svg)" y="\((frame.bottom + 19).svg)" text-anchor="\(place == 0 ? "start" : "middle")">\
        \(label(time))</text>

        """
    }
    return """
      \(.joined(labels))<text x="\(frame.left.svg)" y="\((frame.bottom + 38).svg)">\(title)</text>
      """
  }

  private func label(_ time: AuditTime) -> String {
    let text = time.description
    let clock = text.dropFirst(11)
    switch span {
    case ..<10_000: return String(clock.prefix(10))
    case ..<600_000: return String(clock.prefix(8))
    case ..<86_400_000: return String(clock.prefix(5))
    case _: return width < 86_400_000 ? "\(text.dropFirst(5).prefix(5)) \(clock.prefix(5))" : String(text.prefix(10))
    }
  }

  private var title: String {
    "UTC, from \(start.description.prefix(10)); one bar: \(Self.words(width))"
  }

  /// A width in words: 500 ms, 30 minutes, 4 days.
  static func words(_ milliseconds: Int64) -> String {
    let units: [(Int64, String)] = [(86_400_000, "day"), (3_600_000, "hour"), (60_000, "minute"), (1000, "second")]
    guard let (size, name) = units.first(where: { milliseconds >= $0.0 && milliseconds % $0.0 == 0 }) else {
      return "\(milliseconds) ms"
    }
    let count = milliseconds / size
    return count == 1 ? "1 \(name)" : "\(count) \(name)s"
  }
}

/// The privacy budget over time: a line that only rises.
struct ReportCurve {
  private let points: [(time: AuditTime, total: Double)]

  init(_ charges: [PrivacyFigures.Charge]) {
    points = charges.compactMap { charge in
      charge.total?.value.flatMap { $0.isFinite && $0 >= 0 ? (charge.time, $0) : nil }
    }
  }

  /// Nothing if no charge tells the total.
  var markup: Markup {
    guard !points.isEmpty else { return "" }
    return """
      <figure><figcaption>Privacy budget used up (ε), after each charge</figcaption>
      \(drawing(ChartFrame(width: 1040, height: 220, left: 84, ticks: 8), "wide"))
      \(drawing(ChartFrame(width: 350, height: 210, left: 62, ticks: 3), "narrow"))</figure>

      """
  }

  private func drawing(_ frame: ChartFrame, _ name: String) -> Markup {
    let times = points.map(\.time.milliseconds)
    let first = times.min() ?? 0
    let span = max((times.max() ?? 0) - first, 1)
    let highest = points.map(\.total).max() ?? 0
    let top = highest > 0 ? highest * 1.1 : 1
    func x(_ time: AuditTime) -> Double {
      frame.left + Double(time.milliseconds - first) / Double(span) * frame.plotWidth
    }
    func y(_ total: Double) -> Double { frame.bottom - total / top * frame.plotHeight }
    var path = "M\(frame.left.svg) \(y(0).svg)"
    for point in points { path += "H\(x(point.time).svg)V\(y(point.total).svg)" }
    path += "H\(frame.right.svg)"
    let lines = [0, highest].map { value -> Markup in
      """
      <line class="\(value == 0 ? "axis" : "grid")" x1="\(frame.left.svg)" x2="\(frame.right.svg)" y1="\(y(value).svg)" \
      y2="\(y(value).svg)" /><text x="\((frame.left - 8).svg)" y="\((y(value) + 4).svg)" text-anchor="end">\
      \(Figures.decimals(value, 3))</text>

      """
    }
    let description = """
      Privacy budget used up: a line that rises from 0 to \(Figures.decimals(highest, 3)) in \(points.count) charges, from \
      \(points[0].time) to \(points[points.count - 1].time).
      """
    let axis = ChartTimeAxis(
      start: AuditTime(milliseconds: first) ?? points[0].time, width: max(span / 6, 1), count: 6)
    return """
      <svg class="\(name)" viewBox="0 0 \(frame.width) \(frame.height)" role="img" aria-label="\(description)">
      \(.joined(highest > 0 ? lines : [lines[0]]))<path class="curve" d="\(path)" />\
      \(axis.ticks(frame))</svg>
      """
  }
}

extension ChartTimeAxis {
  /// Without the word on bars.
  fileprivate func ticks(_ frame: ChartFrame) -> Markup {
    let marks = [(0, "start"), (count, "end")].map { place, anchor -> Markup in
      let x = frame.left + frame.plotWidth * Double(place) / Double(count)
      let time = AuditTime(milliseconds: start.milliseconds + Int64(place) * width) ?? start
      return """
        <text x="\(x.svg)" y="\((frame.bottom + 19).svg)" text-anchor="\(anchor)">\
        \(String(time.description.prefix(16).split(separator: "T").joined(separator: " ")))</text>

        """
    }
    return .joined(marks + ["<text x=\"\(frame.left.svg)\" y=\"\((frame.bottom + 38).svg)\">UTC</text>"])
  }
}
