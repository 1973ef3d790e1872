/// What the server of a k-regular graph may do.
public enum Adversary: String, Hashable, Sendable, CaseIterable {
  /// Follows the protocol and looks at everything.
  case semiHonest = "semi-honest"
  /// Follows it in the key rounds, and deviates after that in any way.
  case semiMalicious = "semi-malicious"
}

/// The degree and the threshold of a k-regular secure sum.
///
/// Implements §Parameters of the protocol, after Bell et al. 2020, "Secure Single-Server Aggregation with
/// (Poly)Logarithmic Overhead": the smallest even k for which the honest survivors stay connected, no neighbourhood has
/// a threshold of corrupt members, and every neighbourhood keeps a threshold of survivors. The first two fail with a
/// probability of at most 2⁻⁴¹ each, the third with 2⁻²⁰, over the random permutation of ``NeighborGraph``.
///
/// The result depends on the arguments alone, and is the same on every platform. It does not promise anything if more
/// organisations are corrupt or drop out than stated. Where t1 = 0 (`corrupt` = 0, semi-honest) the least threshold
/// of 2 may be one above t2, so that fewer dropouts than stated can end a round.
public struct RegularGraphParameters: Hashable, Sendable {
  /// The numbers of organisations for which parameters can be computed.
  public static let organizationCounts = 3...65_536
  /// By how many bits connectivity and privacy may be tightened: 2^64 attempts.
  public static let tighteningRange = 0...64

  /// k: neighbours of each organisation. Even, 2 … n − 1.
  public let neighborCount: Int
  /// t: shares that recover a secret. 2 … k.
  public let threshold: Int

  /// The smallest even k that meets the conditions, and its t.
  ///
  /// - Parameters:
  ///   - n: organisations in the cohort, in ``organizationCounts``.
  ///   - corrupt: ⌊γn⌋, organisations assumed to collude with the server; 0 … n.
  ///   - dropouts: ⌊δn⌋, organisations that may drop out; 0 … n.
  ///   - tighteningBits: by how many powers of two the bounds of connectivity and privacy are lowered, in
  ///     ``tighteningRange``; 3 pays for 8 attempts.
  /// - Throws: ``GraphFault/outOfRange(_:)``; ``GraphFault/infeasible(organizations:corrupt:dropouts:adversary:)`` if
  ///   γ + δ > 0.9 (semi-honest), γ + 2δ > 0.9 (semi-malicious), or no k below n meets the conditions.
  public init(
    organizations n: Int, corrupt: Int, dropouts: Int, adversary: Adversary, tighteningBits: Int = 0
  ) throws(GraphFault) {
    guard Self.organizationCounts.contains(n) else { throw .outOfRange(.organizations) }
    guard (0...n).contains(corrupt) else { throw .outOfRange(.corrupt) }
    guard (0...n).contains(dropouts) else { throw .outOfRange(.dropouts) }
    guard Self.tighteningRange.contains(tighteningBits) else { throw .outOfRange(.tighteningBits) }
    let bounds = NeighborhoodBounds(
      organizations: n, corrupt: corrupt, dropouts: dropouts, adversary: adversary, tighteningBits: tighteningBits)
    guard bounds.leavesRoom, let found = bounds.smallest() else {
      throw .infeasible(organizations: n, corrupt: corrupt, dropouts: dropouts, adversary: adversary)
    }
    (neighborCount, threshold) = found
  }

  /// Whether there are parameters at these rates for a secure sum, whose bounds are tightened for eight attempts.
  package static func areFeasible(organizations: Int, corrupt: Int, dropouts: Int) -> Bool {
    do throws(GraphFault) {
      _ = try RegularGraphParameters(
        organizations: organizations, corrupt: corrupt, dropouts: dropouts, adversary: .semiMalicious,
        tighteningBits: AggregationContext.graphTighteningBits)
      return true
    } catch { return false }
  }
}

/// The three conditions for one cohort.
private struct NeighborhoodBounds {
  private let organizations: Int
  private let corrupt: Int
  private let dropouts: Int
  private let adversary: Adversary
  /// −log₂ of the probability that connectivity or privacy fails.
  private let securityBits: Int
  private let distribution: NeighborhoodDistribution

  private static let livenessBits = 20

  init(organizations: Int, corrupt: Int, dropouts: Int, adversary: Adversary, tighteningBits: Int) {
    self.organizations = organizations
    self.corrupt = corrupt
    self.dropouts = dropouts
    self.adversary = adversary
    securityBits = 41 + tighteningBits
    distribution = NeighborhoodDistribution(organizations: organizations)
  }

  /// The bound on the fractions, in whole organisations.
  var leavesRoom: Bool {
    let lost =
      switch adversary {
      case .semiHonest: corrupt + dropouts
      case .semiMalicious: corrupt + 2 * dropouts
      }
    return 10 * lost <= 9 * organizations
  }

  /// The smallest even k, with t = max(t1 + 1, 2).
  ///
  /// From one more neighbour, t1 and t2 grow by 0 or 1 each. So a t2 that is `lack` short of t1 stays short over the
  /// next steps: `lack` single ones at least, and twice as many where half of k enters t1. Those k are passed over.
  func smallest() -> (neighborCount: Int, threshold: Int)? {
    var k = smallestConnected()
    while k < organizations {
      let corruptMost = distribution.exceeded(marked: corrupt, neighbors: k, failureBits: securityBits)
      let dropoutsMost = distribution.exceeded(marked: dropouts, neighbors: k, failureBits: Self.livenessBits)
      let least = k - dropoutsMost
      let most =
        switch adversary {
        case .semiHonest: corruptMost
        // ⌈(t1 + k − 1.25) / 2⌉ for whole numbers.
        case .semiMalicious: (corruptMost + k) / 2
        }
      if least > most { return (k, max(most + 1, 2)) }
      let lack = most - least
      switch adversary {
      case .semiHonest: k += (lack / 2 + 1) * 2
      case .semiMalicious: k += 2 * lack + 2
      }
    }
    return nil
  }

  /// The smallest even k for which the survivors are connected: the bound falls with k.
  private func smallestConnected() -> Int {
    var (low, high) = (1, (organizations + 1) / 2)
    while low < high {
      let middle = (low + high) / 2
      if isConnected(2 * middle) { high = middle } else { low = middle + 1 }
    }
    return 2 * low
  }

  /// ½ · n(n−k−1) · B!(n−k)! / (n!(B−k)!) < 2^−securityBits for B lost organisations.
  private func isConnected(_ k: Int) -> Bool {
    let lost = corrupt + dropouts
    guard k <= lost, k < organizations - 1 else { return true }
    let pairs = ScaledReal(Double(organizations) * Double(organizations - k - 1) / 2)
    let bound =
      pairs * (distribution.factorials[lost] / distribution.factorials[organizations])
      * (distribution.factorials[organizations - k] / distribution.factorials[lost - k])
    return bound.exponent < -securityBits
  }
}

/// The number of marked organisations among the neighbours of one: hypergeometric, HG(n, marked, k).
private struct NeighborhoodDistribution {
  private let organizations: Int
  /// i! at i, up to n.
  let factorials: [ScaledReal]

  init(organizations: Int) {
    self.organizations = organizations
    var factorials = [ScaledReal(1)]
    factorials.reserveCapacity(organizations + 1)
    var last = ScaledReal(1)
    for factor in 1...organizations {
      last = last * ScaledReal(Double(factor))
      factorials.append(last)
    }
    self.factorials = factorials
  }

  /// The least u with Pr[more than u of the k neighbours are marked] ≤ 2^−failureBits / n.
  ///
  /// For the corrupt ones this is t1. For the dropouts it is k − t2: fewer than t of k survive exactly when more than
  /// k − t of them drop out.
  func exceeded(marked: Int, neighbors k: Int, failureBits: Int) -> Int {
    var (low, high) = (0, min(marked, k))
    while low < high {
      let middle = (low + high) / 2
      if tailIsWithin(above: middle, marked: marked, neighbors: k, failureBits: failureBits) {
        high = middle
      } else {
        low = middle + 1
      }
    }
    return low
  }

  /// Whether Pr[HG(n, marked, k) > u] ≤ 2^−failureBits / n, for u < min(marked, k).
  private func tailIsWithin(above u: Int, marked: Int, neighbors k: Int, failureBits: Int) -> Bool {
    // The mode alone has a probability of 1/(k + 1) at least, which is above every bound.
    let mode = (k + 1) * (marked + 1) / (organizations + 2)
    guard u >= mode else { return false }
    let first = u + 1
    // The tail over its first term is 1 … k, so a cap above k decides nothing.
    let bound = ScaledReal.powerOfTwo(-failureBits) / ScaledReal(Double(organizations))
    let limit = (bound / probability(of: first, marked: marked, neighbors: k)).value(atMost: 0x1p20)
    let others = organizations - marked - k
    var (term, sum) = (1.0, 1.0)
    // Beyond the mode each term is smaller than the last, and by a growing factor.
    for count in first..<min(marked, k) {
      guard sum <= limit, term > sum * 0x1p-60 else { break }
      term *= Double((marked - count) * (k - count)) / Double((count + 1) * (others + count + 1))
      sum += term
    }
    return sum <= limit
  }

  /// Pr[HG(n, marked, k) = count] for a possible count.
  private func probability(of count: Int, marked: Int, neighbors k: Int) -> ScaledReal {
    choose(marked, count) * choose(organizations - marked, k - count) / choose(organizations, k)
  }

  private func choose(_ n: Int, _ k: Int) -> ScaledReal {
    factorials[n] / (factorials[k] * factorials[n - k])
  }
}
