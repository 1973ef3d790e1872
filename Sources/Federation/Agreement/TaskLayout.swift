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

  /// Counters of a fit: rows that were trained on, and parameters that had to be clipped.
  public static let examplesCounter = "examples"
  public static let clippedCounter = "clipped"

  /// - Parameter featureNames: the columns the task works on; see ``RunPlan/features(of:)``.
  /// - Throws: ``FederationError/features(_:)``, ``FederationError/learning(_:)``, ``FederationError/aggregation(_:)``.
  public init(
    task: TaskKind, plan: RunPlan, manifest: Manifest, featureNames: [String]
  ) throws(FederationError) {
    try Self.check(featureNames)
    let minimum = Self.minimumCohort(of: task, plan: plan, manifest: manifest)
    do {
      parameters = try AggregationParameters(
        tensorCount: task == .fit ? Self.tensorCount(features: featureNames.count) : 0,
        bits: plan.secureSum.bits, clip: plan.secureSum.clip, rounding: plan.secureSum.rounding,
        counters: try Self.counters(of: task, plan: plan, featureNames: featureNames),
        weightCap: UInt64(plan.secureSum.weightCap), generator: plan.secureSum.generator, minimumCohort: minimum,
        minimumHonest: max(2, minimum - manifest.assumedCorrupt), assumedCorrupt: manifest.assumedCorrupt,
        graph: plan.secureSum.sumGraph)
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

  private static func counters(
    of task: TaskKind, plan: RunPlan, featureNames: [String]
  ) throws(LearningError) -> [SecureAggregation.CounterGroup] {
    switch task {
    case .statistics:
      return try groups(
        StatisticsVector(featureNames: featureNames, weightCap: plan.secureSum.weightCap).layout)
    case .evaluate:
      return try groups(
        EvaluationVector(bins: plan.evaluation.histogramBins, weightCap: plan.secureSum.weightCap).layout)
    case .fit:
      let tensors = UInt64(tensorCount(features: featureNames.count))
      return [
        SecureAggregation.CounterGroup(
          name: examplesCounter, count: 1, bound: UInt64(plan.secureSum.weightCap), isSigned: false),
        SecureAggregation.CounterGroup(name: clippedCounter, count: 1, bound: tensors, isSigned: false),
      ]
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

extension RunPlan {
  /// Whether a run under this plan has such a task.
  public func performs(_ task: TaskKind) -> Bool {
    switch self.task.kind {
    case .train: true
    case .statistics: task == .statistics
    case .evaluate: task == .evaluate
    }
  }

  /// The features among an organisation's columns, in the plan's order, or in the columns' where the plan says all.
  ///
  /// - Parameter columns: all columns but the label.
  /// - Throws: ``FederationError/features(_:)``.
  public func features(of columns: [String]) throws(FederationError) -> [String] {
    switch task.features {
    case .all: return columns
    case .named(let names):
      let present = Set(columns)
      if let missing = names.first(where: { !present.contains($0) }) { throw .features(.missing(missing)) }
      return names
    }
  }
}
