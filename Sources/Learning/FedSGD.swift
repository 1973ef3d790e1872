/// Federated gradient descent (FedSGD of McMahan et al. 2017) with momentum and an average of the last iterates.
///
/// One round:
///
///     g = sum / expectedExamples + l2 · w          (intercept not penalised)
///     v ← momentum · v + g
///     w ← w − learningRate · v
///
/// `sum` is the decoded sum of (clipped, noised) gradients of single examples. It is divided by a *public* number of
/// examples, because the true one would be a further thing that leaves. Everything after the sum is post-processing:
/// it costs no privacy. The mean of the last ``averagedRounds`` iterates is the model in the end; it takes out part of
/// the noise.
///
/// Beside ``Strategy``, not of it: the sum is of gradients, and there is a state besides the parameters. Both are pure
/// functions of published sums, deterministic to the bit (element-wise IEEE double arithmetic, no BLAS, no fused
/// operations), because every client recomputes them. ``State`` is kept in ``ModelArtifact/optimizer``.
public struct FedSGD: Sendable, Equatable {
  /// What goes from round to round.
  public struct State: Sendable, Equatable {
    /// Where the next gradient is taken: weights, then the intercept.
    public let parameters: [Double]
    public let velocity: [Double]
    /// Σ of the iterates that are averaged, so far.
    public let iterateSum: [Double]
    /// Rounds taken.
    public let round: Int

    /// - Throws: `LearningError` where lengths differ, a value is not finite or the round is negative.
    public init(
      parameters: [Double], velocity: [Double], iterateSum: [Double], round: Int
    ) throws(LearningError) {
      for vector in [parameters, velocity, iterateSum] {
        guard vector.count == parameters.count else {
          throw .model(.parameterCount(expected: parameters.count, found: vector.count))
        }
        if let index = vector.firstIndex(where: { !$0.isFinite }) { throw .model(.notFinite(index: index)) }
      }
      guard round >= 0 else { throw .artifact(.metadata(key: "round", problem: "it is negative")) }
      self.parameters = parameters
      self.velocity = velocity
      self.iterateSum = iterateSum
      self.round = round
    }
  }

  /// The plan's public number of examples that a sum is divided by.
  public let expectedExamples: Double
  public let learningRate: Double
  public let momentum: Double
  public let l2: Double
  /// Rounds of the whole training.
  public let rounds: Int
  /// How many of the last rounds' iterates the model is the mean of; 1 is the last iterate.
  public let averagedRounds: Int

  /// - Parameters:
  ///   - expectedExamples: above 0.
  ///   - learningRate: above 0.
  ///   - momentum: 0 or more, below 1.
  ///   - l2: 0 or more.
  ///   - rounds: 1…100,000.
  ///   - averagedRounds: 1…`rounds`.
  /// - Throws: `LearningError.privacy(.constant)` for a value out of range.
  public init(
    expectedExamples: Double, learningRate: Double, momentum: Double = 0, l2: Double = 0, rounds: Int,
    averagedRounds: Int = 1
  ) throws(LearningError) {
    func require(_ holds: Bool, _ name: String, _ value: Double, _ requirement: String) throws(LearningError) {
      guard holds else { throw .privacy(.constant(name: name, value: value, requirement: requirement)) }
    }
    let isPositive = expectedExamples.isFinite && expectedExamples > 0
    try require(isPositive, "expectedExamples", expectedExamples, "above 0")
    try require(learningRate.isFinite && learningRate > 0, "learningRate", learningRate, "above 0")
    try require(momentum >= 0 && momentum < 1, "momentum", momentum, "0 or more and below 1")
    try require(l2.isFinite && l2 >= 0, "l2", l2, "0 or more")
    try require(1...100_000 ~= rounds, "rounds", Double(rounds), "in 1…100000")
    try require(
      averagedRounds >= 1 && averagedRounds <= rounds, "averagedRounds", Double(averagedRounds), "in 1…\(rounds)")
    self.expectedExamples = expectedExamples
    self.learningRate = learningRate
    self.momentum = momentum
    self.l2 = l2
    self.rounds = rounds
    self.averagedRounds = averagedRounds
  }

  public var name: String { "FedSGD" }

  /// All zeros, before round 1.
  ///
  /// - Throws: `LearningError.model(.parameterCount)` for a count below 1.
  public func initialState(count: Int) throws(LearningError) -> State {
    guard count > 0 else { throw .model(.parameterCount(expected: 1, found: count)) }
    let zeros = Array(repeating: 0.0, count: count)
    return try State(parameters: zeros, velocity: zeros, iterateSum: zeros, round: 0)
  }

  /// The state after one more round.
  ///
  /// - Parameter gradientSum: Σ of the examples' gradients, one element a parameter.
  /// - Throws: `LearningError.privacy` for a sum of another length, a result that is not finite, or a round too many.
  public func next(_ state: State, gradientSum: [Double]) throws(LearningError) -> State {
    guard state.round < rounds else { throw .privacy(.roundOutOfRange(rounds: rounds)) }
    let count = state.parameters.count
    guard gradientSum.count == count else {
      throw .privacy(.gradientCount(expected: count, found: gradientSum.count))
    }
    let round = state.round + 1
    let isAveraged = round > rounds - averagedRounds
    var (parameters, velocity, iterateSum) = (state.parameters, state.velocity, state.iterateSum)
    for index in 0..<count {
      var gradient = gradientSum[index] / expectedExamples
      if index < count - 1 { gradient += l2 * parameters[index] }
      velocity[index] = momentum * velocity[index] + gradient
      parameters[index] -= learningRate * velocity[index]
      if isAveraged { iterateSum[index] += parameters[index] }
      guard parameters[index].isFinite, velocity[index].isFinite, iterateSum[index].isFinite else {
        throw .privacy(.stepNotFinite(index: index))
      }
    }
    return try State(parameters: parameters, velocity: velocity, iterateSum: iterateSum, round: round)
  }

  /// The parameters to use the model with: the mean of the iterates averaged so far, before those the last iterate.
  public func modelParameters(_ state: State) -> [Double] {
    let averaged = state.round - (rounds - averagedRounds)
    return averaged > 0 ? state.iterateSum.map { $0 / Double(averaged) } : state.parameters
  }

  /// Implements "Verified step": whether `next` is, bit for bit, what follows from `state` and the sum.
  ///
  /// Does not show that the sum is the sum of honest terms.
  ///
  /// - Throws: as ``next(_:gradientSum:)``.
  public func follows(_ next: State, from state: State, gradientSum: [Double]) throws(LearningError) -> Bool {
    func areSame(_ one: [Double], _ other: [Double]) -> Bool {
      one.count == other.count && zip(one, other).allSatisfy { $0.bitPattern == $1.bitPattern }
    }
    let expected = try self.next(state, gradientSum: gradientSum)
    return expected.round == next.round && areSame(expected.parameters, next.parameters)
      && areSame(expected.velocity, next.velocity) && areSame(expected.iterateSum, next.iterateSum)
  }
}
