import Foundation
import Learning

/// What logistic regression minimises:
///
///     f(w, b) = (1/n) Σᵢ s(yᵢ) · logLoss(w·xᵢ + b, yᵢ) + (l2/2) ‖w‖²
///
/// with n rows and s the class weights. The intercept is not penalised. The sum is divided by the number of rows, not
/// by the sum of weights, so that the mean of organisations' objectives weighted by their examples is the objective of
/// the pooled data, exactly. In scikit-learn's terms C = 1 / (l2 · n).
struct LogisticRegressionObjective: DifferentiableFunction {
  private let table: FeatureTable
  private let classWeights: ClassWeights
  private let l2: Double

  /// - Throws: `OptimizationFault` without rows, or with more than the library indexes.
  init(table: FeatureTable, classWeights: ClassWeights, l2: Double) throws(OptimizationFault) {
    guard table.rowCount > 0 else { throw .noExamples }
    guard table.rowCount <= Int(Int32.max), table.columnCount <= Int(Int32.max) else {
      throw .tooManyRows(table.rowCount)
    }
    self.table = table
    self.classWeights = classWeights
    self.l2 = l2
  }

  /// - Parameter point: weights, then the intercept.
  func evaluate(at point: [Double], gradient: inout [Double]) -> Double {
    let (rows, columns) = (table.rowCount, table.columnCount)
    let intercept = point[columns]
    var residuals = Array(repeating: 0.0, count: rows)
    LinearAlgebra.multiply(table.values, rows: rows, columns: columns, by: point, into: &residuals)

    var loss = 0.0
    var total = 0.0
    let share = 1 / Double(rows)
    for row in 0..<rows {
      let isPositive = table.labels[row] == 1
      let weight = isPositive ? classWeights.positive : classWeights.negative
      let margin = isPositive ? residuals[row] + intercept : -(residuals[row] + intercept)
      // One exponential serves loss and gradient: power = e^-|margin|.
      let power = exp(-margin.magnitude)
      loss += weight * (max(-margin, 0) + log1p(power))
      let wrong = (margin >= 0 ? power : 1) / (1 + power)
      residuals[row] = (isPositive ? -share : share) * weight * wrong
      total += residuals[row]
    }
    gradient.withUnsafeMutableBufferPointer { buffer in
      guard let start = buffer.baseAddress else { return }
      LinearAlgebra.multiplyTransposed(table.values, rows: rows, columns: columns, by: residuals, into: start)
    }
    var penalty = 0.0
    for column in 0..<columns {
      penalty += point[column] * point[column]
      gradient[column] += l2 * point[column]
    }
    gradient[columns] = total
    return loss * share + l2 / 2 * penalty
  }
}
