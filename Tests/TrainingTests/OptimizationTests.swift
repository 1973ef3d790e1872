import Foundation
import Learning
import Testing

@testable import Training

@Suite struct LogisticRegressionTests {
  @Test func gradientMatchesFiniteDifferences() throws {
    let objective = try LogisticRegressionObjective(
      table: referenceProblem(), classWeights: ClassWeights(negative: 0.6, positive: 2), l2: 0.05)
    var source = Congruential(state: 3)
    for _ in 0..<5 {
      let point = (0..<4).map { _ in 6 * source.next() - 3 }
      var gradient = Array(repeating: 0.0, count: 4)
      var unused = gradient
      _ = objective.evaluate(at: point, gradient: &gradient)
      for index in 0..<4 {
        var (above, below) = (point, point)
        above[index] += 1e-5
        below[index] -= 1e-5
        let slope =
          (objective.evaluate(at: above, gradient: &unused) - objective.evaluate(at: below, gradient: &unused)) / 2e-5
        #expect(abs(slope - gradient[index]) < 1e-8)
      }
    }
  }

  /// Optima by scikit-learn 1.9.1, newton-cholesky, tol 1e-12, C = 1 / (l2 · 60).
  @Test(arguments: [
    (
      0.1, "none", [0.9697392024867412, -0.7373650346059963, 0.2267837595947152, -0.906412867128438],
      0.3856063061343661
    ),
    (
      0.01, "balanced", [2.3222232989080736, -1.534134058485594, 0.6898164739528546, -0.9559630255566159],
      0.26286717289055755
    ),
    (
      0.001, "chosen", [3.7348464490476636, -2.3437494642994445, 1.2401740950018354, -1.3094525120496718],
      0.20525006959078432
    ),
  ])
  func reachesTheOptimumOfScikitLearn(l2: Double, weights: String, optimum: [Double], value: Double) throws {
    let table = try referenceProblem()
    #expect(table.positiveCount == 19)
    var classWeights = ClassWeights.uniform
    if weights == "balanced" { classWeights = try FeatureStatistics(of: table).balancedClassWeights() }
    if weights == "chosen" { classWeights = try ClassWeights(negative: 0.6, positive: 2) }
    let trainer = try LogisticRegressionTrainer(train: table, test: table)
    let fit = try trainer.fit(
      parameters: trainer.parameters(),
      configuration: TrainerConfiguration(l2: l2, steps: 200, classWeights: classWeights, gradientTolerance: 1e-9))
    for (found, expected) in zip(fit.parameters, optimum) { #expect(abs(found - expected) < 1e-6) }
    #expect(try abs(#require(fit.metrics["loss"]) - value) < 1e-12)
    // The optimality conditions themselves.
    var gradient = Array(repeating: 0.0, count: 4)
    _ = try LogisticRegressionObjective(table: table, classWeights: classWeights, l2: l2)
      .evaluate(at: fit.parameters, gradient: &gradient)
    #expect(gradient.allSatisfy { $0.magnitude < 1e-6 })
    #expect(fit.examples == 60)
    #expect(try #require(fit.metrics["steps"]) < 60)
  }

  @Test func fitsAreReproducibleAndContinue() throws {
    let table = try referenceProblem()
    let trainer = try LogisticRegressionTrainer(train: table, test: table)
    let few = try TrainerConfiguration(l2: 0.001, steps: 3)
    let first = try trainer.fit(parameters: trainer.parameters(), configuration: few)
    #expect(try first == trainer.fit(parameters: trainer.parameters(), configuration: few))
    #expect(first.metrics["steps"] == 3)
    let second = try trainer.fit(parameters: first.parameters, configuration: few)
    #expect(try #require(second.metrics["loss"]) < #require(first.metrics["loss"]))
    let atOptimum = try trainer.fit(
      parameters: trainer.fit(
        parameters: trainer.parameters(), configuration: TrainerConfiguration(l2: 0.1, steps: 500)
      ).parameters, configuration: TrainerConfiguration(l2: 0.1, steps: 500, gradientTolerance: 1e-6))
    #expect(atOptimum.metrics["steps"] == 0)
  }

  @Test func separableDataWithoutPenaltyStaysFinite() throws {
    let table = try FeatureTable(featureNames: ["x"], values: [-2, -1, 1, 2], labels: [0, 0, 1, 1])
    let trainer = try LogisticRegressionTrainer(train: table, test: table)
    let fit = try trainer.fit(
      parameters: [0, 0], configuration: TrainerConfiguration(l2: 0, steps: 500, gradientTolerance: 0))
    #expect(fit.parameters.allSatisfy { $0.isFinite })
    let evaluation = try trainer.evaluate(parameters: fit.parameters, configuration: TrainerConfiguration())
    #expect(evaluation.metrics["rocAuc"] == 1)
  }

  @Test func refusesWhatCannotBeTrained() throws {
    let table = try referenceProblem()
    let trainer = try LogisticRegressionTrainer(train: table, test: table)
    let configuration = try TrainerConfiguration()
    #expect(throws: TrainingError.learning(.model(.parameterCount(expected: 4, found: 3)))) {
      try trainer.fit(parameters: [0, 0, 0], configuration: configuration)
    }
    #expect(throws: TrainingError.learning(.model(.notFinite(index: 1)))) {
      try trainer.evaluate(parameters: [0, .nan, 0, 0], configuration: configuration)
    }
    #expect(throws: TrainingError.optimization(.noExamples)) {
      try LogisticRegressionTrainer(train: table.selecting(rows: []), test: table)
        .fit(parameters: [0, 0, 0, 0], configuration: configuration)
    }
    #expect(throws: TrainingError.optimization(.notFinite(step: 0))) {
      try trainer.fit(parameters: [1e308, 1e308, 1e308, 0], configuration: configuration)
    }
    #expect(throws: TrainingError.self) { try TrainerConfiguration(l2: -1) }
    #expect(throws: TrainingError.self) { try TrainerConfiguration(l2: .nan) }
    #expect(throws: TrainingError.self) { try TrainerConfiguration(steps: 0) }
    #expect(throws: TrainingError.self) { try TrainerConfiguration(gradientTolerance: -1) }
  }
}

@Suite struct LBFGSTests {
  /// The extended Rosenbrock function: a curved valley, minimum 0 at (1, …, 1).
  private struct Rosenbrock: DifferentiableFunction {
    func evaluate(at x: [Double], gradient: inout [Double]) -> Double {
      var value = 0.0
      for i in stride(from: 0, to: x.count, by: 2) {
        let (a, b) = (x[i + 1] - x[i] * x[i], 1 - x[i])
        value += 100 * a * a + b * b
        gradient[i] = -400 * x[i] * a - 2 * b
        gradient[i + 1] = 200 * a
      }
      return value
    }
  }

  private struct Unbounded: DifferentiableFunction {
    func evaluate(at x: [Double], gradient: inout [Double]) -> Double {
      gradient[0] = -1
      return -x[0]
    }
  }

  private struct Cliff: DifferentiableFunction {
    func evaluate(at x: [Double], gradient: inout [Double]) -> Double {
      gradient[0] = x[0] > 0.5 ? .nan : 2 * (x[0] - 3)
      return x[0] > 0.5 ? .nan : (x[0] - 3) * (x[0] - 3)
    }
  }

  @Test func findsTheEndOfTheValley() throws {
    let start = (0..<20).map { $0 % 2 == 0 ? -1.2 : 1.0 }
    let minimum = try LBFGS(maximumSteps: 500, gradientTolerance: 1e-10).minimize(Rosenbrock(), from: start)
    #expect(minimum.outcome == .converged && minimum.steps < 100)
    #expect(minimum.point.allSatisfy { abs($0 - 1) < 1e-8 })
  }

  @Test func stopsAtTheStepLimit() throws {
    let start = (0..<20).map { $0 % 2 == 0 ? -1.2 : 1.0 }
    let minimum = try LBFGS(maximumSteps: 4, gradientTolerance: 1e-10).minimize(Rosenbrock(), from: start)
    #expect(minimum.outcome == .stepLimit && minimum.steps == 4)
  }

  @Test func endsOnFunctionsWithoutMinimum() throws {
    let minimum = try LBFGS(maximumSteps: 10, gradientTolerance: 0).minimize(Unbounded(), from: [0])
    #expect(minimum.steps <= 10 && minimum.value < 0)
    let cliff = try LBFGS(maximumSteps: 50, gradientTolerance: 0).minimize(Cliff(), from: [0])
    #expect(cliff.value.isFinite && cliff.point[0] <= 0.5 && cliff.point[0] > 0)
  }
}
