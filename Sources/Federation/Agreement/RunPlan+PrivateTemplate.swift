public import Learning

extension RunPlan {
  /// A plan with differential privacy of single rows, as text: FedSGD with public constants, and noise in every sum.
  ///
  /// The constants are a recipe that was found on public data. Privacy does not depend on them, only the model's use.
  ///
  /// - Parameters:
  ///   - features: columns in the data's order; as many as the scaling has.
  ///   - scaling: public centres and scales after `signedLog1p`.
  ///   - expectedExamples: rows to train on in all organisations together, as everybody may know it.
  ///   - epsilon: what the run may cost, at `delta`.
  /// - Throws: nothing; ``init(parsing:file:)`` decides whether the values are allowed.
  public static func privateTemplate(
    name: String, label: String, positive: String = "1", dataSet: String, features: [String], scaling: PublicScaling,
    expectedExamples: Int, epsilon: Double, delta: Double = 1e-5, rounds: Int = 30, minimumClients: Int = 3,
    weightCap: Int = 100_000, splitSeed: UInt64 = 7, reconnect: Duration = .seconds(10)
  ) -> String {
    """
    # Training whose result hides every single row. Every organisation reads this very text and decides by its own policy.
    schema: \(schema)
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

    strategy:
      name: FedSGD
      learningRate: 2.5
      momentum: 0.5
      expectedExamples: \(expectedExamples)        # public; the true number of rows does not leave
      averagedRounds: \(max(1, rounds / 4))
      minimumFitClients: \(minimumClients)          # noise is sized for so few, less those assumed corrupt
      minimumEvaluateClients: \(minimumClients)
      minimumAvailableClients: \(minimumClients)

    rounds: \(rounds)

    secureSum:
      bits: 32
      weightCap: \(weightCap)

    evaluation:
      rounds: last              # each evaluation is charged
      histogramBins: 16

    deadlines:
      accept: 30s
      fit: 10m
      step: 60s
      reconnect: \(DurationText.format(reconnect))

    privacy:
      unit: record              # one row more or less
      mechanism: skellam        # or discreteGaussian
      clip: 4                   # L2 norm of a row's gradient
      epsilon: \(epsilon)              # what the whole run costs at most; or noiseMultiplier
      delta: \(delta)
      evaluationShare: 0.1      # of the budget

    """
  }
}
