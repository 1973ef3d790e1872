/// A function to minimise.
protocol DifferentiableFunction {
  /// The value at a point; writes the gradient, of the point's length.
  func evaluate(at point: [Double], gradient: inout [Double]) -> Double
}

/// Limited-memory BFGS.
///
/// Implements algorithms 7.4 and 7.5 (two-loop recursion) and 3.5 and 3.6 (line search for the strong Wolfe conditions,
/// with safeguarded cubic interpolation) of Nocedal and Wright, *Numerical Optimization*, 2nd edition. Deterministic:
/// the same start and function give the same bits on the same machine.
struct LBFGS {
  /// Pairs of steps and gradient changes kept.
  var history = 10
  /// Most steps taken.
  var maximumSteps: Int
  /// Stops where no element of the gradient exceeds this.
  var gradientTolerance: Double
  /// Sufficient decrease and curvature constants of the Wolfe conditions.
  private let decrease = 1e-4
  private let curvature = 0.9
  private let maximumEvaluations = 25

  init(maximumSteps: Int, gradientTolerance: Double) {
    self.maximumSteps = maximumSteps
    self.gradientTolerance = gradientTolerance
  }

  enum Outcome: Sendable, Equatable {
    /// The gradient is within the tolerance.
    case converged
    /// All steps were taken.
    case stepLimit
    /// No step decreases the function any more in double precision.
    case stalled
  }

  struct Minimum {
    var point: [Double]
    var value: Double
    /// Largest magnitude in the gradient.
    var gradientNorm: Double
    var steps: Int
    var outcome: Outcome
  }

  private struct Pair {
    let step: [Double]
    let change: [Double]
    let inverseProduct: Double
  }

  /// - Throws: `OptimizationFault.notFinite` where the function has no finite value or gradient.
  func minimize(_ function: some DifferentiableFunction, from start: [Double]) throws(OptimizationFault) -> Minimum {
    var search = WolfeSearch(
      function: function, point: start, decrease: decrease, curvature: curvature,
      maximumEvaluations: maximumEvaluations)
    guard search.value.isFinite, search.gradient.allSatisfy(\.isFinite) else { throw .notFinite(step: 0) }
    var pairs: [Pair] = []
    var steps = 0
    var outcome = Outcome.stepLimit
    while true {
      guard largest(search.gradient) > gradientTolerance else {
        outcome = .converged
        break
      }
      guard steps < maximumSteps else { break }
      var direction = direction(search.gradient, pairs)
      if dot(direction, search.gradient) >= 0 {
        // Rounding has spoilt the curvature information: begin again from steepest descent.
        pairs.removeAll()
        direction = search.gradient.map { -$0 }
      }
      let first = pairs.isEmpty ? min(1, 1 / norm(search.gradient)) : 1
      let (oldPoint, oldGradient) = (search.point, search.gradient)
      guard search.advance(along: direction, initialStep: first) else {
        if pairs.isEmpty {
          outcome = .stalled
          break
        }
        pairs.removeAll()
        continue
      }
      steps += 1
      guard search.value.isFinite, search.gradient.allSatisfy(\.isFinite) else { throw .notFinite(step: steps) }
      let step = zip(search.point, oldPoint).map { $0 - $1 }
      let change = zip(search.gradient, oldGradient).map { $0 - $1 }
      let product = dot(step, change)
      if product > 1e-300, product > 1e-14 * dot(change, change) {
        if pairs.count == history { pairs.removeFirst() }
        pairs.append(Pair(step: step, change: change, inverseProduct: 1 / product))
      }
    }
    return Minimum(
      point: search.point, value: search.value, gradientNorm: largest(search.gradient), steps: steps,
      outcome: outcome)
  }

  /// Two-loop recursion: minus the approximate inverse Hessian times the gradient.
  private func direction(_ gradient: [Double], _ pairs: [Pair]) -> [Double] {
    var result = gradient.map { -$0 }
    guard let last = pairs.last else { return result }
    var factors: [Double] = []
    for pair in pairs.reversed() {
      let factor = pair.inverseProduct * dot(pair.step, result)
      factors.append(factor)
      add(-factor, pair.change, to: &result)
    }
    let scale = 1 / (last.inverseProduct * dot(last.change, last.change))
    for index in result.indices { result[index] *= scale }
    for (pair, factor) in zip(pairs, factors.reversed()) {
      let correction = factor - pair.inverseProduct * dot(pair.change, result)
      add(correction, pair.step, to: &result)
    }
    return result
  }
}

/// A point that moves along directions by steps that satisfy the strong Wolfe conditions.
private struct WolfeSearch<Function: DifferentiableFunction> {
  let function: Function
  private(set) var point: [Double]
  private(set) var value: Double
  private(set) var gradient: [Double]
  let decrease: Double
  let curvature: Double
  let maximumEvaluations: Int

  /// A step along the current direction and what the function is there.
  private struct Trial {
    var step: Double
    var value: Double
    var slope: Double
    var point: [Double]
    var gradient: [Double]
  }

  init(function: Function, point: [Double], decrease: Double, curvature: Double, maximumEvaluations: Int) {
    self.function = function
    self.point = point
    self.decrease = decrease
    self.curvature = curvature
    self.maximumEvaluations = maximumEvaluations
    gradient = Array(repeating: 0, count: point.count)
    value = function.evaluate(at: point, gradient: &gradient)
  }

  /// Moves to an acceptable point, or stays and says false if rounding leaves none.
  mutating func advance(along direction: [Double], initialStep: Double) -> Bool {
    let start = Trial(step: 0, value: value, slope: dot(gradient, direction), point: point, gradient: gradient)
    var previous = start
    var step = initialStep
    for evaluation in 1...maximumEvaluations {
      let trial = evaluate(step, direction)
      let increased = !(trial.value <= start.value + decrease * step * start.slope)
      if increased || (evaluation > 1 && trial.value >= previous.value) {
        return zoom(previous, trial, start, direction, evaluations: evaluation)
      }
      if trial.slope.magnitude <= -curvature * start.slope { return accept(trial) }
      if trial.slope >= 0 { return zoom(trial, previous, start, direction, evaluations: evaluation) }
      previous = trial
      step *= 2.5
    }
    return previous.step > 0 ? accept(previous) : false
  }

  /// Narrows an interval that contains an acceptable step; `low` has the lowest value so far.
  private mutating func zoom(
    _ first: Trial, _ second: Trial, _ start: Trial, _ direction: [Double], evaluations: Int
  ) -> Bool {
    var low = first
    var high = second
    for _ in evaluations..<(2 * maximumEvaluations) {
      let width = (high.step - low.step).magnitude
      if width <= 1e-14 * max(low.step, high.step) { break }
      let trial = evaluate(interpolate(low, high), direction)
      if !(trial.value <= start.value + decrease * trial.step * start.slope) || trial.value >= low.value {
        high = trial
      } else {
        if trial.slope.magnitude <= -curvature * start.slope { return accept(trial) }
        if trial.slope * (high.step - low.step) >= 0 { high = low }
        low = trial
      }
    }
    return low.step > 0 && low.value < start.value ? accept(low) : false
  }

  /// Minimum of the cubic through both ends, kept off the ends; the middle where there is none.
  private func interpolate(_ low: Trial, _ high: Trial) -> Double {
    let middle = (low.step + high.step) / 2
    guard high.value.isFinite, high.slope.isFinite else { return middle }
    let first = low.slope + high.slope - 3 * (low.value - high.value) / (low.step - high.step)
    let discriminant = first * first - low.slope * high.slope
    guard discriminant >= 0 else { return middle }
    let root = high.step > low.step ? discriminant.squareRoot() : -discriminant.squareRoot()
    let step =
      high.step - (high.step - low.step) * (high.slope + root - first) / (high.slope - low.slope + 2 * root)
    let margin = 0.1 * (high.step - low.step).magnitude
    let bounds = min(low.step, high.step) + margin...max(low.step, high.step) - margin
    return step.isFinite ? min(max(step, bounds.lowerBound), bounds.upperBound) : middle
  }

  private func evaluate(_ step: Double, _ direction: [Double]) -> Trial {
    var trial = Trial(step: step, value: 0, slope: 0, point: point, gradient: gradient)
    add(step, direction, to: &trial.point)
    trial.value = function.evaluate(at: trial.point, gradient: &trial.gradient)
    trial.slope = dot(trial.gradient, direction)
    return trial
  }

  private mutating func accept(_ trial: Trial) -> Bool {
    point = trial.point
    value = trial.value
    gradient = trial.gradient
    return true
  }
}

private func dot(_ first: [Double], _ second: [Double]) -> Double {
  var sum = 0.0
  for index in first.indices { sum += first[index] * second[index] }
  return sum
}

private func norm(_ vector: [Double]) -> Double { dot(vector, vector).squareRoot() }

private func largest(_ vector: [Double]) -> Double { vector.reduce(0) { max($0, $1.magnitude) } }

private func add(_ factor: Double, _ vector: [Double], to result: inout [Double]) {
  for index in result.indices { result[index] += factor * vector[index] }
}
