import Learning

/// The gradient of every single example at given parameters, one at a time:
///
///     s(y) · (sigmoid(w·x + b) − y) · (x, 1)
///
/// with s the class weights: weights in the order of the features, then the intercept. Their sum divided by the number
/// of rows is the gradient of ``LogisticRegressionTrainer``'s objective without its penalty, which is public and added
/// after the sum. Memory is one gradient, whatever the number of rows; no BLAS, so that what each example contributes can
/// be clipped and tested before anything is summed.
public struct PerExampleGradients: Sendable {
  private let table: FeatureTable
  private let classWeights: ClassWeights
  private let parameters: [Double]

  /// - Parameter table: preprocessed rows.
  /// - Throws: `TrainingError.learning` for parameters of another length or that are not finite.
  public init(table: FeatureTable, classWeights: ClassWeights, parameters: [Double]) throws(TrainingError) {
    do throws(LearningError) {
      _ = try LogisticRegressionModel(featureNames: table.featureNames, parameters: parameters)
    } catch { throw .learning(error) }
    self.table = table
    self.classWeights = classWeights
    self.parameters = parameters
  }

  /// Number of examples.
  public var count: Int { table.rowCount }
  /// Elements of a gradient.
  public var dimension: Int { parameters.count }

  /// Writes the gradient of one example over what is in `gradient`.
  ///
  /// - Parameters:
  ///   - row: in `0..<count`.
  ///   - gradient: ``dimension`` elements; resized if it has another number.
  /// - Throws: `TrainingError.optimization(.gradientNotFinite)` where an element overflows or is not a number; `gradient`
  ///   is then all zeros. With bounded features and any sensible parameters that cannot happen.
  public func write(row: Int, into gradient: inout [Double]) throws(TrainingError) {
    let columns = table.columnCount
    if gradient.count != dimension { gradient = Array(repeating: 0, count: dimension) }
    let start = row * columns
    var logit = parameters[columns]
    for column in 0..<columns { logit += table.values[start + column] * parameters[column] }
    let isPositive = table.labels[row] == 1
    // For a positive example sigmoid − 1 = −sigmoid of the opposite logit, without cancellation.
    let residual =
      isPositive ? -classWeights.positive * sigmoid(-logit) : classWeights.negative * sigmoid(logit)
    var isFinite = residual.isFinite
    for column in 0..<columns {
      gradient[column] = residual * table.values[start + column]
      if !gradient[column].isFinite { isFinite = false }
    }
    gradient[columns] = residual
    guard isFinite else {
      for index in gradient.indices { gradient[index] = 0 }
      throw .optimization(.gradientNotFinite(row: row))
    }
  }

  /// Adds the clipped gradient of every example to integers, each tested before it is added.
  ///
  /// One example more or less changes the result by `clipping.bound` at most, in L2 norm. One whose gradient is not finite
  /// contributes nothing: no single row decides whether there is a result.
  ///
  /// - Parameters:
  ///   - sum: ``dimension`` elements, such as noise.
  ///   - isIncluded: which rows take part; all unless said.
  /// - Throws: `TrainingError` where `sum` has another length, or 64 bits overflow.
  public func add(
    clippedBy clipping: IntegerClipping, to sum: inout [Int64], where isIncluded: (Int) -> Bool = { _ in true }
  ) throws(TrainingError) {
    guard sum.count == dimension else {
      throw .learning(.privacy(.gradientCount(expected: dimension, found: sum.count)))
    }
    var gradient = Array(repeating: 0.0, count: dimension)
    for row in 0..<count where isIncluded(row) {
      // Written as zeros where it is not finite.
      try? write(row: row, into: &gradient)
      try clipping.add(gradient, to: &sum)
    }
  }
}
