public import Cryptography
public import SecureAggregation

/// Figures of one quantity over the organisations.
public struct Spread: Hashable, Sendable {
  public let count: Int
  public let total: Double
  public let median: Double
  public let maximum: Double

  public var mean: Double { count == 0 ? 0 : total / Double(count) }

  init(_ samples: [Double]) {
    let sorted = samples.sorted()
    count = sorted.count
    total = sorted.reduce(0, +)
    median = sorted.isEmpty ? 0 : sorted[sorted.count / 2]
    maximum = sorted.last ?? 0
  }
}

/// Time and bytes of one stage, over all attempts and rounds.
public struct StageFigures: Hashable, Sendable {
  public let stage: RoundStage
  /// Seconds that an organisation worked on its answer.
  public let clientSeconds: Spread
  /// Seconds that the server worked: preparing what it sends, taking answers, closing the stage.
  public let serverSeconds: Double
  /// Bytes that an organisation sent.
  public let sentBytes: Spread
  /// Bytes that an organisation was sent.
  public let receivedBytes: Spread
}

/// How one secure sum ended.
public struct SumOutcome: Hashable, Sendable {
  /// 1, 2, …
  public let round: Int
  /// Attempts that it took: 1 … 8.
  public let attempts: Int
  /// U3.
  public let survivors: [OrganizationName]
  /// Who left or was refused, in the order of the cohort, up to the stage where the sum ended.
  public let lost: [OrganizationName]
  /// Who was complained of or gave a wrong share.
  public let blamed: [OrganizationName]
  public let injections: [Injection]
  /// Whether the server's sum and survivors are, word by word, those computed in the clear.
  public let isExact: Bool
  /// What the sum stopped for; nil if it completed.
  public let stop: AggregationError?
  public let seconds: Double
}

/// What a simulation found.
public struct SimulationReport: Sendable {
  public let settings: SimulationSettings
  /// k and t of a k-regular graph; nil on the complete graph.
  public let regularGraph: RegularGraphParameters?
  /// Shares that recover a secret.
  public let threshold: Int
  /// In the order of the protocol.
  public let stages: [StageFigures]
  public let sums: [SumOutcome]
  /// Bytes of the largest masked input on the wire, its message included.
  public let maskedInputBytes: Int
  public let seconds: Double
  /// The most memory that the process has had.
  public let peakMemoryBytes: UInt64
  /// Over attempts, survivors, lost, blamed and sums of all rounds: the same for the same settings.
  public let outcome: SHA256Digest

  /// Others with whom one organisation shares.
  public var neighborCount: Int { regularGraph?.neighborCount ?? settings.organizations - 1 }

  /// d · B / 8: the coordinates without anything beside them.
  public var termBytes: Double { Double(settings.dimension) * Double(settings.bits) / 8 }

  /// 1.02 · d · B / 8 + 8 a counter + 1 KiB a neighbour: what a masked input may take on the wire.
  public var maskedInputLimit: Double {
    1.02 * termBytes + Double(8 * settings.counters + 1024 * neighborCount)
  }

  /// All sums asked for were computed and are right.
  public var isExact: Bool { sums.count == settings.rounds && sums.allSatisfy(\.isExact) }

  /// Misbehaviour that was sent and that nobody noticed.
  public var slippedThrough: [Injection] { sums.flatMap(\.injections).filter(\.slippedThrough) }

  /// What the last sum stopped for.
  public var stop: AggregationError? { sums.last?.stop }

  public var isSound: Bool { isExact && slippedThrough.isEmpty && Double(maskedInputBytes) <= maskedInputLimit }
}

/// How far a simulation is.
public struct SimulationProgress: Sendable {
  public let round: Int
  public let rounds: Int
  public let attempt: Int
  public let stage: RoundStage
  /// Organisations that have answered, of those who will.
  public let done: Int
  public let total: Int
}
