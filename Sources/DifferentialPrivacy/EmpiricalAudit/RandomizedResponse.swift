import Foundation

/// W, the number of right guesses about r coins that each went through randomised response: binomial with r trials and
/// chance q = e^ε/(1 + e^ε). No ε-private mechanism lets anybody guess better.
///
/// Sums are of logarithms' exponentials, all positive, so that tails keep their relative accuracy (about 10⁻⁹) down to
/// underflow.
struct RandomizedResponse: Sendable {
  let guesses: Int
  /// ln C(r, k) for k = 0…r.
  private let logCoefficients: [Double]

  /// - Parameter guesses: r, 0 or more.
  init(guesses: Int) {
    self.guesses = guesses
    var logs = [Double](repeating: 0, count: guesses + 1)
    // Symmetric, so that errors add up over half the way only.
    for count in stride(from: 1, through: guesses / 2, by: 1) {
      logs[count] = logs[count - 1] + log(Double(guesses - count + 1)) - log(Double(count))
    }
    for count in stride(from: 0, through: guesses / 2, by: 1) { logs[guesses - count] = logs[count] }
    logCoefficients = logs
  }

  /// ln P[W = k]: C(r, k)·q^k·(1 − q)^(r − k), where (1 − q)/q = e^−ε.
  private func logProbability(_ correct: Int, epsilon: Double) -> Double {
    let wrong = Double(guesses - correct)
    // No wrong guess costs nothing, also where ε is infinite.
    let penalty = wrong > 0 ? wrong * epsilon : 0
    return logCoefficients[correct] - penalty - Double(guesses) * log1p(exp(-epsilon))
  }

  /// P[W ≥ v].
  func tail(atLeast correct: Int, epsilon: Double) -> Double {
    guard correct > 0 else { return 1 }
    let mode = Double(guesses) / (1 + exp(-epsilon))
    var sum = 0.0
    for count in stride(from: correct, through: guesses, by: 1) {
      let probability = exp(logProbability(count, epsilon: epsilon))
      sum += probability
      // Beyond the mode probabilities only fall: what is left out is below 10⁻¹³ of the sum.
      if Double(count) > mode, probability < sum * 1e-20 { break }
    }
    return min(sum, 1)
  }

  /// α: the largest of P[v > W ≥ v − i]/i over i = 1…v.
  func slope(below correct: Int, epsilon: Double) -> Double {
    var sum = 0.0
    var largest = 0.0
    for step in stride(from: 1, through: correct, by: 1) {
      sum += exp(logProbability(correct - step, epsilon: epsilon))
      largest = max(largest, min(sum, 1) / Double(step))
      // No sum exceeds 1.
      if largest * Double(step) >= 1 { break }
    }
    return largest
  }
}
