/// Preprocessing with its statistics or public constants: raw table in, what the model sees out.
public struct FittedPreprocessing: Sendable, Equatable {
  public let preprocessing: Preprocessing
  /// Means and deviations; with `publicScale` the public centres and scales; else the identity.
  public let standardization: Standardization
  /// With `publicScale`, the largest magnitude of a value that comes out; else nil.
  public let bound: Double?

  /// For preprocessing without `publicScale`; with it, ``apply(_:)`` refuses for want of the constants.
  public init(_ preprocessing: Preprocessing, standardization: Standardization) {
    self.init(preprocessing, standardization: standardization, bound: nil)
  }

  /// For preprocessing with `publicScale`.
  ///
  /// - Throws: `LearningError.privacy(.publicScaleUnused)` where the steps do not have it.
  public init(_ preprocessing: Preprocessing, scaling: PublicScaling) throws(LearningError) {
    guard preprocessing.scalesPublicly else { throw .privacy(.publicScaleUnused) }
    self.init(preprocessing, standardization: scaling.standardization, bound: scaling.bound)
  }

  /// From statistics of transformed tables; the identity if the plan does not standardise.
  public init(_ preprocessing: Preprocessing, statistics: FeatureStatistics) {
    let standardization =
      preprocessing.standardizes
      ? statistics.standardization() : Standardization.identity(features: statistics.featureNames.count)
    self.init(preprocessing, standardization: standardization, bound: nil)
  }

  private init(_ preprocessing: Preprocessing, standardization: Standardization, bound: Double?) {
    self.preprocessing = preprocessing
    self.standardization = standardization
    self.bound = bound
  }

  /// The public constants, if the steps have `publicScale`.
  ///
  /// - Throws: `LearningError.privacy(.publicScaleMissing)` where the steps name it and there are no constants.
  public func publicScaling() throws(LearningError) -> PublicScaling? {
    guard preprocessing.scalesPublicly else { return nil }
    guard let bound else { throw .privacy(.publicScaleMissing) }
    return try PublicScaling(
      centres: standardization.means, scales: standardization.standardDeviations, bound: bound)
  }

  /// - Throws: `LearningError` where the number of features differs, a result overflows, or public constants are missing.
  public func apply(_ table: FeatureTable) throws(LearningError) -> FeatureTable {
    let transformed = preprocessing.transform(table)
    if let scaling = try publicScaling() { return try scaling.apply(transformed) }
    return preprocessing.standardizes ? try standardization.apply(transformed) : transformed
  }
}
