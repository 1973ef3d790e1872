/// How well scores tell positives from negatives.
public struct BinaryMetrics: Sendable, Equatable {
  public let examples: Int
  /// Share of examples whose logit has the sign of their class; a logit of zero predicts the negative class.
  public let accuracy: Double
  /// Mean of −log of the probability given to the true class, unweighted.
  public let logLoss: Double
  /// Area under the receiver operating characteristic, ties counting half; nil where one class is absent.
  public let rocAuc: Double?
  /// Standard error of ``rocAuc`` by noise that was added to what it was computed from; nil without noise.
  public let rocAucNoiseError: Double?
  /// Σ (Rₖ − Rₖ₋₁) Pₖ over the distinct thresholds, as scikit-learn defines it; nil where no example is positive.
  public let averagePrecision: Double?

  public init(
    examples: Int, accuracy: Double, logLoss: Double, rocAuc: Double?, rocAucNoiseError: Double? = nil,
    averagePrecision: Double?
  ) {
    self.examples = examples
    self.accuracy = accuracy
    self.logLoss = logLoss
    self.rocAuc = rocAuc
    self.rocAucNoiseError = rocAucNoiseError
    self.averagePrecision = averagePrecision
  }

  /// Exact metrics of examples one may see.
  ///
  /// - Throws: `LearningError` where counts differ, there are no examples, or a logit is not a number.
  public init(logits: [Double], labels: [UInt8]) throws(LearningError) {
    guard logits.count == labels.count else {
      throw .vector(.length(expected: labels.count, found: logits.count))
    }
    guard !labels.isEmpty else { throw .strategy(.noExamples) }
    var correct = 0
    var loss = 0.0
    for (row, logit) in logits.enumerated() {
      guard !logit.isNaN else { throw .vector(.scoreNotANumber(row: row)) }
      if (logit > 0) == (labels[row] == 1) { correct += 1 }
      loss += Learning.logLoss(logit: logit, label: labels[row])
    }
    let curve = ThresholdCurve(scores: logits, labels: labels)
    self.init(
      examples: labels.count, accuracy: Double(correct) / Double(labels.count),
      logLoss: loss / Double(labels.count), rocAuc: curve.rocAuc, averagePrecision: curve.averagePrecision)
  }

  /// Names and values as reports print them; absent ones left out.
  public var named: [String: Double] {
    var values = ["accuracy": accuracy, "logLoss": logLoss]
    values["rocAuc"] = rocAuc
    values["rocAucNoiseError"] = rocAucNoiseError
    values["averagePrecision"] = averagePrecision
    return values
  }
}

/// Positives and negatives at every distinct score, from the highest score down.
struct ThresholdCurve {
  private var steps: [(positives: Int64, negatives: Int64)] = []
  private var positives: Int64 = 0
  private var negatives: Int64 = 0

  init(scores: [Double], labels: [UInt8]) {
    let order = scores.indices.sorted { scores[$0] > scores[$1] }
    var previous: Double?
    for index in order {
      let (positive, negative): (Int64, Int64) = labels[index] == 1 ? (1, 0) : (0, 1)
      if let score = previous, score == scores[index], let last = steps.indices.last {
        steps[last].positives += positive
        steps[last].negatives += negative
      } else {
        steps.append((positive, negative))
      }
      previous = scores[index]
      positives += positive
      negatives += negative
    }
  }

  /// From histograms over ascending score bins; a bin is one threshold.
  init(positiveHistogram: [Int64], negativeHistogram: [Int64]) {
    steps = zip(positiveHistogram, negativeHistogram).reversed().map { ($0, $1) }
    positives = positiveHistogram.reduce(0, +)
    negatives = negativeHistogram.reduce(0, +)
  }

  var rocAuc: Double? {
    guard positives > 0, negatives > 0 else { return nil }
    var above = 0.0
    var area = 0.0
    for step in steps {
      area += Double(step.negatives) * (above + Double(step.positives) / 2)
      above += Double(step.positives)
    }
    return area / (Double(positives) * Double(negatives))
  }

  var averagePrecision: Double? {
    guard positives > 0 else { return nil }
    var truePositives: Int64 = 0
    var predicted: Int64 = 0
    var sum = 0.0
    for step in steps where step.positives + step.negatives > 0 {
      truePositives += step.positives
      predicted += step.positives + step.negatives
      sum += Double(step.positives) * Double(truePositives) / Double(predicted)
    }
    return sum / Double(positives)
  }
}
