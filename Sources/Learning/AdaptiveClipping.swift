/// The clipping norm of the next round from a noised count of who was clipped.
///
/// Implements Andrew et al. 2021 ("Differentially Private Learning with Adaptive Clipping"): every contribution sends
/// +1 if its norm was at most C, else −1, noised and summed as one more counter; C moves geometrically towards the
/// quantile asked for:
///
///     C ← C · exp(−learningRate · (b̄ − quantile))
///
/// with b̄ the noised share that was not clipped, by the public number of contributions, held in 0…1. A pure function of
/// published sums with an exponential of its own: every client gets the same bits. What the bit costs is for the
/// accountant: it is not free.
public struct AdaptiveClipping: Sendable, Equatable {
  /// Share of contributions that should not be clipped.
  public let quantile: Double
  public let learningRate: Double
  /// The norm never leaves this range, whatever the noise.
  public let range: ClosedRange<Double>

  /// - Parameters:
  ///   - quantile: 0…1; ½ is usual.
  ///   - learningRate: above 0, at most 1; 0.2 is usual.
  ///   - range: finite, above 0.
  /// - Throws: `LearningError.privacy(.constant)` for a value out of range.
  public init(quantile: Double = 0.5, learningRate: Double = 0.2, range: ClosedRange<Double>) throws(LearningError) {
    guard quantile >= 0, quantile <= 1 else {
      throw .privacy(.constant(name: "the clipping quantile", value: quantile, requirement: "in 0…1"))
    }
    guard learningRate > 0, learningRate <= 1 else {
      throw .privacy(
        .constant(name: "the clipping norm's learning rate", value: learningRate, requirement: "above 0, at most 1"))
    }
    guard range.lowerBound > 0 else {
      throw .privacy(.constant(name: "the smallest clipping norm", value: range.lowerBound, requirement: "above 0"))
    }
    guard range.upperBound.isFinite else {
      throw .privacy(.constant(name: "the largest clipping norm", value: range.upperBound, requirement: "finite"))
    }
    self.quantile = quantile
    self.learningRate = learningRate
    self.range = range
  }

  /// What one contribution adds to the counter, before noise; a norm that is not a number counts as clipped.
  public static func bit(norm: Double, clippingNorm: Double) -> Int64 {
    norm <= clippingNorm ? 1 : -1
  }

  /// The norm of the next round.
  ///
  /// - Parameters:
  ///   - norm: this round's.
  ///   - bitSum: the noised sum of ``bit(norm:clippingNorm:)``.
  ///   - expectedContributions: the plan's public number of contributions, above 0.
  /// - Throws: `LearningError.privacy(.constant)` for a norm or a number out of range.
  public func next(norm: Double, bitSum: Int64, expectedContributions: Double) throws(LearningError) -> Double {
    guard range.contains(norm) else {
      throw .privacy(
        .constant(
          name: "the clipping norm", value: norm, requirement: "in \(range.lowerBound)…\(range.upperBound)"))
    }
    guard expectedContributions.isFinite, expectedContributions > 0 else {
      throw .privacy(
        .constant(name: "the number of contributions", value: expectedContributions, requirement: "above 0"))
    }
    let share = min(max((Double(bitSum) / expectedContributions + 1) / 2, 0), 1)
    let moved = norm * portableExponential(-learningRate * (share - quantile))
    return min(max(moved, range.lowerBound), range.upperBound)
  }
}
