import COpenBLAS

/// The two products of logistic regression, by OpenBLAS on one thread: with more, sums depend on how work is divided.
enum LinearAlgebra {
  private static let singleThreaded: Void = openblas_set_num_threads(1)

  /// result = matrix · vector; the matrix is rows × columns, row-major. Sizes are the caller's to have checked.
  static func multiply(
    _ matrix: [Double], rows: Int, columns: Int, by vector: UnsafePointer<Double>, into result: inout [Double]
  ) {
    _ = singleThreaded
    cblas_dgemv(
      CblasRowMajor, CblasNoTrans, blasint(rows), blasint(columns), 1, matrix, blasint(columns), vector, 1, 0,
      &result, 1)
  }

  /// result = matrixᵀ · vector.
  static func multiplyTransposed(
    _ matrix: [Double], rows: Int, columns: Int, by vector: [Double], into result: UnsafeMutablePointer<Double>
  ) {
    _ = singleThreaded
    cblas_dgemv(
      CblasRowMajor, CblasTrans, blasint(rows), blasint(columns), 1, matrix, blasint(columns), vector, 1, 0, result, 1)
  }
}
