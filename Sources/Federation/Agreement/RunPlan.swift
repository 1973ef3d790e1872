public import Cryptography
public import Learning
public import SecureAggregation

/// What a run is to do: a `plan.yaml` that has been read and found consistent.
///
/// The text is what both sides agree on: the server distributes it as it is, every client parses the same bytes, and
/// ``hash`` is taken over them. Whether an organisation takes part is its ``Policy``'s decision, not the plan's.
public struct RunPlan: Sendable, Equatable {
  public static let schema = "bauta/plan/1"
  public static let maximumFeatures = 4096
  public static let maximumFeatureNameBytes = 256
  /// Rows of an organisation, so that no sum of counters can exceed 63 bits.
  public static let weightCaps = 1...CounterLayout.maximumWeightCap
  public static let roundCounts = 1...1000

  public let name: String
  public let task: Task
  public let data: DataSettings
  public let model: ModelSettings
  public let trainer: TrainerSettings
  public let strategy: StrategyChoice
  /// Rounds of fitting, 1…1000.
  public let rounds: Int
  public let secureSum: SecureSumSettings
  public let evaluation: EvaluationSettings
  public let deadlines: Deadlines
  public let privacy: PrivacyModel

  /// The plan as distributed.
  public let text: String
  /// SHA-256 of the UTF-8 bytes of ``text``.
  public let hash: PlanHash

  public enum Kind: String, Sendable, CaseIterable { case train, statistics, evaluate }

  public enum FeatureSelection: Sendable, Equatable {
    /// Every column of the data but the label.
    case all
    case named([String])
  }

  public struct Task: Sendable, Equatable {
    public let kind: Kind
    /// The label's column.
    public let label: String
    /// The label's value that counts as 1; every other counts as 0.
    public let positive: String
    public let features: FeatureSelection
  }

  public struct DataSettings: Sendable, Equatable {
    /// Names the data at every organisation; openings are counted a data set.
    public let set: String
    /// Part of the rows that is held out, in (0, 1).
    public let testFraction: Double
    public let splitSeed: UInt64
    public let preprocessing: Preprocessing
    /// Constants of the step `publicScale`; nil without it.
    public let publicScale: PublicScaleSettings?
  }

  public enum ModelKind: String, Sendable, CaseIterable { case logisticRegression }
  public enum ClassWeighting: Sendable, Equatable {
    /// From counts of the classes.
    case balanced
    case uniform
    /// Public constants.
    case fixed(ClassWeights)

    /// Those that need no counts.
    public var constants: ClassWeights? {
      switch self {
      case .balanced: nil
      case .uniform: .uniform
      case .fixed(let weights): weights
      }
    }

    /// As a plan names it.
    var name: String {
      switch self {
      case .balanced: "balanced"
      case .uniform: "uniform"
      case .fixed: "fixed"
      }
    }
  }

  public struct ModelSettings: Sendable, Equatable {
    public let kind: ModelKind
    /// Strength of the L2 penalty, at least 0.
    public let l2: Double
    public let classWeights: ClassWeighting
  }

  public enum TrainerProgram: String, Sendable, CaseIterable { case builtin }
  public enum Optimizer: String, Sendable, CaseIterable { case lbfgs, sgd, dpsgd }

  public struct TrainerSettings: Sendable, Equatable {
    public let program: TrainerProgram
    public let optimizer: Optimizer
    /// Optimizer steps a round, 1…10,000.
    public let steps: Int
    /// Of the optimizer dpsgd; nil for others.
    public let local: LocalDescentSettings?
  }

  public enum StrategyName: String, Sendable, CaseIterable {
    case fedAvg = "FedAvg"
    case fedAvgM = "FedAvgM"
    case fedProx = "FedProx"
    case fedAdagrad = "FedAdagrad"
    case fedAdam = "FedAdam"
    case fedYogi = "FedYogi"
    case qFedAvg = "q-FedAvg"
    case scaffold = "SCAFFOLD"
    case fedNova = "FedNova"
    case dpFedAvg = "DP-FedAvg"
    case fedSGD = "FedSGD"
  }

  public struct StrategyChoice: Sendable, Equatable {
    public let name: StrategyName
    /// Fraction of the available organisations that fit, in (0, 1].
    public let fractionFit: Double
    public let minimumFitClients: Int
    public let minimumEvaluateClients: Int
    public let minimumAvailableClients: Int
    /// Of FedSGD; nil for other strategies.
    public let gradient: GradientDescentSettings?
  }

  public enum Graph: String, Sendable, CaseIterable { case complete, regular, auto }

  public struct SecureSumSettings: Sendable, Equatable {
    /// Width of a tensor coordinate, 8…32.
    public let bits: Int
    /// Parameters are clipped to [−clip, clip].
    public let clip: Double
    public let rounding: Rounding
    /// Most training rows an organisation may bring.
    public let weightCap: Int
    public let generator: MaskGenerator
    public let graph: Graph
    /// Share of the cohort that may be lost in an attempt on a k-regular graph.
    public let dropouts: DropoutRate

    /// What the secure sum calls it.
    public var sumGraph: SumGraph {
      switch graph {
      case .complete: .complete
      case .regular: .regular(dropouts: dropouts)
      case .auto: .automatic(dropouts: dropouts)
      }
    }
  }

  public enum EvaluatedRounds: String, Sendable, CaseIterable { case every, last, none }

  public struct EvaluationSettings: Sendable, Equatable {
    /// After which rounds the model is evaluated. With differential privacy each evaluation is charged.
    public let rounds: EvaluatedRounds
    /// Score bins, 2…65536.
    public let histogramBins: Int
    /// A file of the server's own with held-out rows, or none.
    public let serverData: String?
  }

  public struct Deadlines: Sendable, Equatable {
    /// From the announcement of the run to an organisation's answer.
    public let accept: Duration
    /// From the announcement of a task to the organisation's first message of the secure sum.
    public let fit: Duration
    /// From each message of the secure sum to the next.
    public let step: Duration
    /// How long a lost connection may take to come back before its organisation counts as gone.
    public let reconnect: Duration
  }

  /// The sums of a run, in order: statistics, then fit and evaluate for every round.
  ///
  /// With differential privacy there are no statistics: what they would say of the data is public in the plan, or nothing
  /// needs it.
  public var steps: [(task: TaskKind, round: Int)] {
    var steps: [(task: TaskKind, round: Int)] = privacy.settings == nil ? [(.statistics, 0)] : []
    guard task.kind != .statistics else { return steps }
    for round in 1...rounds {
      steps.append((.fit, round))
      switch evaluation.rounds {
      case .every: steps.append((.evaluate, round))
      case .last: if round == rounds { steps.append((.evaluate, round)) }
      case .none: break
      }
    }
    return steps
  }

  /// Whether a run under this plan has such a task.
  public func performs(_ task: TaskKind) -> Bool { steps.contains { $0.task == task } }

  /// Counts and sums that leave as terms of secure sums under this plan.
  public var requiredStatistics: [StatisticKind] {
    let ofData: [StatisticKind] = performs(.statistics) ? [.count, .sum, .sumOfSquares] : []
    return ofData + (performs(.evaluate) ? [.histogram] : [])
  }

  /// Trainer identity and configuration: all of the plan that decides what a trainer computes from data and model.
  public var programHash: ProgramHash {
    var encoder = CanonicalEncoder("bauta/v1/program")
    encoder.append(trainer.program.rawValue)
    encoder.append(trainer.optimizer.rawValue)
    encoder.append(UInt64(trainer.steps))
    encoder.append(model.kind.rawValue)
    encoder.append(model.l2.bitPattern)
    encoder.append(model.classWeights.name)
    if case .fixed(let weights) = model.classWeights {
      encoder.append(weights.negative.bitPattern)
      encoder.append(weights.positive.bitPattern)
    }
    encoder.append(list: data.preprocessing.names) { (encoder: inout CanonicalEncoder, name: String) in
      encoder.append(name)
    }
    encoder.append(data.testFraction.bitPattern)
    encoder.append(data.splitSeed)
    if strategy.gradient != nil { encoder.append(strategy.name.rawValue) }
    if let local = trainer.local {
      for value in [local.learningRate, local.momentum, local.samplingProbability, privacy.settings?.clip ?? 0] {
        encoder.append(value.bitPattern)
      }
      encoder.append(UInt64(local.expectedExamples))
    }
    // Which rows are in a round.
    if let trees {
      encoder.append("tree")
      encoder.append(UInt64(trees.passes))
      encoder.append(UInt64(trees.steps))
    }
    if let scale = data.publicScale {
      for values in [scale.centres, scale.scales, [scale.bound]] {
        encoder.append(list: values) { (encoder: inout CanonicalEncoder, value: Double) in
          encoder.append(value.bitPattern)
        }
      }
    }
    return ProgramHash(hashing: encoder.finish())
  }
}

/// A statistic that can leave an organisation as a term of a secure sum.
public enum StatisticKind: String, Sendable, CaseIterable, Hashable {
  case count, sum, sumOfSquares, histogram
}
