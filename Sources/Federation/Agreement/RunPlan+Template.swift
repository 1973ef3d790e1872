extension RunPlan {
  /// A plan with every key, its default and its meaning; parses as it is.
  public static let template = template(name: "fraud", label: "fraudulent_provider", dataSet: "claims")

  /// A plan's text with every key and its meaning.
  ///
  /// - Throws: nothing; ``init(parsing:file:)`` decides whether the values are allowed.
  public static func template(
    name: String, label: String, positive: String = "1", dataSet: String, rounds: Int = 3,
    testFraction: Double = 0.2, splitSeed: UInt64 = 7, steps: Int = 20, reconnect: Duration = .seconds(10)
  ) -> String {
    """
    # What a run is to do. Every organisation reads this very text and decides by its own policy.
    schema: \(schema)
    name: \(YAMLText.scalar(name))

    task:
      kind: train                 # train, or statistics (counts, sums and sums of squares only)
      label: \(YAMLText.scalar(label))
      positive: \(YAMLText.quoted(positive))               # the label's value that counts as 1
      features: all               # every other column, or a list of columns

    data:
      set: \(YAMLText.scalar(dataSet))                 # the name of the data at every organisation
      testFraction: \(testFraction)           # held out at every organisation, the same part of each class
      splitSeed: \(splitSeed)
      preprocessing: [signedLog1p, standardize]

    model:
      kind: logisticRegression
      l2: 0.001
      classWeights: balanced      # balanced, uniform, or constants: {negative: 0.55, positive: 5}

    trainer:
      program: builtin
      optimizer: lbfgs
      steps: \(steps)                   # optimizer steps an organisation takes in a round

    strategy:
      name: FedAvg
      fractionFit: 1.0
      minimumFitClients: 3
      minimumEvaluateClients: 3
      minimumAvailableClients: 3

    rounds: \(rounds)

    secureSum:
      bits: 32                    # width of a masked coordinate, 8 to 32
      clip: 8                     # parameters are clipped to [-clip, clip]; how many were is counted
      rounding: stochastic        # stochastic, or nearest
      weightCap: 100000           # most training rows an organisation may bring
      prg: aes-256-ctr            # chacha20 where processors lack AES instructions
      graph: complete             # regular or auto: above a hundred organisations each masks with some others only
      dropouts: 0.1               # on a regular graph: the share of the organisations that may be lost in an attempt

    evaluation:
      rounds: every               # every, last or none
      histogramBins: 1024         # score bins for the areas under the curves
      serverData: null            # a held-out file of the server's own

    deadlines:
      accept: 30s                 # to answer the announcement
      fit: 10m                    # to train
      step: 60s                   # from each message of the secure sum to the next
      reconnect: \(DurationText.format(reconnect))              # for a lost connection to come back

    privacy: none                 # or noise that hides single rows: bauta plan template --privacy record

    """
  }
}

/// Scalars as YAML that reads back as the same text.
enum YAMLText {
  /// Plain where that is unambiguous, else in double quotes.
  static func scalar(_ text: String) -> String {
    let isWord = text.utf8.allSatisfy { byte in
      (0x30...0x39).contains(byte) || (0x41...0x5A).contains(byte) || (0x61...0x7A).contains(byte)
        || byte == 0x2D || byte == 0x2E || byte == 0x5F
    }
    let startsAsWord = text.utf8.first.map { $0 != 0x2D && $0 != 0x2E } ?? false
    return isWord && startsAsWord ? text : quoted(text)
  }

  static func quoted(_ text: String) -> String {
    var result = "\""
    for scalar in text.unicodeScalars {
      switch scalar {
      case "\"": result += "\\\""
      case "\\": result += "\\\\"
      case "\u{0}"..."\u{1F}", "\u{7F}"..."\u{9F}", "\u{2028}", "\u{2029}", "\u{E000}"..."\u{F8FF}", "\u{FEFF}":
        let digits = String(scalar.value, radix: 16)
        result += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
      default: result.unicodeScalars.append(scalar)
      }
    }
    return result + "\""
  }
}
