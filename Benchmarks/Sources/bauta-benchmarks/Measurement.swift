import Foundation

// Not a harness of percentiles: this machine is compared with itself. What counts is the ratio of a rate to that of
// `openssl speed`, measured in turns in one session, so that clock frequency and neighbours hit both alike. So each
// repetition measures the reference and then ours, a ratio is taken within the repetition, and the median of the ratios
// is shown with the smallest and the largest.

/// Time that a piece of work took.
struct Elapsed {
  /// Seconds of processor time of this process, user and system, over all threads.
  var cpu: Double
  /// Seconds of wall time.
  var wall: Double

  /// What a comparison on so many cores uses: processor time on one core, which a busy machine distorts less, and wall
  /// time on several, because waiting for one another is part of the cost.
  func seconds(cores: Int) -> Double { cores == 1 ? cpu : wall }

  static func / (elapsed: Elapsed, count: Int) -> Elapsed {
    Elapsed(cpu: elapsed.cpu / Double(count), wall: elapsed.wall / Double(count))
  }
}

/// Runs work once and says how long it took.
func measure(_ work: () throws -> Void) rethrows -> Elapsed {
  try measured(work).elapsed
}

/// As above, for work that has a result.
func measured<Value>(_ work: () throws -> Value) rethrows -> (value: Value, elapsed: Elapsed) {
  let (cpu, wall) = (seconds(of: CLOCK_PROCESS_CPUTIME_ID), seconds(of: CLOCK_MONOTONIC))
  let value = try work()
  let elapsed = Elapsed(
    cpu: seconds(of: CLOCK_PROCESS_CPUTIME_ID) - cpu, wall: seconds(of: CLOCK_MONOTONIC) - wall)
  return (value, elapsed)
}

/// Runs work as often as fits into some wall time, at least once, and gives the mean of one run.
func measure(forAtLeast least: Double, _ work: () throws -> Void) rethrows -> Elapsed {
  var count = 0
  let beginning = seconds(of: CLOCK_MONOTONIC)
  let total = try measure {
    repeat {
      try work()
      count += 1
    } while seconds(of: CLOCK_MONOTONIC) - beginning < least
  }
  return total / count
}

private func seconds(of clock: clockid_t) -> Double {
  var time = timespec()
  clock_gettime(clock, &time)
  return Double(time.tv_sec) + Double(time.tv_nsec) * 1e-9
}

/// A figure over the repetitions.
struct Samples {
  private(set) var values: [Double] = []

  mutating func add(_ value: Double) { values.append(value) }

  var median: Double {
    let sorted = values.sorted()
    guard let last = sorted.indices.last else { return .nan }
    return (sorted[last / 2] + sorted[(last + 1) / 2]) / 2
  }

  /// Median, and smallest to largest behind it if there are several.
  func text(_ decimals: Int) -> String {
    guard let least = values.min(), let most = values.max() else { return "–" }
    let middle = Figure.decimals(median, decimals)
    guard values.count > 1 else { return middle }
    return "\(middle) (\(Figure.decimals(least, decimals))–\(Figure.decimals(most, decimals)))"
  }
}

/// A rate of ours with the ratios to the reference, taken in the same repetitions.
struct Comparison {
  /// Bytes per second.
  private(set) var rates = Samples()
  private(set) var ratios = Samples()

  mutating func add(rate: Double, reference: Double) {
    rates.add(rate)
    ratios.add(rate / reference)
  }

  /// Gigabytes per second, and the ratio.
  var cells: [String] { [Figure.decimals(rates.median / 1e9, 2), ratios.text(2)] }
}

/// Hides a result from the optimiser, so that computing it is not left out.
@inline(never)
func keep<Value: ~Copyable>(_ value: borrowing Value) {}
