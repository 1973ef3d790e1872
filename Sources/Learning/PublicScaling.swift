/// Scaling with public constants: (x − centre) / scale, clamped to ±bound.
///
/// What `standardize` does from statistics of the cohort, this does from what everybody may know beforehand, so that in a
/// differentially private run no statistics leave and no value is unbounded. It is private only if the constants were
/// chosen without looking at the data: from published aggregates, from synthetic data, from what a column means.
/// Training converges fast where centres and scales are near means and deviations; privacy does not depend on it.
///
/// Every value that comes out is a function of one value that went in.
public struct PublicScaling: Sendable, Equatable {
  public static let maximumBound = 1024.0

  /// One a feature.
  public let centres: [Double]
  /// One a feature, above zero.
  public let scales: [Double]
  /// Largest magnitude of what comes out, above zero, at most ``maximumBound``.
  public let bound: Double

  /// - Throws: `LearningError` where lengths differ, a value is not finite, or a scale or the bound is out of range.
  public init(centres: [Double], scales: [Double], bound: Double) throws(LearningError) {
    guard centres.count == scales.count else {
      throw .privacy(.publicScaleFeatures(expected: centres.count, found: scales.count))
    }
    if let centre = centres.first(where: { !$0.isFinite }) {
      throw .privacy(.constant(name: "a public centre", value: centre, requirement: "a finite number"))
    }
    if let scale = scales.first(where: { !($0.isFinite && $0 > 0) }) {
      throw .privacy(.constant(name: "a public scale", value: scale, requirement: "a finite number above 0"))
    }
    guard bound > 0, bound <= Self.maximumBound else {
      throw .privacy(
        .constant(name: "the public bound", value: bound, requirement: "above 0 and at most \(Self.maximumBound)"))
    }
    self.centres = centres
    self.scales = scales
    self.bound = bound
  }

  /// The same centre and scale for every feature.
  ///
  /// - Throws: as ``init(centres:scales:bound:)``.
  public init(centre: Double, scale: Double, bound: Double, features: Int) throws(LearningError) {
    try self.init(
      centres: Array(repeating: centre, count: max(features, 0)),
      scales: Array(repeating: scale, count: max(features, 0)), bound: bound)
  }

  /// Means and deviations of a table that is public, such as ``SyntheticProviders``, rounded to 1/64 so that a plan can
  /// write them down. Deviations below 1/64 count as 1.
  ///
  /// Never for anybody's private rows: nothing is noised.
  ///
  /// - Parameter publicTable: after `Preprocessing.transform`.
  /// - Throws: as ``init(centres:scales:bound:)``.
  public init(publicTable: FeatureTable, bound: Double) throws(LearningError) {
    let statistics = FeatureStatistics(of: publicTable).standardization()
    func rounded(_ value: Double) -> Double { (value * 64).rounded(.toNearestOrEven) / 64 }
    try self.init(
      centres: statistics.means.map(rounded),
      scales: statistics.standardDeviations.map { rounded($0) > 0 ? rounded($0) : 1 }, bound: bound)
  }

  var standardization: Standardization { Standardization(validated: centres, standardDeviations: scales) }

  /// What the model sees: every value within ±``bound``.
  ///
  /// - Throws: `LearningError.privacy(.publicScaleFeatures)`.
  public func apply(_ table: FeatureTable) throws(LearningError) -> FeatureTable {
    guard table.columnCount == centres.count else {
      throw .privacy(.publicScaleFeatures(expected: table.columnCount, found: centres.count))
    }
    var values = table.values
    var index = 0
    for _ in 0..<table.rowCount {
      for column in centres.indices {
        // Finite minus finite, and by a scale above zero: an overflow has a sign, and the clamp takes it.
        values[index] = min(max((values[index] - centres[column]) / scales[column], -bound), bound)
        index += 1
      }
    }
    return FeatureTable(validated: table.featureNames, values: values, labels: table.labels)
  }
}
