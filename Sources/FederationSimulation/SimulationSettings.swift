public import SecureAggregation

/// Who shares with whom in a simulation.
public enum SimulatedGraph: String, Hashable, Sendable, CaseIterable {
  /// Complete up to ``SecureAggregation/SumGraph/largestAutomaticComplete`` organisations, k-regular above.
  case automatic = "auto"
  case complete
  case regular
}

/// What a simulation is to do. Equal settings on the same machine give the same outcome.
public struct SimulationSettings: Hashable, Sendable {
  public static let organizationCounts = 3...AggregationContext.regularCohortCounts.upperBound
  public static let dimensions = 1...AggregationParameters.maximumTensorCount
  public static let bitCounts = 8...32
  public static let counterCounts = 0...(1 << 16)
  public static let roundCounts = 1...1000
  public static let coreCounts = 1...64

  /// What one simulated counter may be: −bound … bound.
  static let counterBound: UInt64 = 1 << 20
  /// Tensor values are drawn from −clip … clip.
  static let clip = 1.0

  /// n
  public let organizations: Int
  /// Tensor coordinates of a term.
  public let dimension: Int
  /// Counters of a term, beside the coordinates.
  public let counters: Int
  /// Bits of a coordinate on the wire.
  public let bits: Int
  /// Share of the organisations that leave in each round; ⌊drop · n⌋ of them do.
  public let drop: DropoutRate
  /// Share assumed to collude with the server; n_c is ⌊corrupt · n⌋. They shape the threshold and follow the protocol.
  public let corrupt: DropoutRate
  /// Organisations that misbehave in each round, none of them one that leaves.
  public let faults: Int
  public let graph: SimulatedGraph
  /// Secure sums, one after another, each over new terms.
  public let rounds: Int
  public let seed: UInt64
  /// Cores that may be used. Only the time depends on them.
  public let cores: Int

  /// - Throws: ``SimulationError/outOfRange(_:allowed:)``, ``SimulationError/infeasibleGraph(_:)``.
  public init(
    organizations: Int, dimension: Int, counters: Int, bits: Int, drop: DropoutRate, corrupt: DropoutRate, faults: Int,
    graph: SimulatedGraph, rounds: Int, seed: UInt64, cores: Int
  ) throws(SimulationError) {
    func require(
      _ value: Int, in allowed: ClosedRange<Int>, _ field: SimulationError.Field
    ) throws(SimulationError) {
      guard allowed.contains(value) else { throw .outOfRange(field, allowed: allowed) }
    }
    try require(organizations, in: Self.organizationCounts, .organizations)
    try require(dimension, in: Self.dimensions, .dimension)
    try require(counters, in: Self.counterCounts, .counters)
    try require(bits, in: Self.bitCounts, .bits)
    try require(faults, in: 0...(organizations - drop.count(of: organizations)), .faults)
    try require(rounds, in: Self.roundCounts, .rounds)
    try require(cores, in: Self.coreCounts, .cores)
    self.organizations = organizations
    self.dimension = dimension
    self.counters = counters
    self.bits = bits
    self.drop = drop
    self.corrupt = corrupt
    self.faults = faults
    self.graph = graph
    self.rounds = rounds
    self.seed = seed
    self.cores = cores
    try requireFeasibleGraph()
  }

  /// Organisations that leave in each round.
  public var dropouts: Int { drop.count(of: organizations) }

  /// n_c
  public var assumedCorrupt: Int { corrupt.count(of: organizations) }

  /// Losses for which a k-regular graph is made: who misbehaves is refused, and then lost like one that leaves.
  var losses: Int { min(dropouts + faults, organizations) }

  private var isRegular: Bool {
    switch graph {
    case .automatic: organizations > SumGraph.largestAutomaticComplete
    case .complete: false
    case .regular: true
    }
  }

  /// The smallest rate of at least so many losses.
  private func rate(ofLosses count: Int) -> DropoutRate {
    DropoutRate(perMille: min((1000 * count + organizations - 1) / organizations, 1000)) ?? drop
  }

  func parameters() throws(AggregationError) -> AggregationParameters {
    let rate = rate(ofLosses: losses)
    let sumGraph: SumGraph =
      switch graph {
      case .automatic: .automatic(dropouts: rate)
      case .complete: .complete
      case .regular: .regular(dropouts: rate)
      }
    let groups = CounterGroup(name: "simulated", count: counters, bound: Self.counterBound, isSigned: true)
    return try AggregationParameters(
      tensorCount: dimension, bits: bits, clip: Self.clip, rounding: .nearest, counters: counters > 0 ? [groups] : [],
      weightCap: 1, generator: .aes256CTR, minimumCohort: Self.organizationCounts.lowerBound, minimumHonest: 2,
      assumedCorrupt: assumedCorrupt, graph: sumGraph)
  }

  private func requireFeasibleGraph() throws(SimulationError) {
    let allowed =
      isRegular ? AggregationContext.regularCohortCounts : AggregationContext.cohortCounts
    guard allowed.contains(organizations) else { throw .cohortOutsideGraph(isRegular: isRegular, allowed: allowed) }
    guard isRegular else { return }
    let count = rate(ofLosses: losses).count(of: organizations)
    guard !isFeasible(corrupt: assumedCorrupt, losses: count) else { return }
    let corrupt = assumedCorrupt
    throw .infeasibleGraph(
      InfeasibleRates(
        organizations: organizations, corrupt: corrupt, losses: count,
        largestLosses: largestRate { isFeasible(corrupt: corrupt, losses: $0) },
        largestCorrupt: largestRate { isFeasible(corrupt: $0, losses: count) }))
  }

  private func isFeasible(corrupt: Int, losses: Int) -> Bool {
    RegularGraphParameters.areFeasible(organizations: organizations, corrupt: corrupt, dropouts: losses)
  }

  /// The largest rate that is feasible, or nil: who is fewer is feasible too.
  private func largestRate(_ feasible: (Int) -> Bool) -> DropoutRate? {
    var (low, high) = (-1, 1000)
    while low < high {
      let middle = (low + high + 1) / 2
      if feasible(organizations * middle / 1000) { low = middle } else { high = middle - 1 }
    }
    return DropoutRate(perMille: low)
  }
}
