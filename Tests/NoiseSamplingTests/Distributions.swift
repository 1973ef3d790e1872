import Foundation

/// Exact probabilities, to the precision of Double, on a range that leaves out less than 10⁻¹².
struct Distribution {
  let first: Int64
  let probabilities: [Double]

  /// From weights, of which the sum is taken.
  private init(first: Int64, weights: [Double]) {
    let sum = weights.reduce(0, +)
    self.first = first
    probabilities = weights.map { $0 / sum }
  }

  private init(symmetric weights: [Double]) {
    self.init(first: -Int64(weights.count - 1), weights: weights.dropFirst().reversed() + weights)
  }

  static func discreteGaussian(variance: Double) -> Distribution {
    let reach = Int(8 * variance.squareRoot()) + 8
    return Distribution(symmetric: (0...reach).map { exp(-Double($0 * $0) / (2 * variance)) })
  }

  static func discreteLaplace(scale: Double) -> Distribution {
    Distribution(symmetric: (0...Int(32 * scale) + 2).map { exp(-Double($0) / scale) })
  }

  static func poisson(mean: Double) -> Distribution {
    let reach = 8 * mean.squareRoot()
    let first = max(0, (mean - reach).rounded(.down))
    let weights = stride(from: first, through: mean + 1.5 * reach + 20, by: 1).map {
      exp($0 * log(mean) - mean - lgamma($0 + 1))
    }
    return Distribution(first: Int64(first), weights: weights)
  }

  /// e^(−v) I_k(v), by Miller's backward recurrence.
  static func skellam(variance: Double) -> Distribution {
    let reach = Int(9 * variance.squareRoot()) + 24
    var weights = [Double](repeating: 0, count: reach + 2)
    weights[reach] = 1e-300
    for order in (1...reach).reversed() {
      weights[order - 1] = weights[order + 1] + 2 * Double(order) / variance * weights[order]
      if weights[order - 1] > 1e250 {
        for index in (order - 1)...reach { weights[index] *= 1e-250 }
      }
    }
    return Distribution(symmetric: weights)
  }

  /// A normal variable rounded to the nearest integer, which is none of the above.
  static func roundedGaussian(variance: Double) -> Distribution {
    let reach = Int(8 * variance.squareRoot()) + 8
    return Distribution(
      symmetric: (0...reach).map {
        normal((Double($0) + 0.5) / variance.squareRoot()) - normal((Double($0) - 0.5) / variance.squareRoot())
      })
  }

  /// The standard normal distribution function.
  static func normal(_ x: Double) -> Double { erfc(-x / 2.0.squareRoot()) / 2 }

  var cumulative: (Int64) -> Double {
    var sums: [Double] = []
    var sum = 0.0
    for probability in probabilities {
      sum += probability
      sums.append(sum)
    }
    let (first, totals) = (first, sums)
    return { value in value < first ? 0 : totals[Int(min(value - first, Int64(totals.count - 1)))] }
  }

  var mean: Double { moment(around: 0) { $0 } }
  var variance: Double { moment(around: mean) { $0 * $0 } }
  var fourthMoment: Double { moment(around: mean) { $0 * $0 * $0 * $0 } }

  private func moment(around center: Double, _ power: (Double) -> Double) -> Double {
    probabilities.enumerated().reduce(0) { $0 + $1.element * power(Double(first + Int64($1.offset)) - center) }
  }
}
