public import Learning

/// What a plan with differential privacy is written for, and what noise it is to have.
public struct PrivateTemplate: Sendable {
  public let name: String
  public let label: String
  public let positive: String
  public let dataSet: String
  /// Columns in the data's order; as many as the scaling has.
  public let features: [String]
  /// Public centres and scales after `signedLog1p`.
  public let scaling: PublicScaling
  /// Rows to train on in all organisations together, as everybody may know it.
  public let expectedExamples: Int
  /// Organisations among which they are, roughly alike.
  public let organizations: Int
  /// What the run may cost, at ``delta``.
  public let epsilon: Double
  public var delta = 1e-5
  public var unit: PrivacyUnit = .record
  public var noise: NoisePlacement = .distributed
  /// Nil: as many as the kind of noise does well with.
  public var rounds: Int?
  public var minimumClients = 3
  public var weightCap = 100_000
  public var splitSeed: UInt64 = 7
  public var reconnect: Duration = .seconds(10)

  public init(
    name: String, label: String, positive: String = "1", dataSet: String, features: [String], scaling: PublicScaling,
    expectedExamples: Int, organizations: Int, epsilon: Double
  ) {
    self.name = name
    self.label = label
    self.positive = positive
    self.dataSet = dataSet
    self.features = features
    self.scaling = scaling
    self.expectedExamples = expectedExamples
    self.organizations = organizations
    self.epsilon = epsilon
  }

  /// Rounds where none are asked for.
  public static func rounds(unit: PrivacyUnit, noise: NoisePlacement) -> Int {
    unit == .organization || noise == .local ? 5 : 30
  }

  /// The plan: public constants, and noise in everything that leaves.
  ///
  /// The constants are a recipe that was found on public data. Privacy does not depend on them, only the model's use.
  /// ``RunPlan/init(parsing:file:)`` decides whether the values are allowed.
  public var text: String {
    """
    # \(purpose) Every organisation reads this very text and decides by its own policy.
    schema: \(RunPlan.schema)
    name: \(YAMLText.scalar(name))

    task:
      kind: train
      label: \(YAMLText.scalar(label))
      positive: \(YAMLText.quoted(positive))
      features: [\(features.map(YAMLText.quoted).joined(separator: ", "))]

    data:
      set: \(YAMLText.scalar(dataSet))
      testFraction: 0.2
      splitSeed: \(splitSeed)
      preprocessing: [signedLog1p, publicScale]
      # (x - centre) / scale, within the bound: known without looking at the data, so that no statistics leave.
      publicScale:
        centre: \(scaling.centres)
        scale: \(scaling.scales)
        bound: \(scaling.bound)

    model:
      l2: 0.001
      classWeights: {negative: 0.55, positive: 5}   # public: a tenth of such rows is positive

    \(training)
      minimumFitClients: \(minimumClients)          # \(minimum)
      minimumEvaluateClients: \(minimumClients)
      minimumAvailableClients: \(minimumClients)

    rounds: \(roundCount)

    secureSum:
      bits: 32
      weightCap: \(weightCap)

    evaluation:
    \(evaluation)

    deadlines:
      accept: 30s
      fit: 10m
      step: 60s
      reconnect: \(DurationText.format(reconnect))

    privacy:
    \(privacy)
      epsilon: \(epsilon)              # what the whole run costs at most; or noiseMultiplier
      delta: \(delta)

    """
  }
}

extension PrivateTemplate {
  private var roundCount: Int { rounds ?? Self.rounds(unit: unit, noise: noise) }

  /// Whether every organisation trains a model of its own, and models or updates are summed.
  private var trainsAlone: Bool { unit == .organization || noise == .local }

  private var purpose: String {
    unit == .organization
      ? "Training whose result hides every single organisation." : "Training whose result hides every single row."
  }

  private var minimum: String {
    unit == .record && noise != .distributed
      ? "fewer than these, and nothing is summed" : "noise is sized for so few, less those assumed corrupt"
  }

  private var training: String {
    if noise == .local {
      return """
        trainer:
          optimizer: dpsgd          # every organisation trains with noise of its own
          steps: 50
          learningRate: 0.5
          samplingProbability: 0.1  # of a row in a step; which rows is secret
          expectedExamples: \(max(1, expectedExamples / max(1, organizations)))     # of one organisation; public, the true number does not leave

        strategy:
          name: FedAvg
        """
    }
    guard !trainsAlone else {
      return """
        strategy:
          name: FedAvg              # every organisation's update counts the same
        """
    }
    return """
      strategy:
        name: FedSGD
        learningRate: 2.5
        momentum: 0.5
        expectedExamples: \(expectedExamples)        # public; the true number of rows does not leave
        averagedRounds: \(max(1, roundCount / 4))
      """
  }

  private var evaluation: String {
    trainsAlone
      ? "  rounds: none              # counts of rows would leave"
      : """
        rounds: last              # each evaluation is charged
        histogramBins: 16
      """
  }

  private var privacy: String {
    switch (unit, noise) {
    case (.organization, _):
      """
        unit: organization        # whatever one organisation's data are
        mechanism: skellam        # or discreteGaussian
        clip: 1                   # L2 norm of an organisation's update
        # adaptiveClipping: {}    # then the first of a clip that follows the updates, of very many organisations
      """
    case (.record, .local), (.none, .local):
      """
        unit: record              # one row more or less
        noise: local              # inside each organisation: nobody else is counted on
        clip: 2                   # L2 norm of a row's gradient
      """
    case (.record, .central), (.none, .central):
      """
        unit: record              # one row more or less
        noise: central            # the server sees sums without noise, and is trusted to add it
        # tree: {passes: 1}       # every row in one of the rounds only, with noise that cancels over them
        clip: 4                   # L2 norm of a row's gradient
        evaluationShare: 0.1      # of the budget
      """
    case (.record, .distributed), (.none, .distributed):
      """
        unit: record              # one row more or less
        mechanism: skellam        # or discreteGaussian
        clip: 4                   # L2 norm of a row's gradient
        evaluationShare: 0.1      # of the budget
      """
    }
  }
}
