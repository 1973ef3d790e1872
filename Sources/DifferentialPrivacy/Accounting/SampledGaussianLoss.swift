import Foundation

/// The loss of a sampled Gaussian mechanism at a place u of the noise, in standard deviations from the mean of N(0, z²).
///
/// With μ = 1/z and q the sampling probability, ℓ(u) = ln(1 − q + q·exp(μu − μ²/2)) is the log-likelihood ratio of the
/// mixture over the Gaussian, and rises with u.
struct SampledGaussianLoss {
  enum Direction {
    /// P is the mixture, Q the Gaussian; the loss is ℓ.
    case remove
    /// P is the Gaussian, Q the mixture; the loss is −ℓ.
    case add
  }

  /// Places further out than this from both means are the tail: less than 1e-23.
  static let reach = 10.0

  let shift: Double
  let probability: Double
  let direction: Direction

  init(noise: Double, probability: Double, direction: Direction) {
    shift = 1 / noise
    self.probability = probability
    self.direction = direction
  }

  /// Least and largest loss but for the tail.
  var range: ClosedRange<Double> {
    let low = logRatio(-Self.reach)
    let high = logRatio(Self.reach + shift)
    return direction == .remove ? low...high : -high...(-low)
  }

  /// Probability under P beyond the range, where the loss is large and where it is small.
  var tails: (large: Double, small: Double) {
    let near = NormalDistribution.cumulative(-Self.reach)
    let far = NormalDistribution.cumulative(-Self.reach - shift)
    switch direction {
    case .remove:
      return (probability * near + (1 - probability) * far, (1 - probability) * near + probability * far)
    case .add: return (near, far)
    }
  }

  /// ∫ p(u) du and ∫ p(u)·(1 − exp(reference − loss(u))) du over all u whose loss is from `low` to `high`.
  func integrals(from low: Double, to high: Double, reference: Double) -> (mass: Double, excess: Double) {
    let ends =
      direction == .remove ? (place(ofRatio: low), place(ofRatio: high)) : (place(ofRatio: -high), place(ofRatio: -low))
    guard ends.1 > ends.0 else { return (0, 0) }
    // Both the density and the ratio are smooth on the scale of 1 and of z.
    let panels = max(1, ((ends.1 - ends.0) * max(1, shift) * 2).rounded(.up))
    let half = (ends.1 - ends.0) / (2 * panels)
    let rule = 2 * half * max(1, shift) < 0.03 ? Self.shortRule : GaussQuadrature.rule
    var mass = 0.0
    var excess = 0.0
    for panel in 0..<Int(panels) {
      let middle = ends.0 + half * Double(2 * panel + 1)
      for (point, weight) in rule {
        let u = middle + half * point
        let ratio = logRatio(u)
        let density = weight * exp(-0.5 * u * u - NormalDistribution.logRootTwoPi + (direction == .remove ? ratio : 0))
        mass += density
        excess -= density * expm1(reference - (direction == .remove ? ratio : -ratio))
      }
    }
    return (mass * half, excess * half)
  }

  private func logRatio(_ u: Double) -> Double {
    let exponent = shift * u - 0.5 * shift * shift
    if probability == 1 { return exponent }
    if exponent > 1 { return exponent + log(probability + (1 - probability) * exp(-exponent)) }
    return log1p(probability * expm1(exponent))
  }

  /// Where ℓ has a value, cut to the range.
  private func place(ofRatio ratio: Double) -> Double {
    let exponent: Double
    if probability == 1 {
      exponent = ratio
    } else if ratio > 1 {
      exponent = ratio + log((1 - (1 - probability) * exp(-ratio)) / probability)
    } else {
      let relative = expm1(ratio) / probability
      exponent = relative > -1 ? log1p(relative) : -.infinity
    }
    return min(Self.reach + shift, max(-Self.reach, exponent / shift + 0.5 * shift))
  }

  /// Exact up to degree 7.
  private static let shortRule: [(point: Double, weight: Double)] = [
    (-0.861_136_311_594_052_58, 0.347_854_845_137_453_86), (-0.339_981_043_584_856_26, 0.652_145_154_862_546_14),
    (0.339_981_043_584_856_26, 0.652_145_154_862_546_14), (0.861_136_311_594_052_58, 0.347_854_845_137_453_86),
  ]
}

/// A sampled Gaussian mechanism's loss on multiples of an interval.
struct SampledGaussianGrid {
  private let loss: SampledGaussianLoss
  private let interval: Double
  private let low: Double
  private let high: Double

  init(loss: SampledGaussianLoss, interval: Double) {
    self.loss = loss
    self.interval = interval
    low = (loss.range.lowerBound / interval).rounded(.down)
    high = max(low + 1, (loss.range.upperBound / interval).rounded(.up))
  }

  /// How many multiples there are.
  var cells: Double { high - low + 1 }

  /// Between two multiples, what must go up so that the mass under Q is kept too, goes up.
  func pessimistic() -> PrivacyLossMass {
    var masses = [Double](repeating: 0, count: Int(cells))
    let growth = -expm1(-interval)
    for index in 0..<(masses.count - 1) {
      let bottom = (low + Double(index)) * interval
      let (mass, excess) = loss.integrals(
        from: bottom, to: (low + Double(index) + 1) * interval, reference: bottom)
      let allowance = mass * LossRounding.allowance(loss: bottom, interval: interval)
      let up = min(mass, max(0, excess / growth) + allowance)
      masses[index] += (mass - up) * (1 + LossRounding.mass)
      masses[index + 1] += up * (1 + LossRounding.mass)
    }
    masses[0] += loss.tails.small
    return PrivacyLossMass(first: Int(low), masses: masses, infinite: loss.tails.large, slack: 0)
  }

  /// Each multiple takes what is from half an interval below to half an interval above or as little more as its mean
  /// likelihood ratio needs; where that does not do, it goes to the multiple below.
  func optimistic() -> PrivacyLossMass {
    var masses = [Double](repeating: 0, count: Int(cells))
    var reached = loss.range.lowerBound
    for index in masses.indices {
      let centre = (low + Double(index)) * interval
      let end = centre + 0.5 * interval
      guard end > reached else { continue }
      let base = loss.integrals(from: reached, to: end, reference: centre)
      let needed = base.mass * 2 * interval * LossRounding.allowance(loss: centre, interval: interval)
      if base.excess >= needed {
        masses[index] += base.mass
        reached = end
      } else if let more = stretch(base, at: centre, needed: needed) {
        masses[index] += base.mass + more.mass
        reached = end + more.length
      } else {
        masses[max(0, index - 1)] += index > 0 ? base.mass : 0
        reached = end
      }
    }
    for index in masses.indices { masses[index] *= 1 - LossRounding.mass }
    return PrivacyLossMass(first: Int(low), masses: masses, infinite: 0, slack: 0)
  }

  /// What to add above the middle between this multiple and the next.
  private func stretch(
    _ base: (mass: Double, excess: Double), at centre: Double, needed: Double
  ) -> (length: Double, mass: Double)? {
    let start = centre + 0.5 * interval
    // As if the density went on as it was.
    var length = (needed - base.excess) / (base.mass * 0.5) * 1.02
    for _ in 0..<6 {
      guard length < 0.49 * interval else { return nil }
      let more = loss.integrals(from: start, to: start + length, reference: centre)
      if base.excess + more.excess >= needed { return (length, more.mass) }
      length = min(length * 1.5, length * 1.02 * (needed - base.excess) / max(more.excess, 1e-300))
    }
    return nil
  }
}
