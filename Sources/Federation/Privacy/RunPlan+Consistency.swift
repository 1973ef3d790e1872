import Learning

/// What the parts of a plan ask of each other.
extension RunPlan {
  func requireConsistency(_ top: YAMLMapping) throws(FederationError) {
    func require(_ holds: Bool, _ key: String, _ path: String, _ problem: String) throws(FederationError) {
      guard holds else { throw top.fault(key, .inconsistent(path: path, problem: problem)) }
    }
    let unit = privacy.unit
    try require(
      strategy.gradient == nil || unit == .record, "strategy", "strategy.name",
      "FedSGD sums gradients of rows: it needs privacy.unit: record")
    try require(
      data.publicScale == nil || data.preprocessing.scalesPublicly, "data", "data.publicScale",
      "the preprocessing does not have the step publicScale")
    try require(
      data.publicScale != nil || !data.preprocessing.scalesPublicly, "data", "data.preprocessing",
      "the step publicScale needs the constants of data.publicScale")
    if let count = data.publicScale?.featureCount {
      guard case .named(let names) = task.features, names.count == count else {
        throw top.fault(
          "data",
          .inconsistent(path: "data.publicScale", problem: "it lists \(count) features: name as many in task.features"))
      }
    }
    let isLocal = privacy.settings?.placement == .local
    try require(
      trainer.local == nil || isLocal, "trainer", "trainer.optimizer",
      "dpsgd adds noise as it trains: it needs privacy.noise: local")
    guard unit != .none else { return }
    if privacy.settings?.adaptiveClipping != nil {
      try require(
        unit == .organization, "privacy", "privacy.adaptiveClipping",
        "the clip follows the norms of whole updates: it needs privacy.unit: organization")
      try require(
        privacy.settings?.placement == .distributed, "privacy", "privacy.adaptiveClipping",
        "the bits that move the clip travel with noise of all organisations: it needs privacy.noise: distributed")
    }
    try require(
      privacy.settings?.placement != .central || strategy.gradient != nil, "privacy", "privacy.noise",
      "central noise is for the strategy FedSGD, which sums gradients of single rows")
    try requireTree(require)
    if isLocal { try requireLocalNoise(require) }
    try require(
      task.kind == .train, "task", "task.kind",
      "statistics leave without noise; with differential privacy a plan trains")
    try require(
      unit != .record || strategy.gradient != nil || isLocal, "strategy", "strategy.name",
      "privacy.unit: record needs the strategy FedSGD, which sums gradients of single rows, or privacy.noise: local")
    try require(
      !data.preprocessing.standardizes, "data", "data.preprocessing",
      "standardize needs statistics of the data, which would leave without noise: use publicScale")
    try require(
      model.classWeights.constants != nil, "model", "model.classWeights",
      "balanced weights follow from counts of the data, which would leave without noise: use uniform, or constants")
    try require(
      evaluation.rounds != .every, "evaluation", "evaluation.rounds",
      "every evaluation is charged: write last, or none")
    // A row counts once in a histogram; an organisation any number of times, which no useful noise would cover.
    try require(
      unit != .organization || evaluation.rounds == .none, "evaluation", "evaluation.rounds",
      "noise of an evaluation hides single rows, not an organisation: with privacy.unit: organization write none")
    try require(
      evaluation.rounds == .none || evaluation.histogramBins <= 1024 && evaluation.histogramBins.isMultiple(of: 2),
      "evaluation", "evaluation.histogramBins", "with noise in every bin it is an even number up to 1024, such as 16")
  }

  /// What noise over many rounds needs.
  private func requireTree(
    _ require: (_ holds: Bool, _ key: String, _ path: String, _ problem: String) throws(FederationError) -> Void
  ) throws(FederationError) {
    guard let settings = privacy.settings, let tree = settings.tree else { return }
    try require(
      settings.placement == .central, "privacy", "privacy.tree",
      "a tree is noise that the server adds over many rounds: it needs privacy.noise: central")
    try require(
      rounds.isMultiple(of: tree.passes), "privacy", "privacy.tree.passes",
      "\(rounds) rounds cannot be divided into \(tree.passes) passes of the same length")
  }

  /// What training with noise of its own needs.
  private func requireLocalNoise(
    _ require: (_ holds: Bool, _ key: String, _ path: String, _ problem: String) throws(FederationError) -> Void
  ) throws(FederationError) {
    try require(
      privacy.unit == .record, "privacy", "privacy.unit",
      "noise: local hides single rows of each organisation: it needs privacy.unit: record")
    try require(
      strategy.gradient == nil, "strategy", "strategy.name",
      "with privacy.noise: local every organisation trains a model of its own: write FedAvg")
    try require(
      trainer.local != nil, "trainer", "trainer.optimizer",
      "privacy.noise: local is added by the optimizer dpsgd: write that, and its keys")
    try require(
      evaluation.rounds == .none, "evaluation", "evaluation.rounds",
      "with privacy.noise: local no counts of rows leave an organisation: write none")
  }
}
