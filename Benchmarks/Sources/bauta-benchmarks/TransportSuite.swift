import Foundation

/// Streams of gRPC over mutual TLS against a plain pipe of TLS, both on loopback.
struct TransportSuite {
  let effort: Effort

  private static let pieces = [16 * 1024, 64 * 1024]
  private static let messages = [64 * 1024, 256 * 1024, 1024 * 1024]
  /// What a stream is to reach of the plain pipe.
  private static let goal = 0.5

  private var total: Int { (effort.isQuick ? 64 : 256) * 1024 * 1024 }

  private enum Direction: CaseIterable {
    case upload, download

    var name: String {
      switch self {
      case .upload: "client streams to server"
      case .download: "server streams to client"
      }
    }
  }

  private struct Stream: Hashable {
    let direction: Direction
    let message: Int
  }

  func run() async throws -> SuiteResult {
    let federation = try BenchmarkFederation()
    let pipe = try PlainPipe(identity: federation.server)
    var plain = [Samples](repeating: Samples(), count: Self.pieces.count)
    let streams = Direction.allCases.flatMap { direction in
      Self.messages.map { Stream(direction: direction, message: $0) }
    }
    var comparisons = [PipeComparison](repeating: PipeComparison(), count: streams.count)
    let total = total
    try await StreamedCalls.connected(federation) { calls in
      // The first streams find buffers and windows small.
      _ = try await calls.secondsOfUpload(total: total / 4, message: Self.messages[0])
      _ = try await calls.secondsOfDownload(total: total / 4, message: Self.messages[0])
    }
    for _ in 0..<effort.repetitions {
      var reference = 0.0
      for (index, piece) in Self.pieces.enumerated() {
        let rate = Double(total) / (try pipe.seconds(sending: total, piece: piece))
        plain[index].add(rate)
        reference = max(reference, rate)
      }
      let rates = try await StreamedCalls.connected(federation) { calls in
        var rates: [Double] = []
        for stream in streams {
          let seconds =
            switch stream.direction {
            case .upload: try await calls.secondsOfUpload(total: total, message: stream.message)
            case .download: try await calls.secondsOfDownload(total: total, message: stream.message)
            }
          rates.append(Double(total) / seconds)
        }
        return rates
      }
      for (index, rate) in rates.enumerated() { comparisons[index].add(rate: rate, reference: reference) }
    }
    return result(plain: plain, streams: zip(streams, comparisons).map { ($0, $1) })
  }

  private func result(plain: [Samples], streams: [(Stream, PipeComparison)]) -> SuiteResult {
    var section = Section(
      title: "Streams over mutual TLS",
      notes: [
        "\(Figure.bytes(Double(total))) a stream, wall time, on loopback. The plain pipe is two threads that write and read "
          + "TLS 1.3 (AES-256-GCM) on blocking sockets. Ratios are of medians, to the faster of the two pipes of the same "
          + "repetition; smallest and largest of a repetition in parentheses. Client and server have one event loop each."
      ],
      columns: ["what", "pieces or messages", "MB/s", "ratio to the plain pipe"])
    for (piece, samples) in zip(Self.pieces, plain) {
      section.rows.append(["plain pipe", Figure.bytes(Double(piece)), megabytes(samples.median), "–"])
    }
    var goals: [Goal] = []
    for (stream, comparison) in streams {
      let size = Figure.bytes(Double(stream.message))
      section.rows.append([stream.direction.name, size, megabytes(comparison.rates.median), comparison.text])
      goals.append(
        Goal(
          text: "\(stream.direction.name), messages of \(size): at least \(Self.goal) of a plain pipe",
          figure: comparison.text, isMet: comparison.ratioOfMedians >= Self.goal))
    }
    return SuiteResult(sections: [section], goals: goals)
  }

  private func megabytes(_ rate: Double) -> String { Figure.grouped(Int((rate / 1e6).rounded())) }
}

/// Rates of a stream and of the pipe before it.
private struct PipeComparison {
  private(set) var rates = Samples()
  private var references = Samples()
  private var ratios = Samples()

  mutating func add(rate: Double, reference: Double) {
    rates.add(rate)
    references.add(reference)
    ratios.add(rate / reference)
  }

  var ratioOfMedians: Double { rates.median / references.median }

  var text: String {
    let (least, most) = (ratios.values.min() ?? .nan, ratios.values.max() ?? .nan)
    return "\(Figure.decimals(ratioOfMedians, 2)) (\(Figure.decimals(least, 2))–\(Figure.decimals(most, 2)))"
  }
}
