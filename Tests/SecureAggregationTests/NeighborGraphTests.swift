import Cryptography
import Testing

@testable import SecureAggregation

@Suite("The neighbour graph")
struct NeighborGraphTests {
  private func graph(_ count: Int, _ neighborCount: Int, _ seed: String = "graph seed") throws -> NeighborGraph {
    try NeighborGraph(count: count, neighborCount: neighborCount, seed: BeaconDigest(hashing: Array(seed.utf8)))
  }

  /// Whether every position that is not removed is reached from the first of them.
  private func isConnected(_ adjacency: [[Int]], without removed: Set<Int> = []) -> Bool {
    var reached = removed
    guard let first = adjacency.indices.first(where: { !removed.contains($0) }) else { return true }
    reached.insert(first)
    var queue = [first]
    while let position = queue.popLast() {
      for neighbor in adjacency[position] where reached.insert(neighbor).inserted { queue.append(neighbor) }
    }
    return reached.count == adjacency.count
  }

  /// All subsets of 0 ..< count with `size` members.
  private func subsets(of count: Int, size: Int) -> [Set<Int>] {
    if size == 0 { return [[]] }
    if size > count { return [] }
    return subsets(of: count - 1, size: size)
      + subsets(of: count - 1, size: size - 1).map { $0.union([count - 1]) }
  }

  @Test(
    "Symmetric, regular, without loops, sorted and connected",
    arguments: [(3, 2), (4, 2), (5, 4), (101, 2), (101, 100), (128, 62), (1000, 100), (4097, 16)])
  func structure(count: Int, neighborCount: Int) throws {
    let graph = try graph(count, neighborCount)
    #expect(graph.count == count)
    let adjacency = (0..<count).map(graph.neighbors(of:))
    let sets = adjacency.map(Set.init)
    for (position, neighbors) in adjacency.enumerated() {
      #expect(neighbors == neighbors.sorted())
      #expect(sets[position].count == neighborCount)
      #expect(!sets[position].contains(position))
      #expect(neighbors.allSatisfy { (0..<count).contains($0) && sets[$0].contains(position) })
    }
    #expect(isConnected(adjacency))
  }

  @Test("Adjacency is what the lists of neighbours say", arguments: [(5, 4), (12, 2), (101, 32), (64, 62)])
  func adjacency(count: Int, neighborCount: Int) throws {
    let graph = try graph(count, neighborCount)
    for first in 0..<count {
      let neighbors = Set(graph.neighbors(of: first))
      for second in 0..<count { #expect(graph.areNeighbors(first, second) == neighbors.contains(second)) }
    }
  }

  @Test(
    "Any k − 1 may leave without cutting the others apart; k may not", arguments: [(7, 2), (9, 4), (10, 6), (9, 6)])
  func connectivity(count: Int, neighborCount: Int) throws {
    let graph = try graph(count, neighborCount)
    let adjacency = (0..<count).map(graph.neighbors(of:))
    for removed in subsets(of: count, size: neighborCount - 1) {
      #expect(isConnected(adjacency, without: removed))
    }
    #expect(!isConnected(adjacency, without: Set(adjacency[0])))
  }

  @Test("The seed decides the graph")
  func seeds() throws {
    let reference = try graph(101, 8)
    #expect(try graph(101, 8) == reference)
    #expect(try graph(101, 8, "another seed") != reference)
    #expect(try graph(101, 8, "another seed").neighbors(of: 0) != reference.neighbors(of: 0))
    #expect(try graph(102, 8).neighbors(of: 0) != reference.neighbors(of: 0))
    // More neighbours on the same circle.
    #expect(Set(try graph(101, 10).neighbors(of: 0)).isSuperset(of: reference.neighbors(of: 0)))
  }

  // From an independent program: HKDF by HMAC, the keystream by the command line of OpenSSL.
  @Test("Pinned graphs")
  func pinned() throws {
    let small = try graph(101, 8)
    #expect(small.neighbors(of: 0) == [10, 40, 48, 54, 61, 71, 74, 85])
    #expect(small.neighbors(of: 1) == [12, 14, 20, 22, 68, 83, 89, 97])
    #expect(small.neighbors(of: 100) == [24, 26, 28, 76, 81, 87, 96, 98])
    let large = try graph(5000, 6)
    #expect(large.neighbors(of: 0) == [1408, 1710, 2216, 3890, 4288, 4867])
    var bytes: [UInt8] = []
    for position in 0..<5000 {
      for neighbor in large.neighbors(of: position) {
        bytes += [UInt8(truncatingIfNeeded: neighbor), UInt8(truncatingIfNeeded: neighbor >> 8)]
      }
    }
    #expect(
      SHA256Digest(hashing: bytes).hexadecimal == "a6e39cf88def5806cc6660ff67f0dcde5da5bd24a9e9b6e1d5757c8bcdc2e2c6")
  }

  @Test("Every position has all others for neighbours equally often", arguments: [0, 7, 20])
  func neighborhoods(position: Int) throws {
    let (count, neighborCount, samples) = (21, 4, 4000)
    var seen = [Int](repeating: 0, count: count)
    for sample in 0..<samples {
      for neighbor in try graph(count, neighborCount, "sample \(sample)").neighbors(of: position) {
        seen[neighbor] += 1
      }
    }
    #expect(seen[position] == 0)
    let others = Double(count - 1)
    let share = Double(neighborCount) / others
    let expected = Double(samples) * share
    seen.remove(at: position)
    let squares = seen.reduce(0.0) { $0 + (Double($1) - expected) * (Double($1) - expected) }
    // k of the others at once, without repetition: (m − 1)/m · Σ (O − E)² / (E (1 − p)) has m − 1 degrees of freedom.
    let statistic = squares / (expected * (1 - share)) * (others - 1) / others
    // 19 degrees of freedom, one in a thousand at each end.
    #expect(statistic > 5.4 && statistic < 43.8)
  }

  @Test("All circles of five are equally likely")
  func circles() throws {
    let samples = 6000
    var seen: [[[Int]]: Int] = [:]
    for sample in 0..<samples {
      let graph = try graph(5, 2, "circle \(sample)")
      seen[(0..<5).map(graph.neighbors(of:)), default: 0] += 1
    }
    #expect(seen.count == 12)
    let expected = Double(samples) / 12
    let statistic = seen.values.reduce(0.0) { $0 + (Double($1) - expected) * (Double($1) - expected) / expected }
    // 11 degrees of freedom, one in a thousand at each end.
    #expect(statistic > 1.5 && statistic < 31.3)
  }

  @Test("The largest cohort fits; counts and degrees outside their range are refused")
  func ranges() throws {
    let largest = try graph(65_536, 2)
    #expect(Set((0..<65_536).flatMap(largest.neighbors(of:))).count == 65_536)
    for (count, neighborCount) in [
      (2, 2), (65_537, 2), (101, 0), (101, -2), (101, 3), (100, 100), (101, 102), (101, .max), (.min, 2),
    ] {
      #expect(throws: CryptographyError.invalidDerivation) { try self.graph(count, neighborCount) }
    }
  }
}
