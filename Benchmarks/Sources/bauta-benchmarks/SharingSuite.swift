import Cryptography

@testable import SecureAggregation

/// A cohort as sharing sees it: how many hold a share of each secret, and how many recover it.
struct SharingShape {
  let label: String
  /// Who gets a share of a secret, and of how many secrets one member holds shares.
  let holders: Int
  let threshold: Int

  /// The complete graph with so many assumed corrupt.
  static func complete(_ count: Int, corrupt: Int) -> SharingShape {
    SharingShape(
      label: "n = \(count), n_c = \(corrupt)", holders: count, threshold: (count + corrupt) / 2 + 1)
  }

  /// A k-regular graph as it is chosen for a secure sum.
  static func regular(_ count: Int, corrupt: Int, dropouts: Int) throws -> SharingShape {
    let graph = try RegularGraphParameters(
      organizations: count, corrupt: corrupt, dropouts: dropouts, adversary: .semiMalicious,
      tighteningBits: AggregationContext.graphTighteningBits)
    return SharingShape(
      label: "n = \(count), k = \(graph.neighborCount)", holders: graph.neighborCount, threshold: graph.threshold)
  }

  static func all() throws -> [SharingShape] {
    [
      .complete(5, corrupt: 1), .complete(20, corrupt: 6), .complete(100, corrupt: 33), .complete(100, corrupt: 69),
      try .regular(1000, corrupt: 50, dropouts: 100), try .regular(10_000, corrupt: 500, dropouts: 1000),
    ]
  }
}

/// Sharing secrets and recovering them.
struct SharingSuite {
  let effort: Effort

  func run() throws -> SuiteResult {
    var section = Section(
      title: "Sharing a secret",
      notes: [
        "One secret, one core, processor time. An organisation shares two and commits to both; the server recovers one a "
          + "member. On the complete graph one set of Lagrange coefficients serves nearly all secrets."
      ],
      columns: ["cohort", "shares", "t", "draw and share", "commit", "Lagrange coefficients", "reconstruct and check"])
    for shape in try SharingShape.all() { section.rows.append(try row(shape)) }
    return SuiteResult(sections: [section])
  }

  private func row(_ shape: SharingShape) throws -> [String] {
    let polynomial = try SecretPolynomial(threshold: shape.threshold)
    let indices = Array(1...shape.threshold)
    let shares = try indices.map { try polynomial.share(at: $0).withUnsafeBytes { Array($0) } }
    let coefficients = try SecretSharing.lagrangeCoefficients(at: indices)
    let key = try polynomial.constant().timesBasePoint()
    guard try SecretSharing.reconstruct(shares: shares, coefficients: coefficients).timesBasePoint() == key else {
      throw BenchmarkError.wrongSum
    }
    var (sharing, committing, lagrange, recovering) = (Samples(), Samples(), Samples(), Samples())
    for _ in 0..<effort.repetitions {
      sharing.add(try measure(forAtLeast: effort.seconds) { try share(shape) }.cpu)
      committing.add(try measure(forAtLeast: effort.seconds) { keep(try polynomial.commitments()) }.cpu)
      lagrange.add(
        try measure(forAtLeast: effort.seconds) { keep(try SecretSharing.lagrangeCoefficients(at: indices)) }.cpu)
      recovering.add(
        try measure(forAtLeast: effort.seconds) {
          keep(try SecretSharing.reconstruct(shares: shares, coefficients: coefficients).timesBasePoint() == key)
        }.cpu)
    }
    return [shape.label, "\(shape.holders)", "\(shape.threshold)"]
      + [sharing, committing, lagrange, recovering].map { Figure.time($0.median) }
  }

  /// Into one guarded slot, as the rounds do.
  private func share(_ shape: SharingShape) throws {
    let polynomial = try SecretPolynomial(threshold: shape.threshold)
    var slot = SecretBytes(count: SecretSharing.scalarByteCount)
    for index in 1...shape.holders { polynomial.writeShare(at: index, into: &slot, slot: 0) }
    keep(slot)
  }
}

/// What it costs to check every share against its commitments, and so why large cohorts do it on suspicion only.
struct FeldmanSuite {
  let effort: Effort

  func run() throws -> SuiteResult {
    var section = Section(
      title: "Checking every share (Feldman)",
      notes: [
        "A client checks two shares of each neighbour, about t multiplications each; the server would check every share "
          + "that is released, one a holder and owner. Up to \(AggregationContext.verifyingCohortCount) organisations "
          + "both do. Above, shares are checked when a reconstruction fails: the other rows say what it would cost "
          + "otherwise, and commitments of 2 · t points would travel to every neighbour. One core; times a client and a "
          + "server are the time of one share, times their number."
      ],
      columns: ["cohort", "t", "one share", "a client", "the server", "commitments received by a client", "done"])
    let shapes: [(SharingShape, members: Int)] = [
      (.complete(5, corrupt: 1), 5), (.complete(10, corrupt: 3), 10), (.complete(20, corrupt: 6), 20),
      (.complete(100, corrupt: 33), 100), (try .regular(300, corrupt: 15, dropouts: 30), 300),
      (try .regular(1000, corrupt: 50, dropouts: 100), 1000),
    ]
    for (shape, members) in shapes { section.rows.append(try row(shape, members: members)) }
    return SuiteResult(sections: [section])
  }

  private func row(_ shape: SharingShape, members: Int) throws -> [String] {
    let polynomial = try SecretPolynomial(threshold: shape.threshold)
    let commitments = try polynomial.commitments()
    let shares = try (1...shape.holders).map { try polynomial.share(at: $0).withUnsafeBytes { Array($0) } }
    var samples = Samples()
    for _ in 0..<effort.repetitions {
      var next = 0
      let elapsed = try measure(forAtLeast: effort.seconds) {
        let index = next % shares.count
        guard commitments.verifies(share: shares[index], at: index + 1) else { throw BenchmarkError.wrongSum }
        next += 1
      }
      samples.add(elapsed.cpu)
    }
    // On the complete graph a member holds a share of its own secrets, too.
    let neighbors = members == shape.holders ? shape.holders - 1 : shape.holders
    let received = Double(neighbors * 2 * shape.threshold * GroupElement.byteCount)
    return [
      shape.label, "\(shape.threshold)", Figure.time(samples.median),
      Figure.time(samples.median * Double(2 * neighbors)),
      Figure.time(samples.median * Double(members * shape.holders)), Figure.bytes(received),
      members <= AggregationContext.verifyingCohortCount ? "always" : "on suspicion",
    ]
  }
}
