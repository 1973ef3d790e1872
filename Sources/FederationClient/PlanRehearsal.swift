import Cryptography
public import Federation
public import Learning
import SecureAggregation

/// A plan carried out in this process, on rows that may be in one place: to see what a model of it is worth.
///
/// Terms, noise and models are made by the code that makes them in a run. What is missing is what hides terms: keys, masks,
/// messages and logs; also policies and the ledger. All organisations take part in every round. It promises nothing about
/// the rows: whoever holds them all needs no noise to read them.
public struct PlanRehearsal: Sendable {
  /// What came of it.
  public struct Outcome: Sendable {
    public let model: ModelArtifact
    /// On the held-out rows of all organisations together, without noise.
    public let metrics: BinaryMetrics
  }

  private let plan: RunPlan
  private let manifest: Manifest
  private let features: [String]
  private let runners: [TaskRunner]
  private let heldOut: FeatureTable

  /// - Parameters:
  ///   - tables: rows of each organisation of the manifest, before preprocessing; of the plan's columns.
  /// - Throws: `LearningError` for tables that the plan cannot be carried out on; ``ClientError/unexpected(_:)`` for another
  ///   number of them than organisations.
  public init(plan: RunPlan, manifest: Manifest, tables: [FeatureTable]) throws {
    guard let first = tables.first, tables.count == manifest.organizations.count else {
      throw ClientError.unexpected("a rehearsal with another number of tables than organisations")
    }
    self.plan = plan
    self.manifest = manifest
    features = first.featureNames
    runners = try tables.map { TaskRunner(data: try LocalData($0, plan: plan), plan: plan, minimumRows: 0) }
    heldOut = try FeatureTable.concatenating(tables.map { try plan.split($0).test })
  }

  /// Trains once. Noise is drawn anew each time.
  ///
  /// - Parameter noise: in place of the plan's own, of another amount (`NoiseAgreement.with(epsilon:)`).
  /// - Throws: ``ClientError``, ``FederationError``, ``ProgressionError``, `LearningError`.
  public func train(noise: NoiseAgreement? = nil) throws -> Outcome {
    let run = try RunIdentifier("rehearsal")
    var progression = RunProgression(plan: plan, run: run, features: features)
    let noise = try noise ?? progression.noise(manifest)
    // Nobody has to find the same noise again: there is no second attempt and no restart.
    let seed = TreeSeed()
    for step in plan.steps where step.task != .evaluate {
      let opening = OpeningIdentifier(run: run, task: step.task, round: step.round, attempt: 1)
      let context = try context(of: step.task, noise)
      let sum = try sum(of: opening, progression, noise, context)
      _ = try progression.apply(
        try noise?.published(sum, of: opening, context: context, seed: seed) ?? sum, of: opening)
    }
    guard let model = progression.artifact else { throw ProgressionError.outOfOrder }
    return Outcome(model: model, metrics: try BinaryMetrics(logits: model.logits(heldOut), labels: heldOut.labels))
  }

  private func context(of task: TaskKind, _ noise: NoiseAgreement?) throws -> AggregationContext {
    let layout = try TaskLayout(task: task, plan: plan, manifest: manifest, featureNames: features, noise: noise)
    return try AggregationContext(
      binding: BindingDigest(hashing: [UInt8]()), parameters: layout.parameters,
      cohort: try manifest.cohort(of: manifest.organizations.map(\.name)), server: manifest.server.keys.identity)
  }

  private func sum(
    of opening: OpeningIdentifier, _ progression: RunProgression, _ noise: NoiseAgreement?,
    _ context: AggregationContext
  ) throws -> AggregateSum {
    var words = [UInt32](repeating: 0, count: context.parameters.tensorCount)
    var counters = [UInt64](repeating: 0, count: context.parameters.counterCount)
    for runner in runners {
      let term = try runner.term(of: opening, progression: progression, noise: noise, context: context).term
      for (index, word) in term.tensors.enumerated() { words[index] &+= word }
      for (index, counter) in term.counters.enumerated() { counters[index] &+= counter }
    }
    return try AggregateSum(
      words: words, counters: counters, survivors: context.cohort.map(\.name),
      maskedInputRoot: MaskedInputRoot(hashing: [UInt8]()), context: context)
  }
}
