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
  /// Of sums of gradients; nil where organisations train by themselves.
  let encoding: IntegerEncoding?
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
  /// Nil where organisations train by themselves.
  let strategy: FedSGD?
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
      problem: "the audit is of privacy.unit: record, and not of the noise of a tree", remedy: remedy)
    guard let privacy = plan.privacy.settings, privacy.unit == .record else { throw otherPlan }
    let manifest = try PlannedSums.federation(of: max(3, plan.smallestFederation))
    cohort = TaskLayout.minimumCohort(of: .fit, plan: plan, manifest: manifest)
    let raw = try Self.tables(plan, path: path, data: data, organizations: cohort, seed: settings.seed)
    let features = raw[0].featureNames
    let layout = try TaskLayout(task: .fit, plan: plan, manifest: manifest, featureNames: features)
    let progression = RunProgression(
      plan: plan, run: try RunIdentifier("20000101-000000-0000000000000000"), features: features)
    guard let agreement = layout.noise, let start = progression.artifact else {
      throw CommandError.unsuitable(
        path: path, problem: "no model follows from its public constants", remedy: "Check it with 'bauta plan check'.")
    }
    self.plan = plan
    self.settings = settings
    form = agreement.form
    encoding = agreement.encoding
    guard let noise = try AuditedNoise(agreement.form, settings.noise) else { throw otherPlan }
    self.noise = noise
    delta = privacy.delta
    self.start = start
    strategy = try plan.gradientDescent
    tables = try raw.map { try start.preprocessing.apply(plan.split($0).train) }
    canaries = try OrthogonalCanaries(
      dimension: layout.parameters.tensorCount,
      rounds: plan.rounds * (plan.trainer.local == nil ? 1 : plan.trainer.steps),
      clip: privacy.clip)
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
    perRun = min(Self.most(noise, canaries), room, counted)
  }

  /// Canaries of one run. Where a step draws them at random they are noise to each other, which is to stay well below the
  /// noise that is audited.
  private static func most(_ noise: AuditedNoise, _ canaries: OrthogonalCanaries) -> Int {
    guard case .training(let noise) = noise else { return canaries.capacity }
    let quiet =
      0.2 * noise.noiseMultiplier * noise.noiseMultiplier * Double(canaries.dimension) / noise.samplingProbability
    return min(canaries.capacity, max(canaries.dimension, Int(min(quiet, 1e6))))
  }

  var epsilon: Double { form.epsilon }
  /// h: organisations whose noise the auditor does not know.
  var honest: Int { noise.honest(of: cohort) }
  /// Canaries whose coins choose how many guesses are made, and are not counted. As many as one run takes, but where that is
  /// few.
  var pilot: Int {
    let wanted = max(25, counted / 4)
    if case .training = noise { return wanted }
    return min(perRun, wanted)
  }
  /// With the pilot's.
  var runs: Int { pilotRuns + (counted + perRun - 1) / perRun }
  var pilotRuns: Int { (pilot + perRun - 1) / perRun }

  /// Performs the runs.
  ///
  /// - Parameter progress: is told how many rounds of all are done.
  /// - Throws: what data, noise or randomness throw.
  func run(progress: (_ done: Int, _ total: Int) -> Void) throws -> PrivacyAuditResult {
    var randomness = try AuditRandomness(seed: settings.seed, generator: plan.secureSum.generator)
    let total = runs * plan.rounds
    var done = 0
    func perform(_ count: Int) throws -> CanaryScores {
      if case .training(let noise) = noise {
        let run = LocalAuditRun(audit: self, noise: noise, count: count, randomness: &randomness)
        return try run.scores(&randomness) {
          done += 1
          progress(done, total)
        }
      }
      guard let encoding, let strategy else { throw MechanismError.parameter(.section) }
      var run = PrivacyAuditRun(
        audit: self, encoding: encoding, strategy: strategy, count: count, randomness: &randomness)
      for _ in 0..<plan.rounds {
        try run.round(&randomness)
        done += 1
        progress(done, total)
      }
      // Before anything is made of the numbers.
      try randomness.check()
      return try run.scores()
    }
    func scores(of count: Int) throws -> CanaryScores {
      var scores = try CanaryScores(scores: [], isIncluded: [])
      while scores.count < count { scores.append(try perform(min(perRun, count - scores.count))) }
      return scores
    }
    let guesses = try scores(of: pilot).guesses(canaries: counted, delta: delta, confidence: settings.confidence)
    let scores = try scores(of: counted)
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
