import Foundation
import Testing

@testable import SecureAggregation

/// One cell of the tables; `expected` is nil where nothing is feasible.
struct GraphCell: Sendable, CustomTestStringConvertible {
  let organizations: Int
  let corrupt: Int
  let dropouts: Int
  let adversary: Adversary
  let tighteningBits: Int
  let expected: (neighborCount: Int, threshold: Int)?

  init(
    _ organizations: Int, _ corrupt: Int, _ dropouts: Int, _ adversary: Adversary, _ tighteningBits: Int,
    _ expected: (neighborCount: Int, threshold: Int)?
  ) {
    self.organizations = organizations
    self.corrupt = corrupt
    self.dropouts = dropouts
    self.adversary = adversary
    self.tighteningBits = tighteningBits
    self.expected = expected
  }

  /// γ and δ in hundredths, without tightening.
  init(
    _ organizations: Int, percent: (Int, Int), _ adversary: Adversary,
    _ expected: (neighborCount: Int, threshold: Int)?
  ) {
    self.init(
      organizations, organizations * percent.0 / 100, organizations * percent.1 / 100, adversary, 0, expected)
  }

  var testDescription: String {
    "n \(organizations), corrupt \(corrupt), dropouts \(dropouts), \(adversary.rawValue), \(tighteningBits) bits"
  }

  func check(_ location: SourceLocation = #_sourceLocation) throws {
    guard let expected else {
      #expect(throws: infeasible, sourceLocation: location) { try make() }
      return
    }
    let made = try make()
    #expect(made.neighborCount == expected.neighborCount, sourceLocation: location)
    #expect(made.threshold == expected.threshold, sourceLocation: location)
  }

  private var infeasible: GraphFault {
    .infeasible(organizations: organizations, corrupt: corrupt, dropouts: dropouts, adversary: adversary)
  }

  private func make() throws(GraphFault) -> RegularGraphParameters {
    try RegularGraphParameters(
      organizations: organizations, corrupt: corrupt, dropouts: dropouts, adversary: adversary,
      tighteningBits: tighteningBits)
  }
}

@Suite("Parameters of the k-regular graph")
struct RegularGraphParametersTests {
  @Test(
    "The check values of the protocol",
    arguments: [
      GraphCell(100, percent: (5, 5), .semiHonest, (12, 6)), GraphCell(1000, percent: (5, 5), .semiHonest, (30, 17)),
      GraphCell(10_000, percent: (5, 5), .semiHonest, (34, 20)),
      GraphCell(100, percent: (5, 5), .semiMalicious, (16, 11)),
      GraphCell(1000, percent: (5, 5), .semiMalicious, (52, 37)),
      GraphCell(10_000, percent: (5, 5), .semiMalicious, (62, 44)),
      GraphCell(100, percent: (5, 33), .semiHonest, (28, 6)),
      GraphCell(1000, percent: (5, 33), .semiHonest, (72, 24)),
      GraphCell(10_000, percent: (5, 33), .semiHonest, (86, 29)),
      GraphCell(100, percent: (5, 33), .semiMalicious, (72, 39)),
      GraphCell(1000, percent: (5, 33), .semiMalicious, (398, 223)),
      GraphCell(10_000, percent: (5, 33), .semiMalicious, (746, 420)),
      GraphCell(100, percent: (33, 33), .semiHonest, (68, 34)),
      GraphCell(1000, percent: (33, 33), .semiHonest, (286, 150)),
      GraphCell(10_000, percent: (33, 33), .semiHonest, (422, 221)),
      GraphCell(100, percent: (33, 33), .semiMalicious, nil),
      GraphCell(1000, percent: (33, 33), .semiMalicious, nil),
      GraphCell(10_000, percent: (33, 33), .semiMalicious, nil),
      GraphCell(100, percent: (30, 30), .semiMalicious, (92, 62)),
      GraphCell(1000, percent: (30, 30), .semiMalicious, (872, 584)),
      GraphCell(10_000, percent: (30, 30), .semiMalicious, (4822, 3230)),
      GraphCell(50, percent: (10, 10), .semiMalicious, (16, 11)),
      GraphCell(100, percent: (10, 10), .semiMalicious, (32, 22)),
      GraphCell(200, percent: (10, 10), .semiMalicious, (56, 39)),
      GraphCell(300, percent: (10, 10), .semiMalicious, (66, 46)),
      GraphCell(1000, percent: (10, 10), .semiMalicious, (96, 67)),
      GraphCell(10_000, percent: (10, 10), .semiMalicious, (122, 85)),
    ])
  func checkValues(cell: GraphCell) throws { try cell.check() }

  // Computed with exact fractions by a program that tries every even k.
  @Test(
    "Exact values, edges and tightened bounds among them",
    arguments: [
      GraphCell(101, 20, 10, .semiMalicious, 3, (42, 32)), GraphCell(101, 0, 5, .semiHonest, 3, (6, 2)),
      GraphCell(101, 0, 1, .semiHonest, 0, (2, 2)), GraphCell(3, 0, 0, .semiMalicious, 0, (2, 2)),
      GraphCell(3, 0, 1, .semiHonest, 0, (2, 2)), GraphCell(101, 33, 57, .semiHonest, 0, (92, 34)),
      GraphCell(101, 45, 45, .semiHonest, 3, (92, 46)), GraphCell(101, 46, 46, .semiHonest, 0, nil),
      GraphCell(101, 10, 40, .semiMalicious, 3, (92, 52)), GraphCell(101, 10, 41, .semiMalicious, 0, nil),
      GraphCell(128, 12, 25, .semiMalicious, 3, (62, 38)), GraphCell(255, 51, 51, .semiMalicious, 3, (144, 98)),
      GraphCell(256, 64, 32, .semiMalicious, 3, (116, 87)), GraphCell(257, 80, 0, .semiMalicious, 3, (32, 32)),
      GraphCell(500, 50, 100, .semiMalicious, 3, (156, 100)), GraphCell(640, 1, 300, .semiHonest, 64, (100, 2)),
      GraphCell(999, 333, 99, .semiMalicious, 3, (222, 175)),
      GraphCell(1000, 100, 100, .semiMalicious, 3, (100, 70)),
      GraphCell(2000, 200, 200, .semiMalicious, 3, (110, 77)),
      GraphCell(150, 130, 0, .semiMalicious, 0, (118, 118)), GraphCell(150, 0, 67, .semiMalicious, 3, (136, 69)),
      GraphCell(150, 135, 0, .semiHonest, 3, (132, 132)),
    ])
  func exactValues(cell: GraphCell) throws { try cell.check() }

  @Test("A search that passes over k finds what a plain one with logarithms finds", arguments: Adversary.allCases)
  func plainSearch(adversary: Adversary) throws {
    var generator = SeededGenerator(seed: 11)
    var feasible = 0
    for _ in 0..<40 {
      let n = Int.random(in: 101...180, using: &generator)
      let corrupt = Int.random(in: 0...(n / 3), using: &generator)
      let dropouts = Int.random(in: 0...(n / 3), using: &generator)
      let bits = Int.random(in: 0...5, using: &generator)
      let plain = PlainSearch(organizations: n, corrupt: corrupt, dropouts: dropouts, adversary: adversary, bits: bits)
      let expected = plain.smallest()
      if expected != nil { feasible += 1 }
      try GraphCell(n, corrupt, dropouts, adversary, bits, expected).check()
    }
    #expect(feasible >= 10)
  }

  @Test(
    "k is even and below n, t is between 2 and k, and neither falls when more is asked", arguments: [101, 256, 1500])
  func properties(n: Int) throws {
    func neighbors(_ corrupt: Int, _ dropouts: Int, _ adversary: Adversary, _ bits: Int = 0) -> Int {
      guard
        let made = try? RegularGraphParameters(
          organizations: n, corrupt: corrupt, dropouts: dropouts, adversary: adversary, tighteningBits: bits)
      else { return .max }
      #expect(made.neighborCount.isMultiple(of: 2) && (2..<n).contains(made.neighborCount))
      #expect((2...made.neighborCount).contains(made.threshold))
      return made.neighborCount
    }
    #expect(neighbors(0, 0, .semiMalicious) == 2)
    for adversary in Adversary.allCases {
      for dropouts in stride(from: 0, through: n / 2, by: n / 10) {
        var last = 0
        for corrupt in stride(from: 0, through: n, by: n / 12) {
          let k = neighbors(corrupt, dropouts, adversary)
          #expect(k >= last)
          #expect(neighbors(corrupt, dropouts + 1, adversary) >= k)
          #expect(neighbors(corrupt, dropouts, adversary, 3) >= k)
          #expect(neighbors(corrupt, dropouts, .semiMalicious) >= k)
          last = k
        }
        #expect(last == .max, "an entirely corrupt cohort has no graph")
      }
    }
  }

  @Test("Arguments outside their range are refused")
  func ranges() {
    func expectRefused(_ field: GraphFault.Field, _ n: Int, _ corrupt: Int, _ dropouts: Int, _ bits: Int) {
      #expect(throws: GraphFault.outOfRange(field)) {
        try RegularGraphParameters(
          organizations: n, corrupt: corrupt, dropouts: dropouts, adversary: .semiHonest, tighteningBits: bits)
      }
    }
    for n in [Int.min, 0, 2, 65_537, Int.max] { expectRefused(.organizations, n, 0, 0, 0) }
    for count in [Int.min, -1, 102, Int.max] {
      expectRefused(.corrupt, 101, count, 0, 0)
      expectRefused(.dropouts, 101, 0, count, 0)
    }
    for bits in [Int.min, -1, 65, Int.max] { expectRefused(.tighteningBits, 101, 0, 0, bits) }
  }

  @Test("A fault says what is wrong and what to do")
  func faults() {
    let fault = GraphFault.infeasible(organizations: 101, corrupt: 40, dropouts: 39, adversary: .semiMalicious)
    #expect(fault.code == "graph-infeasible")
    #expect(fault.blame == .caller)
    for part in ["101", "40", "39", "semi-malicious"] { #expect(fault.message.contains(part)) }
    #expect(GraphFault.outOfRange(.dropouts).message.contains("dropouts"))
    #expect(!fault.remedy.isEmpty)
  }
}

/// Every even k in turn, every tail from its far end, in logarithms of factorials: another way to the same numbers.
private struct PlainSearch {
  let organizations: Int
  let corrupt: Int
  let dropouts: Int
  let adversary: Adversary
  let bits: Int
  private let logFactorials: [Double]

  init(organizations: Int, corrupt: Int, dropouts: Int, adversary: Adversary, bits: Int) {
    self.organizations = organizations
    self.corrupt = corrupt
    self.dropouts = dropouts
    self.adversary = adversary
    self.bits = bits
    logFactorials = (0...organizations).map { lgamma(Double($0) + 1) }
  }

  func smallest() -> (neighborCount: Int, threshold: Int)? {
    let (n, malicious) = (Double(organizations), adversary == .semiMalicious)
    guard Double(corrupt + (malicious ? 2 : 1) * dropouts) <= 0.9 * n else { return nil }
    for k in stride(from: 2, to: organizations, by: 2) where isConnected(k) {
      let corruptOnes = masses(marked: corrupt, neighbors: k)
      var t1 = 0
      while corruptOnes[(t1 + 1)...].reversed().reduce(0, +) > exp2(-41 - Double(bits)) / n { t1 += 1 }
      if malicious { t1 = Int(((Double(t1 + k) - 1.25) / 2).rounded(.up)) }
      let survivors = masses(marked: organizations - dropouts, neighbors: k)
      var t2 = k
      while survivors[..<t2].reduce(0, +) > exp2(-20) / n { t2 -= 1 }
      if t2 > t1 { return (k, max(t1 + 1, 2)) }
    }
    return nil
  }

  private func isConnected(_ k: Int) -> Bool {
    let lost = corrupt + dropouts
    guard k <= lost, organizations - k - 1 > 0 else { return true }
    let pairs = log(0.5 * Double(organizations) * Double(organizations - k - 1))
    let quotient =
      logFactorials[lost] + logFactorials[organizations - k] - logFactorials[organizations] - logFactorials[lost - k]
    return pairs + quotient < -Double(41 + bits) * log(2)
  }

  /// Pr[HG(n, marked, k) = count] for count in 0 … k.
  private func masses(marked: Int, neighbors k: Int) -> [Double] {
    (0...k).map { count in
      guard count <= marked, k - count <= organizations - marked else { return 0 }
      return exp(
        logChoose(marked, count) + logChoose(organizations - marked, k - count) - logChoose(organizations, k))
    }
  }

  private func logChoose(_ n: Int, _ k: Int) -> Double { logFactorials[n] - logFactorials[k] - logFactorials[n - k] }
}
