import Cryptography
import DifferentialPrivacy
import Federation
import Foundation
import Learning
import Training

/// Runs of a plan in this process with canaries among one organisation's rows, to see how much noise hides of them.
///
/// What is audited is what organisations do with rows and the server with terms: clipping, rounding, noise, sums modulo
/// 2^bits, decoding, and the step that leads to the next model. The auditor sees every published sum and knows plan,
/// rows, and everything of the organisations that are assumed corrupt; it does not know the coins, the noise of the h
/// others, nor how they rounded.
struct PrivacyAudit {
  /// How much noise is drawn.
  enum Noise: Hashable, Sendable {
    /// As the plan has it.
    case planned
    /// The least that can be drawn, standard deviation ½ in integer units: as good as none.
    case least
    /// A mechanism that is broken: so many times the planned standard deviation.
    case scaled(Double)
  }

  struct Settings: Sendable {
    /// That are counted; nil: as many as the plan's ε needs.
    var canaries: Int?
    var confidence = 0.95
    var noise = Noise.planned
    /// Of all random numbers; nil: none can be foretold.
    var seed: UInt64?
  }

  static let canaryCounts = 100...1_000_000
  static let confidences = 0.5...0.999999
  /// Rows that each organisation has of made-up data.
  static let syntheticRows = 200

  let plan: RunPlan
  let settings: Settings
  let form: NoiseAgreement.Form
  let delta: Double
  let encoding: IntegerEncoding
  /// The noise that is drawn, which is the planned one unless the audit is of less.
  let noise: AuditedNoise
  /// Organisations in a sum: the fewest that may be.
  let cohort: Int
  let canaries: OrthogonalCanaries
  /// That are counted.
  let counted: Int
  /// At most so many take part in one run.
  let perRun: Int
  let start: ModelArtifact
  let strategy: FedSGD
  /// What each organisation trains on, as the model sees it.
  let tables: [FeatureTable]

  /// - Parameters:
  ///   - data: Rows to be divided among the organisations, of the plan's columns; nil for made-up ones.
  ///   - path: Of the plan, for messages.
  /// - Throws: `CommandError` for a plan or data that cannot be audited, and what plan, data or noise throw.
  init(plan: RunPlan, path: String, data: FeatureTable?, settings: Settings) throws {
    let remedy = "For a plan that can be audited: bauta plan template --privacy record"
    guard plan.privacy.settings != nil else {
      throw CommandError.unsuitable(
        path: path, problem: "the plan has no differential privacy (privacy: none)", remedy: remedy)
    }
    let otherPlan = CommandError.unsuitable(
      path: path,
      problem: "the audit is of privacy.unit: record with FedSGD, and of noise in single sums: distributed, or central "
        + "without a tree", remedy: remedy)
    guard let privacy = plan.privacy.settings, privacy.unit == .record, let gradient = plan.strategy.gradient else {
      throw otherPlan
    }
    let manifest = try PlannedSums.federation(of: max(3, plan.smallestFederation))
    cohort = TaskLayout.minimumCohort(of: .fit, plan: plan, manifest: manifest)
    let raw = try Self.tables(plan, path: path, data: data, organizations: cohort, seed: settings.seed)
    let features = raw[0].featureNames
    let layout = try TaskLayout(task: .fit, plan: plan, manifest: manifest, featureNames: features)
    let progression = RunProgression(
      plan: plan, run: try RunIdentifier("20000101-000000-0000000000000000"), features: features)
    guard let agreement = layout.noise, let encoding = agreement.encoding, let start = progression.artifact else {
      throw CommandError.unsuitable(
        path: path, problem: "no model follows from its public constants", remedy: "Check it with 'bauta plan check'.")
    }
    self.plan = plan
    self.settings = settings
    form = agreement.form
    self.encoding = encoding
    guard let noise = try AuditedNoise(agreement.form, settings.noise) else { throw otherPlan }
    self.noise = noise
    delta = privacy.delta
    self.start = start
    strategy = try FedSGD(
      expectedExamples: Double(gradient.expectedExamples), learningRate: gradient.learningRate,
      momentum: gradient.momentum, l2: plan.model.l2, rounds: plan.rounds, averagedRounds: gradient.averagedRounds)
    tables = try raw.map { try start.preprocessing.apply(plan.split($0).train) }
    canaries = try OrthogonalCanaries(
      dimension: encoding.dimension, rounds: plan.rounds, clip: encoding.clip)
    counted =
      try settings.canaries
      ?? OneRunAudit.canaries(
        toShow: form.epsilon, delta: privacy.delta, confidence: settings.confidence)
    let room = plan.secureSum.weightCap - (tables.map(\.rowCount).max() ?? 0)
    guard room > 0 else {
      throw CommandError.unsuitable(
        path: path, problem: "its weightCap leaves no room for canaries beside the rows",
        remedy: "Give --data with fewer rows.")
    }
    perRun = min(canaries.capacity, room, counted)
  }

  var epsilon: Double { form.epsilon }
  /// h: organisations whose noise the auditor does not know.
  var honest: Int { noise.honest(of: cohort) }
  /// Canaries whose coins choose how many guesses are made, and are not counted.
  var pilot: Int { min(perRun, max(25, counted / 4)) }
  /// With the pilot.
  var runs: Int { 1 + (counted + perRun - 1) / perRun }

  /// Performs the runs.
  ///
  /// - Parameter progress: is told how many rounds of all are done.
  /// - Throws: what data, noise or randomness throw.
  func run(progress: (_ done: Int, _ total: Int) -> Void) throws -> PrivacyAuditResult {
    var randomness = try AuditRandomness(seed: settings.seed, generator: plan.secureSum.generator)
    let total = runs * plan.rounds
    var done = 0
    func perform(_ count: Int) throws -> CanaryScores {
      var run = PrivacyAuditRun(audit: self, count: count, randomness: &randomness)
      for _ in 0..<plan.rounds {
        try run.round(&randomness)
        done += 1
        progress(done, total)
      }
      // Before anything is made of the numbers.
      try randomness.check()
      return try run.scores()
    }
    let guesses = try perform(pilot).guesses(canaries: counted, delta: delta, confidence: settings.confidence)
    var scores = try CanaryScores(scores: [], isIncluded: [])
    while scores.count < counted { scores.append(try perform(min(perRun, counted - scores.count))) }
    return try PrivacyAuditResult(audit: self, guesses: try scores.audit(guesses: guesses))
  }

  // MARK: - What a run begins with

  private static func tables(
    _ plan: RunPlan, path: String, data: FeatureTable?, organizations: Int, seed: UInt64?
  ) throws -> [FeatureTable] {
    if let data {
      guard data.rowCount >= organizations else {
        throw CommandError.usage("--data has fewer rows than organisations.", remedy: "Give a larger file.")
      }
      return DemoData.divide(data, into: organizations, seed: seed ?? 1)
    }
    guard case .named(let names) = plan.task.features else { return try synthetic(organizations, seed: seed) }
    return try synthetic(organizations, seed: seed).map { table in
      let places = names.compactMap(table.featureNames.firstIndex(of:))
      guard places.count == names.count else {
        throw CommandError.unsuitable(
          path: path, problem: "made-up rows do not have the columns of its task.features",
          remedy: "Give rows that do with --data; what they say is not published.")
      }
      let values = (0..<table.rowCount).flatMap { row in
        places.map { table.values[row * table.columnCount + $0] }
      }
      return try FeatureTable(featureNames: names, values: values, labels: table.labels)
    }
  }

  private static func synthetic(_ organizations: Int, seed: UInt64?) throws -> [FeatureTable] {
    try (0..<organizations).map {
      try SyntheticProviders.generate(
        rows: syntheticRows, organization: $0, organizations: organizations, seed: seed ?? 1)
    }
  }
}

/// What came of an audit.
struct PrivacyAuditResult: Sendable, Equatable {
  /// The accountant's, of the plan.
  let epsilon: Double
  let delta: Double
  let confidence: Double
  let guesses: OneRunAudit
  /// With the confidence, ε is at least this.
  let bound: Double
  /// The most that so many canaries could have shown.
  let ceiling: Double

  init(audit: PrivacyAudit, guesses: OneRunAudit) throws {
    epsilon = audit.epsilon
    delta = audit.delta
    confidence = audit.settings.confidence
    self.guesses = guesses
    bound = try guesses.epsilonLowerBound(delta: delta, confidence: confidence)
    ceiling = try OneRunAudit.ceiling(canaries: guesses.canaries, delta: delta, confidence: confidence)
  }

  /// Whether what was seen cannot be had under the plan's (ε, δ).
  var isFlagged: Bool { bound > epsilon }
  /// Whether the audit would notice if there were no noise at all.
  var hasTeeth: Bool { ceiling > epsilon }
}
