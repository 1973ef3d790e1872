import ArgumentParser
import Foundation
import SecureAggregation

/// Peak memory, each in a process of its own.
struct MemorySuite {
  let effort: Effort

  private static let gibibyte = Double(1 << 30)

  func run() throws -> SuiteResult {
    let dimension = effort.isQuick ? 1_000_000 : 10_000_000
    var measurements = [
      MemoryMeasurement(subject: .client, organizations: 100, dimension: dimension),
      MemoryMeasurement(subject: .server, organizations: 100, dimension: dimension),
    ]
    if !effort.isQuick {
      measurements += [
        MemoryMeasurement(subject: .simulation, organizations: 1000, dimension: 100_000),
        MemoryMeasurement(subject: .simulation, organizations: 10_000, dimension: 10_000),
      ]
    }
    var section = Section(
      title: "Peak memory",
      notes: [
        "Resident memory of a process that does nothing else. Of a client: masking its term, which is in memory as "
          + "integers, into a file. Of the server: a whole sum with masked inputs in files; the process drives the hundred "
          + "clients too, one after another, so the server's own peak is lower. Both with B = 32 on the complete graph. "
          + "Of a simulation: all organisations, a tenth of which leaves, and the server."
      ],
      columns: ["what", "n", "d", "peak", "before it", "peak / (4 · d bytes)", "time"])
    var goals: [Goal] = []
    for measurement in measurements {
      let figure = try measurement.figureOfChild()
      section.rows.append(row(measurement, figure))
      if let goal = goal(measurement, figure) { goals.append(goal) }
    }
    return SuiteResult(sections: [section], goals: goals)
  }

  private func row(_ measurement: MemoryMeasurement, _ figure: MemoryFigure) -> [String] {
    // Words of one organisation say nothing about many in one process.
    let words = Double(4 * measurement.dimension)
    return [
      measurement.subject.rawValue, "\(measurement.organizations)", Figure.dimension(measurement.dimension),
      Figure.bytes(figure.peak), Figure.bytes(figure.before),
      measurement.subject == .simulation ? "–" : Figure.decimals(figure.peak / words, 2), Figure.time(figure.seconds),
    ]
  }

  private func goal(_ measurement: MemoryMeasurement, _ figure: MemoryFigure) -> Goal? {
    let size = "n = \(measurement.organizations), d = \(Figure.dimension(measurement.dimension))"
    func below(_ limit: Double, _ text: String) -> Goal {
      Goal(text: text, figure: Figure.bytes(figure.peak), isMet: figure.peak < limit)
    }
    switch measurement.subject {
    case .server: return below(Self.gibibyte, "memory of the server, \(size): under 1 GiB")
    case .simulation where measurement.organizations == 10_000:
      return below(8 * Self.gibibyte, "memory of a simulation, \(size): under 8 GiB")
    case .simulation, .client: return nil
    }
  }
}

/// Bytes of resident memory, and how long it took.
struct MemoryFigure {
  let peak: Double
  /// Resident when the measured part began.
  let before: Double
  let seconds: Double

  init(peak: Double, before: Double, seconds: Double) {
    self.peak = peak
    self.before = before
    self.seconds = seconds
  }

  /// Of a line that a child process printed.
  init?(line: String) {
    let numbers = line.split(separator: " ").compactMap { Double($0) }
    guard numbers.count == 3 else { return nil }
    self.init(peak: numbers[0], before: numbers[1], seconds: numbers[2])
  }

  var line: String { "\(peak) \(before) \(seconds)" }
}

/// One measurement, as it is handed to the child process: `server:100:10000000`.
struct MemoryMeasurement: ExpressibleByArgument {
  enum Subject: String {
    case client
    case server
    case simulation
  }

  let subject: Subject
  let organizations: Int
  let dimension: Int

  init(subject: Subject, organizations: Int, dimension: Int) {
    self.subject = subject
    self.organizations = organizations
    self.dimension = dimension
  }

  init?(argument: String) {
    let words = argument.split(separator: ":").map(String.init)
    guard words.count == 3, let subject = Subject(rawValue: words[0]), let organizations = Int(words[1]),
      let dimension = Int(words[2])
    else { return nil }
    self.init(subject: subject, organizations: organizations, dimension: dimension)
  }

  func figureOfChild() throws -> MemoryFigure {
    let argument = "\(subject.rawValue):\(organizations):\(dimension)"
    let lines = try ChildProcess.linesOfSelf(["--measurement", argument])
    guard let line = lines.last, let figure = MemoryFigure(line: line) else {
      throw BenchmarkError.noFigure(command: argument)
    }
    return figure
  }

  /// In the child.
  func run() throws -> MemoryFigure {
    switch subject {
    case .client: return try client()
    case .server: return try server()
    case .simulation:
      let before = try ResidentMemory.current
      let elapsed = try measure {
        keep(try RoundsSuite.simulate(organizations: organizations, dimension: dimension).seconds)
      }
      return MemoryFigure(peak: try ResidentMemory.peak, before: before, seconds: elapsed.wall)
    }
  }

  /// A client that masks a term. The others and the server go with it as far as it needs them, with a sum of which the
  /// server keeps the zeros: that is what was there before.
  private func client() throws -> MemoryFigure {
    var sum = try drivenSum()
    let lanes = Lanes(count: Machine.cores)
    try sum.advance(to: .maskedInputCollection, lanes: lanes)
    let spool = SpoolFile()
    let before = try ResidentMemory.current
    let elapsed = try measure {
      let values = [Double](repeating: 0.25, count: dimension)
      let term = try EncodedTerm.encode(values: values, counters: [], context: sum.context).term
      try spool.begin()
      let member = sum.members[organizations / 2]
      let request = sum.server.message(for: member.name)
      keep(try member.answer(request, term: term, lanes: lanes) { try spool.append($0) })
      keep(try spool.finish().byteCount)
    }
    return MemoryFigure(peak: try ResidentMemory.peak, before: before, seconds: elapsed.wall)
  }

  private func server() throws -> MemoryFigure {
    let before = try ResidentMemory.current
    let elapsed = try measure {
      var sum = try drivenSum()
      let lanes = Lanes(count: Machine.cores)
      try sum.advance(to: .completed, lanes: lanes, spool: SpoolFile())
      // Published in its encoding, and the model in floating point.
      let result = try sum.result(of: sum.server, survivors: organizations)
      keep(result.encoded().count)
      keep(result.tensors.count)
    }
    return MemoryFigure(peak: try ResidentMemory.peak, before: before, seconds: elapsed.wall)
  }

  private func drivenSum() throws -> DrivenSum {
    try DrivenSum(
      organizations: organizations, dimension: dimension, bits: 32, corrupt: organizations / 20, dropouts: nil,
      lanes: Lanes(count: Machine.cores))
  }
}

/// What the system says of this process.
///
/// Not `getrusage`, whose peak a new process inherits from the one that started it.
enum ResidentMemory {
  static var current: Double { get throws { try field("VmRSS") } }
  static var peak: Double { get throws { try field("VmHWM") } }

  private static func field(_ name: String) throws -> Double {
    let status = try String(contentsOfFile: "/proc/self/status", encoding: .utf8)
    // VmHWM:     12345 kB
    for line in status.split(separator: "\n") where line.hasPrefix(name + ":") {
      let words = line.split(separator: " ", omittingEmptySubsequences: true)
      if let kibibytes = words.dropFirst().first.flatMap({ Double($0) }) { return kibibytes * 1024 }
    }
    throw BenchmarkError.noFigure(command: "/proc/self/status")
  }
}
