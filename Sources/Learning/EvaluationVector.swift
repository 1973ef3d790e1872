/// A local evaluation as exact integer counters for a secure sum, and the sum read back.
///
/// Groups: `examples`, `correct`, `logLoss` (Σ of per-example log losses, each at most 64 and rounded to a multiple of
/// 2^-24), `positive` and `negative` (histograms of the scores of each class, `bins` counters each).
///
/// Bin of a logit z: ⌊bins · sigmoid(z / 4)⌋. Equal steps of probability would put all of a rare class into the first
/// bins, equal steps of logit need a range; this is fine in the middle (1/64 of a logit at 1024 bins) and still has 40
/// bins beyond |z| = 12 on either side. Scores of one bin count as tied. At 1024 bins the area under the curve is within
/// 0.002 of the exact one for any spread of logits between a tenth and ten.
public struct EvaluationVector: Sendable, Equatable {
  /// Largest log loss of one example; larger ones count as this.
  public static let lossLimit = 64.0
  static let scale = 0x1p24

  public let bins: Int
  /// Most rows an organisation may contribute.
  public let weightCap: Int
  public let layout: CounterLayout

  /// - Throws: `LearningError.vector` for bins outside 2…65536 or a cap outside `1...CounterLayout.maximumWeightCap`.
  public init(bins: Int, weightCap: Int) throws(LearningError) {
    guard 2...65536 ~= bins else { throw .vector(.bins(bins)) }
    guard 1...CounterLayout.maximumWeightCap ~= weightCap else { throw .vector(.capOutOfRange(weightCap)) }
    self.bins = bins
    self.weightCap = weightCap
    let rows = Int64(weightCap)
    layout = CounterLayout(groups: [
      CounterGroup(name: "examples", count: 1, bound: rows, isSigned: false),
      CounterGroup(name: "correct", count: 1, bound: rows, isSigned: false),
      CounterGroup(name: "logLoss", count: 1, bound: rows << 30, isSigned: false),
      CounterGroup(name: "positive", count: bins, bound: rows, isSigned: false),
      CounterGroup(name: "negative", count: bins, bound: rows, isSigned: false),
    ])
  }

  /// The bin of a logit, in `0..<bins`; never decreasing in the logit.
  public func bin(logit: Double) -> Int {
    min(Int(sigmoid(logit / 4) * Double(bins)), bins - 1)
  }

  /// The local term.
  ///
  /// - Throws: `LearningError` where counts differ, there are more rows than the cap, or a logit is not a number.
  public func encode(logits: [Double], labels: [UInt8]) throws(LearningError) -> [Int64] {
    guard logits.count == labels.count else {
      throw .vector(.length(expected: labels.count, found: logits.count))
    }
    guard labels.count <= weightCap else { throw .vector(.rowsAboveCap(rows: labels.count, cap: weightCap)) }
    var counters = Array(repeating: Int64(0), count: layout.counterCount)
    counters[0] = Int64(labels.count)
    for (row, logit) in logits.enumerated() {
      guard !logit.isNaN else { throw .vector(.scoreNotANumber(row: row)) }
      let isPositive = labels[row] == 1
      if (logit > 0) == isPositive { counters[1] += 1 }
      let loss = min(logLoss(logit: logit, label: labels[row]), Self.lossLimit)
      counters[2] += Int64((loss * Self.scale).rounded(.toNearestOrEven))
      counters[3 + (isPositive ? 0 : bins) + bin(logit: logit)] += 1
    }
    return counters
  }

  /// What a term, or a sum of terms, says.
  ///
  /// - Throws: `LearningError.vector` for a wrong length or for counters that no honest terms can sum to.
  public func decode(_ counters: [Int64]) throws(LearningError) -> EvaluationSums {
    guard counters.count == layout.counterCount else {
      throw .vector(.length(expected: layout.counterCount, found: counters.count))
    }
    let (examples, correct, loss) = (counters[0], counters[1], counters[2])
    guard examples >= 0, 0...examples ~= correct else { throw .vector(.implausible(group: "correct")) }
    guard loss >= 0, loss >> 30 <= examples else { throw .vector(.implausible(group: "logLoss")) }
    var remaining = examples
    for count in counters[3...] {
      guard count >= 0, count <= remaining else { throw .vector(.implausible(group: "histograms")) }
      remaining -= count
    }
    guard remaining == 0 else { throw .vector(.implausible(group: "histograms")) }
    return EvaluationSums(
      examples: examples, correct: correct, logLoss: Double(loss) / Self.scale,
      positiveHistogram: Array(counters[3..<3 + bins]), negativeHistogram: Array(counters[(3 + bins)...]))
  }
}

/// Summed evaluations of a cohort.
public struct EvaluationSums: Sendable, Equatable {
  public let examples: Int64
  public let correct: Int64
  /// Σ log loss.
  public let logLoss: Double
  /// Positive examples a score bin, bins ascending.
  public let positiveHistogram: [Int64]
  /// Negative examples a score bin, bins ascending.
  public let negativeHistogram: [Int64]

  /// Metrics over all examples of the cohort; areas as exact as the bins.
  ///
  /// - Throws: `LearningError.strategy(.noExamples)`.
  public func metrics() throws(LearningError) -> BinaryMetrics {
    guard examples > 0 else { throw .strategy(.noExamples) }
    let curve = ThresholdCurve(positiveHistogram: positiveHistogram, negativeHistogram: negativeHistogram)
    return BinaryMetrics(
      examples: Int(examples), accuracy: Double(correct) / Double(examples), logLoss: logLoss / Double(examples),
      rocAuc: curve.rocAuc, averagePrecision: curve.averagePrecision)
  }
}
