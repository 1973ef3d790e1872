import DifferentialPrivacy
import Federation
import Learning
import Training

/// One training run with canaries, and its auditor.
struct PrivacyAuditRun {
  private let audit: PrivacyAudit
  private let encoding: IntegerEncoding
  private let strategy: FedSGD
  /// Of each canary, whether it is among the first organisation's rows. The auditor does not look.
  private let isIncluded: [Bool]
  private var state: FedSGD.State?
  private var round = 0
  private var held: [Double]

  init(
    audit: PrivacyAudit, encoding: IntegerEncoding, strategy: FedSGD, count: Int, randomness: inout AuditRandomness
  ) {
    self.audit = audit
    self.encoding = encoding
    self.strategy = strategy
    // The highest bit: the generators' best.
    isIncluded = (0..<count).map { _ in randomness.next() >> 63 == 1 }
    state = audit.start.optimizer
    held = audit.canaries.initialScores(count: count)
  }

  /// - Throws: `EmpiricalAuditError`
  func scores() throws -> CanaryScores { try CanaryScores(scores: held, isIncluded: isIncluded) }

  /// One round: every organisation's term, their sum, what the auditor makes of it, and the next model.
  ///
  /// - Throws: what a term cannot be made for, or a model that runs away.
  mutating func round(_ randomness: inout AuditRandomness) throws {
    guard let state else { throw LearningError.privacy(.roundOutOfRange(rounds: audit.plan.rounds)) }
    let bits = audit.plan.secureSum.bits
    var sum = [UInt32](repeating: 0, count: encoding.dimension)
    var corrupt = sum
    var known = [Double](repeating: 0, count: encoding.dimension)
    for organization in audit.tables.indices {
      let isHonest = organization < audit.honest
      let term = try term(of: organization, state, &randomness)
      for index in sum.indices {
        sum[index] &+= term.words[index]
        if !isHonest { corrupt[index] &+= term.words[index] }
        if isHonest { known[index] += term.known[index] }
      }
    }
    audit.noise.finish(&sum, using: &randomness)
    // Terms of corrupt organisations are the auditor's own: it takes them out again, noise and all.
    let view = try decoded(zip(sum, corrupt).map { $0 &- $1 }, bits: bits)
    audit.canaries.score(zip(view, known).map { $0 - $1 }, round: round, scores: &held)
    self.state = try strategy.next(state, gradientSum: try decoded(sum, bits: bits))
    round += 1
  }

  /// A sum of terms modulo 2^bits in real units, as the server decodes it.
  private func decoded(_ words: [UInt32], bits: Int) throws -> [Double] {
    let mask = UInt32.max >> UInt32(32 - bits)
    return try RecordSum.decode(words: words.map { $0 & mask }, bits: bits, encoding: encoding)
  }

  /// What an organisation sends, as a client makes it; and what the auditor knows of it, which is all but the canaries.
  private func term(
    of organization: Int, _ state: FedSGD.State, _ randomness: inout AuditRandomness
  ) throws -> (words: [UInt32], known: [Double]) {
    let gradients = try PerExampleGradients(
      table: audit.tables[organization], classWeights: audit.start.classWeights, parameters: state.parameters)
    var contribution = RecordContribution(encoding: encoding)
    var known = KnownSum(dimension: encoding.dimension, clip: encoding.clip)
    var gradient = [Double](repeating: 0, count: gradients.dimension)
    for row in 0..<gradients.count {
      // One that is not finite is written as zeros.
      try? gradients.write(row: row, into: &gradient)
      try contribution.add(gradient: gradient, using: &randomness)
      known.add(gradient)
    }
    if organization == 0 {
      for canary in isIncluded.indices where isIncluded[canary] {
        audit.canaries.write(canary, round: round, into: &gradient)
        try contribution.add(gradient: gradient, using: &randomness)
      }
    }
    let words = try audit.noise.term(contribution, bits: audit.plan.secureSum.bits, using: &randomness)
    return (words, known.values)
  }
}
