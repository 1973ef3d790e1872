import Foundation

/// Which side of the truth an estimate is on.
public enum PrivacyLossEstimate: String, Hashable, Sendable {
  /// ε and δ are never too small: what a promise rests on.
  case pessimistic
  /// ε and δ are never too large: only for showing how tight the other is.
  case optimistic
}

/// The distribution of the privacy loss in one direction, on multiples of an interval.
///
/// `masses[i]` is the probability, under the first of the two outputs, of a loss of (first + i)·interval. What is lost to
/// rounding and cutting is in `slack`: the true δ(ε) of the distribution meant is within `slack` of the computed, for every
/// real ε, and so it stays when distributions are composed, since δ of a composition is a mean of δ of a part.
struct PrivacyLossMass: Sendable {
  var first: Int
  var masses: [Double]
  /// Probability of an infinite loss.
  var infinite: Double
  var slack: Double

  /// Sums of positive numbers, up to 2²² of them, err relatively by less.
  private static let summation = 1e-9

  /// Of no release: a loss of 0.
  static let none = PrivacyLossMass(first: 0, masses: [1], infinite: 0, slack: 0)

  var last: Int { first + masses.count - 1 }

  func delta(epsilon: Double, interval: Double, estimate: PrivacyLossEstimate) -> Double {
    guard epsilon < .infinity else {
      return estimate == .pessimistic ? min(1, infinite + slack) : max(0, infinite - slack)
    }
    var sum = infinite
    for (index, mass) in masses.enumerated() {
      let excess = Double(first + index) * interval - epsilon
      if excess > 0 { sum -= mass * expm1(-excess) }
    }
    switch estimate {
    case .pessimistic: return min(1, sum * (1 + Self.summation) + slack)
    case .optimistic: return max(0, sum * (1 - Self.summation) - slack)
    }
  }

  /// The ε at which δ is met, going down from the largest loss: with L the mass at and above a loss, each weighted by
  /// exp(that loss − its own), δ grows by (1 − exp(−interval))·L from one multiple to the next below. Nothing cancels.
  func epsilon(delta: Double, interval: Double, estimate: PrivacyLossEstimate) -> Double {
    if delta >= 1 { return 0 }
    let target: Double
    switch estimate {
    case .pessimistic: target = (delta - slack) * (1 - Self.summation)
    case .optimistic: target = (delta + slack) * (1 + Self.summation)
    }
    guard infinite <= target else { return .infinity }
    let decay = exp(-interval)
    let growth = -expm1(-interval)
    var reached = infinite
    var weighted = 0.0
    for index in masses.indices.reversed() {
      guard first + index > 0 else { return 0 }
      weighted = weighted * decay + masses[index]
      // Below the first multiple there is no mass, and the same formula goes on.
      if reached + growth * weighted > target || index == 0 {
        let share = (target - reached) / weighted
        guard share < 1 else { return 0 }
        return max(0, Double(first + index) * interval + log1p(-share))
      }
      reached += growth * weighted
    }
    return 0
  }
}

extension PrivacyLossMass {
  /// Probability that a composed loss lies outside the window that is kept, on either side.
  private static let cutTail = 1e-18

  /// The loss of all releases together: the convolution, by way of the Fourier transform.
  ///
  /// The window leaves out less than `cutTail` on either side, by Chernoff's bound; what is outside comes back at the other
  /// end, and `cutTail` is added to the slack for it. So is the transform's rounding. With F the transform, T releases, and
  /// κ the relative error of a transformed value, F^T errs by at most T·(κ + √5·u) at each frequency. δ(ε) is a sum over
  /// losses with weights that rise from 0 to 1 once, hence by Abel's summation of at most 1/sin(πk/N) at frequency k: the
  /// error of δ is at most T·(κ + √5·u)·(1.37 + (2/π)(1 + ln(N/2))). The transform back adds κ·√N·‖masses‖₂.
  static func composed(
    _ parts: [(mass: PrivacyLossMass, count: Int)], interval: Double, estimate: PrivacyLossEstimate
  ) throws(PrivacyAccountingError) -> PrivacyLossMass {
    let parts = parts.filter { $0.count > 0 }
    guard let only = parts.first else { return .none }
    if parts.count == 1, only.count == 1 { return only.mass }
    let window = Window(parts, interval: interval, tail: cutTail)
    let cells = window.high - window.low + 1
    guard cells <= Double(PrivacyLossDistribution.maximumCells) else { throw .distributionTooLarge(cells: cells) }
    let levels = max(1, Int(log2(cells).rounded(.up)))
    let low = Int(window.low)
    var masses = convolution(parts, levels: levels, low: low)
    var slack = cutTail
    if estimate == .optimistic { slack -= masses.reduce(0) { $0 + min(0, $1) } }
    for index in masses.indices { masses[index] = max(0, masses[index]) }
    // Of at least 20 levels, so that the bound does not shrink when the grid gets coarser.
    let error = FourierTransform.relativeError(levels: max(20, levels))
    let releases = parts.reduce(0) { $0 + Double($1.count) }
    let frequencies = 1.37 + 2 / Double.pi * (1 + log(2) * Double(max(20, levels) - 1))
    slack += releases * (error + 2.24 * FourierTransform.unitRoundoff) * frequencies
    let norm = masses.reduce(0) { $0 + $1 * $1 }.squareRoot()
    slack += max(1e-12, error * exp2(Double(levels) / 2) * norm)
    let finite = parts.reduce(0) { $0 + Double($1.count) * log1p(-min(1, $1.mass.infinite)) }
    slack += parts.reduce(0) { $0 + Double($1.count) * $1.mass.slack }
    return PrivacyLossMass(first: low, masses: masses, infinite: -expm1(finite), slack: slack)
  }

  /// Cyclic, starting at `low`; rounding leaves negative values.
  private static func convolution(
    _ parts: [(mass: PrivacyLossMass, count: Int)], levels: Int, low: Int
  ) -> [Double] {
    let transform = FourierTransform(levels: levels)
    let length = 1 << levels
    let wrap = { (index: Int) in ((index % length) + length) % length }
    var product = ComplexValues(repeating: 1, count: length)
    for (mass, count) in parts {
      var values = ComplexValues(repeating: 0, count: length)
      var position = wrap(mass.first)
      for value in mass.masses {
        values.real[position] += value
        position = position + 1 == length ? 0 : position + 1
      }
      transform.forward(&values)
      product.multiply(by: values, power: count)
    }
    transform.inverse(&product)
    let start = wrap(low)
    return Array(product.real[start...] + product.real[..<start])
  }
}

/// Where the composed loss lies but for a tail on each side, in multiples of the interval.
private struct Window {
  private(set) var low: Double
  private(set) var high: Double

  init(_ parts: [(mass: PrivacyLossMass, count: Int)], interval: Double, tail: Double) {
    low = parts.reduce(0) { $0 + Double($1.count) * Double($1.mass.first) }
    high = parts.reduce(0) { $0 + Double($1.count) * Double($1.mass.last) }
    let variance = parts.reduce(0) { $0 + Double($1.count) * $1.mass.variance }
    guard variance > 0 else { return }
    // A little more, for the rounding of the moments.
    let logTail = 0.01 - log(tail)
    let best = (2 * logTail / variance).squareRoot()
    high = min(high, Self.bound(parts, from: best, logTail: logTail))
    low = max(low, -Self.bound(parts, from: -best, logTail: logTail))
  }

  /// Chernoff: Pr[±loss ≥ b] ≤ tail for b = (Σ count·ln E exp(θ·loss) − ln tail)/|θ|, whatever θ; tries them by halves and
  /// doubles of the best for a normal distribution.
  private static func bound(
    _ parts: [(mass: PrivacyLossMass, count: Int)], from start: Double, logTail: Double
  ) -> Double {
    let value = { (slope: Double) in
      let moments = parts.reduce(0) { $0 + Double($1.count) * $1.mass.logMoment(slope) }
      // A multiple more than enough for the rounding of the sums.
      return ((moments * (1 + (moments > 0 ? 1e-9 : -1e-9)) + logTail) / abs(slope)).rounded(.up) + 1
    }
    var best = value(start)
    for factor in [0.5, 2] {
      var slope = start * factor
      for _ in 0..<40 {
        let next = value(slope)
        guard next < best else { break }
        best = next
        slope *= factor
      }
    }
    return best
  }
}

extension PrivacyLossMass {
  /// Of the finite losses, in multiples of the interval.
  fileprivate var variance: Double {
    let total = masses.reduce(0, +)
    guard total > 0 else { return 0 }
    var mean = 0.0
    for (index, mass) in masses.enumerated() { mean += mass * Double(index) }
    mean /= total
    var sum = 0.0
    for (index, mass) in masses.enumerated() { sum += mass * (Double(index) - mean) * (Double(index) - mean) }
    return sum / total
  }

  /// ln Σ mass·exp(slope·loss), loss in multiples of the interval; infinite if it cannot be told.
  fileprivate func logMoment(_ slope: Double) -> Double {
    let reference = Double(slope > 0 ? last : first)
    var sum = 0.0
    for (index, mass) in masses.enumerated() where mass > 0 {
      sum += mass * exp(slope * (Double(first + index) - reference))
    }
    return sum > 1e-280 ? log(sum) + slope * reference : .infinity
  }
}
