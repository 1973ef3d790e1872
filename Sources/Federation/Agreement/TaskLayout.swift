public import Cryptography
import Learning
public import SecureAggregation

/// The vector of one task: what is in it, and the parameters of its secure sum.
///
/// Both sides compute it from plan, manifest and features alone, so that nothing about it is taken from the other.
public struct TaskLayout: Sendable, Equatable {
  public let task: TaskKind
  /// Names of the features, in the order of the data's columns.
  public let featureNames: [String]
  public let parameters: AggregationParameters
  /// What is added to the term; nil for a plan without differential privacy.
  public let noise: NoiseAgreement?

  /// Counters of a fit: rows that were trained on, and parameters that had to be clipped.
  public static let examplesCounter = "examples"
  public static let clippedCounter = "clipped"
  /// The counter of a fit whose clip follows the updates' norms: whether the update was within it, with noise.
  public static let clipBitCounter = "clip"

  /// - Parameter featureNames: the columns the task works on; see ``RunPlan/features(of:)``.
  /// - Throws: ``FederationError/features(_:)``, ``FederationError/learning(_:)``, ``FederationError/aggregation(_:)``.
  public init(
    task: TaskKind, plan: RunPlan, manifest: Manifest, featureNames: [String]
  ) throws(FederationError) {
    try self.init(
      task: task, plan: plan, manifest: manifest, featureNames: featureNames,
      noise: try NoiseAgreement(plan: plan, manifest: manifest, features: featureNames.count))
  }

  /// With noise of another amount than the plan's, for rehearsals: no other side of a run has this layout.
  package init(
    task: TaskKind, plan: RunPlan, manifest: Manifest, featureNames: [String], noise: NoiseAgreement?
  ) throws(FederationError) {
    try Self.check(featureNames)
    let minimum = Self.minimumCohort(of: task, plan: plan, manifest: manifest)
    self.noise = noise
    do {
      let shape = try Self.shape(of: task, plan: plan, featureNames: featureNames, noise: noise)
      parameters = try AggregationParameters(
        tensorCount: shape.tensors, bits: plan.secureSum.bits, clip: noise?.encoding?.clip ?? plan.secureSum.clip,
        rounding: plan.secureSum.rounding, counters: shape.counters, weightCap: UInt64(plan.secureSum.weightCap),
        generator: plan.secureSum.generator, minimumCohort: minimum,
        minimumHonest: max(2, minimum - manifest.assumedCorrupt), assumedCorrupt: manifest.assumedCorrupt,
        graph: plan.secureSum.sumGraph,
        encoding: noise?.encoding.map { .integers(scale: $0.scale) } ?? .clipped)
    } catch let error as AggregationError {
      throw .aggregation(error)
    } catch let error as LearningError {
      throw .learning(error)
    } catch {
      throw .features(.name)
    }
    self.task = task
    self.featureNames = featureNames
  }

  /// Checks that terms of this layout can be summed over a cohort of so many: that nothing wraps, and that the
  /// threshold can be met.
  ///
  /// - Throws: ``FederationError/aggregation(_:)``.
  public func check(cohort: [CohortMember], server: IdentityVerifyingKey) throws(FederationError) {
    let binding = BindingDigest(hashing: [UInt8]())
    do {
      _ = try AggregationContext(binding: binding, parameters: parameters, cohort: cohort, server: server)
    } catch { throw .aggregation(error) }
  }

  /// Parameters of the model for so many features: a weight each, and the intercept.
  public static func tensorCount(features: Int) -> Int {
    LogisticRegressionModel.parameterCount(features: features)
  }

  /// Fewest organisations in a sum of the task: the plan's minimum and the manifest's, whichever is larger.
  public static func minimumCohort(of task: TaskKind, plan: RunPlan, manifest: Manifest?) -> Int {
    let strategy = plan.strategy
    let own =
      switch task {
      case .statistics, .fit: strategy.minimumFitClients
      case .evaluate: strategy.minimumEvaluateClients
      }
    return max(own, manifest?.minimumCohort ?? 0)
  }

  private typealias Shape = (tensors: Int, counters: [SecureAggregation.CounterGroup])

  private static func shape(
    of task: TaskKind, plan: RunPlan, featureNames: [String], noise: NoiseAgreement?
  ) throws(LearningError) -> Shape {
    if let noise { return try noisedShape(of: task, plan: plan, noise, features: featureNames.count) }
    let cap = plan.secureSum.weightCap
    switch task {
    case .statistics:
      return (0, try groups(StatisticsVector(featureNames: featureNames, weightCap: cap).layout))
    case .evaluate:
      return (0, try groups(EvaluationVector(bins: plan.evaluation.histogramBins, weightCap: cap).layout))
    case .fit:
      let tensors = tensorCount(features: featureNames.count)
      return (
        tensors,
        [
          SecureAggregation.CounterGroup(name: examplesCounter, count: 1, bound: UInt64(cap), isSigned: false),
          SecureAggregation.CounterGroup(name: clippedCounter, count: 1, bound: UInt64(tensors), isSigned: false),
        ]
      )
    }
  }

  /// Only what noise is in: no count of rows, none of values that were clipped, no sum of losses.
  ///
  /// A clip that moves is not in the shape: coordinates are then in units in which it is always the first, so that scale,
  /// bounds and charge stay. What these units are is in the model, and so in every context by the model's hash.
  private static func noisedShape(
    of task: TaskKind, plan: RunPlan, _ noise: NoiseAgreement, features: Int
  ) throws(LearningError) -> Shape {
    switch task {
    case .statistics: return (0, [])
    case .fit:
      let bit = noise.clipBitBound.map {
        SecureAggregation.CounterGroup(name: clipBitCounter, count: 1, bound: $0, isSigned: true)
      }
      return (noise.encoding?.dimension ?? tensorCount(features: features), bit.map { [$0] } ?? [])
    case .evaluate:
      guard let bound = noise.evaluationBound else { return (0, []) }
      let vector = try NoisedEvaluationVector(
        bins: plan.evaluation.histogramBins, weightCap: plan.secureSum.weightCap, noiseBound: Int64(clamping: bound))
      return (0, groups(vector.layout))
    }
  }

  private static func groups(_ layout: CounterLayout) -> [SecureAggregation.CounterGroup] {
    layout.groups.map {
      SecureAggregation.CounterGroup(
        name: $0.name, count: $0.count, bound: UInt64(clamping: $0.bound), isSigned: $0.isSigned)
    }
  }

  private static func check(_ names: [String]) throws(FederationError) {
    guard !names.isEmpty else { throw .features(.none) }
    guard names.count <= RunPlan.maximumFeatures else {
      throw .features(.tooMany(count: names.count, limit: RunPlan.maximumFeatures))
    }
    var seen = Set<String>()
    for name in names {
      guard (1...RunPlan.maximumFeatureNameBytes).contains(name.utf8.count) else { throw .features(.name) }
      guard seen.insert(name).inserted else { throw .features(.duplicate(name)) }
    }
  }
}
