import Cryptography
import Foundation
import SecureAggregation
import Testing

@testable import DifferentialPrivacy
@testable import Federation

@Suite("The noise of a tree, from its seed")
struct TreeSeedTests {
  private static func seed(_ byte: UInt8) throws -> TreeSeed {
    var secret = SecretBytes(count: 32)
    secret.withUnsafeMutableBytes { $0.copyBytes(from: Array(repeating: byte, count: 32)) }
    return try TreeSeed(secret)
  }

  private static func noise(
    _ seed: borrowing TreeSeed, level: Int = 0, first: Int = 1, pass: Int = 1, run: String = "one", count: Int = 8,
    multiplier: Double = 10, generator: MaskGenerator = .aes256CTR
  ) throws -> [Int64] {
    try seed.noise(
      CentralGaussian(noiseMultiplier: multiplier, squaredL2Sensitivity: 100), of: .init(level: level, first: first),
      pass: pass, run: RunIdentifier(run), count: count, generator: generator)
  }

  @Test("A node's noise is the same whenever it is made, and another for every node, pass, run, seed and cipher")
  func determinism() throws {
    let seed = try Self.seed(7)
    var all = [try Self.noise(seed)]
    #expect(try Self.noise(seed) == all[0])
    #expect(try Self.noise(Self.seed(7)) == all[0])
    // More coordinates go on where fewer ended.
    #expect(try Array(Self.noise(seed, count: 20).prefix(8)) == all[0])
    for (level, first) in [(1, 1), (0, 2), (2, 1), (0, 3)] {
      all.append(try Self.noise(seed, level: level, first: first))
    }
    for pass in [2, 3] { all.append(try Self.noise(seed, pass: pass)) }
    for run in ["two", "one-1"] { all.append(try Self.noise(seed, run: run)) }
    all.append(try Self.noise(Self.seed(8)))
    all.append(try Self.noise(TreeSeed()))
    all.append(try Self.noise(seed, generator: .chacha20))
    #expect(Set(all).count == all.count)
  }

  /// A server of another release that goes on with a run has to make the same noise: what changes these numbers changes the
  /// labels of the derivation as well.
  @Test("The noise of a seed is fixed")
  func pinned() throws {
    let seed = try Self.seed(7)
    let first = try Self.noise(seed, count: 6)
    #expect(first == [-43, 51, -50, 107, -126, 6], "\(first)")
    let second = try Self.noise(seed, level: 2, first: 5, pass: 3, count: 6, generator: .chacha20)
    #expect(second == [-65, 104, 139, 1, -16, -10], "\(second)")
  }

  // MARK: - Sums

  private static func zeros(_ run: PrivateRun, round: Int) throws -> (AggregateSum, AggregationContext) {
    let context = try run.context(.fit, round)
    return (try run.sum(.fit, round, integers: Array(repeating: 0, count: context.parameters.tensorCount)), context)
  }

  @Test("Published sums carry the increments, and over any first rounds the noise of their prefix alone")
  func published() throws {
    let run = try PrivateRun(TreePlan.text(rounds: 14, passes: 2))
    let agreement = try #require(try run.progression.noise(run.manifest.manifest))
    guard case .central(let central) = agreement.form else { throw FixtureFault.missing("central noise") }
    let seed = try Self.seed(3)
    for pass in 1...2 {
      var total = [Int64](repeating: 0, count: 4)
      for step in 1...7 {
        let round = 7 * (pass - 1) + step
        let (sum, context) = try Self.zeros(run, round: round)
        let published = try agreement.published(sum, of: run.opening(.fit, round), context: context, seed: seed)
        #expect(published.survivors == sum.survivors && published.maskedInputRoot == sum.maskedInputRoot)
        let again = try agreement.published(sum, of: run.opening(.fit, round), context: context, seed: seed)
        #expect(again.integers == published.integers)
        for index in total.indices { total[index] += published.integers[index] }
        var prefix = [Int64](repeating: 0, count: 4)
        for node in TreeAggregation.prefix(step) {
          let noise = try seed.noise(
            central.model, of: node, pass: pass, run: run.run, count: 4, generator: .aes256CTR)
          for index in prefix.indices { prefix[index] += noise[index] }
        }
        #expect(total == prefix && prefix.contains { $0 != 0 })
      }
    }
  }

  @Test("Noise is added to what is there, and the sum of an evaluation has noise of its own")
  func added() throws {
    let run = try PrivateRun(TreePlan.text)
    let agreement = try #require(try run.progression.noise(run.manifest.manifest))
    let seed = try Self.seed(5)
    let (zeros, context) = try Self.zeros(run, round: 4)
    let noise = try agreement.published(zeros, of: run.opening(.fit, 4), context: context, seed: seed).integers
    let sum = try run.sum(.fit, 4, integers: [100, -7, 0, 1])
    let published = try agreement.published(sum, of: run.opening(.fit, 4), context: context, seed: seed).integers
    #expect(zip(published, noise).map { $0 - $1 } == [100, -7, 0, 1])
    let evaluation = try run.context(.evaluate, 8)
    let counters = try run.sum(
      .evaluate, 8, counters: Array(repeating: 0, count: evaluation.parameters.counterCount))
    let first = try agreement.published(counters, of: run.opening(.evaluate, 8), context: evaluation, seed: seed)
    let second = try agreement.published(counters, of: run.opening(.evaluate, 8), context: evaluation, seed: seed)
    #expect(first.counters != second.counters)
  }

  @Test("A fit's sum is never published with noise of another kind, nor of a round that there is not")
  func refused() throws {
    let run = try PrivateRun(TreePlan.text)
    let agreement = try #require(try run.progression.noise(run.manifest.manifest))
    let (sum, context) = try Self.zeros(run, round: 1)
    let independent = federationError { try agreement.published(sum, of: .fit, context: context) }
    #expect(independent == .privacy(.parameter(.steps)))
    for round in [0, 9, 1000, .max] {
      let opening = OpeningIdentifier(run: run.run, task: .fit, round: round, attempt: 1)
      let error = federationError {
        try agreement.published(sum, of: opening, context: context, seed: Self.seed(1))
      }
      #expect(error == .privacy(.parameter(.steps)), "\(round)")
    }
  }

  @Test("Over many seeds the noise of a prefix has the variance of its nodes, and none of a step's alone")
  func variance() throws {
    let run = try PrivateRun(TreePlan.text)
    let agreement = try #require(try run.progression.noise(run.manifest.manifest))
    guard case .central(let central) = agreement.form else { throw FixtureFault.missing("central noise") }
    let node = Double(central.model.variance.numerator) / Double(central.model.variance.denominator)
    let sums = try (1...8).map { try Self.zeros(run, round: $0) }
    var squares = [Double](repeating: 0, count: 8)
    var ofIncrements = squares
    let seeds = 600
    for _ in 0..<seeds {
      let seed = TreeSeed()
      var total = [Int64](repeating: 0, count: 4)
      for step in 1...8 {
        let published = try agreement.published(
          sums[step - 1].0, of: run.opening(.fit, step), context: sums[step - 1].1, seed: seed
        ).integers
        for index in total.indices { total[index] += published[index] }
        squares[step - 1] += total.reduce(0) { $0 + Double($1) * Double($1) }
        ofIncrements[step - 1] += published.reduce(0) { $0 + Double($1) * Double($1) }
      }
    }
    // 2400 draws: a standard deviation of 2.9 %.
    for step in 1...8 {
      let (nodes, draws) = (Double(step.nonzeroBitCount), Double(step.trailingZeroBitCount + 1))
      #expect(abs(squares[step - 1] / Double(4 * seeds) / node / nodes - 1) < 0.18, "prefix \(step)")
      #expect(abs(ofIncrements[step - 1] / Double(4 * seeds) / node / draws - 1) < 0.18, "increment \(step)")
    }
  }

  // MARK: - The file

  @Test("A seed is stored for its owner alone, read back, never written over, and removed")
  func file() throws {
    try withTemporaryDirectory { directory in
      let (path, run) = ("\(directory)/tree-seed", try RunIdentifier("one"))
      let seed = TreeSeed()
      #expect(!TreeSeed.isStored(at: path))
      // What a server left that ended while it wrote.
      try Data("half".utf8).write(to: URL(fileURLWithPath: path + ".new"))
      try seed.store(path, run: run)
      let attributes = try FileManager.default.attributesOfItem(atPath: path)
      #expect(attributes[.posixPermissions] as? Int == 0o600)
      #expect(try FileManager.default.contentsOfDirectory(atPath: directory) == ["tree-seed"])
      let read = try TreeSeed(contentsOf: path, run: run)
      #expect(try Self.noise(read) == Self.noise(seed))
      #expect(federationError { try TreeSeed().store(path, run: run) } == .file(.exists(path: path)))
      #expect(try Self.noise(TreeSeed(contentsOf: path, run: run)) == Self.noise(seed))
      try TreeSeed.remove(path)
      try TreeSeed.remove(path)
      #expect(!TreeSeed.isStored(at: path))
      #expect(federationError { _ = try TreeSeed(contentsOf: path, run: run) } == .file(.missing(path: path)))
    }
  }

  @Test("A file that is not this run's seed, or that others can read, is refused and its bytes are not told")
  func refusedFiles() throws {
    try withTemporaryDirectory { directory in
      let (path, run) = ("\(directory)/tree-seed", try RunIdentifier("one"))
      try TreeSeed().store(path, run: run)
      let line = try String(contentsOfFile: path, encoding: .utf8)
      let secret = try #require(line.split(separator: " ").last).dropLast()
      func expect(_ text: String, mode: Int = 0o600, _ code: String) throws {
        try FileManager.default.removeItem(atPath: path)
        try Data(text.utf8).write(to: URL(fileURLWithPath: path))
        try FileManager.default.setAttributes([.posixPermissions: mode], ofItemAtPath: path)
        let error = federationError { _ = try TreeSeed(contentsOf: path, run: run) }
        #expect(error?.code == code, "\(text)")
        #expect(error.map { !"\($0) \($0.message) \($0.remedy)".contains(secret.prefix(12)) } == true)
      }
      try expect(line, mode: 0o640, "file-readable-by-others")
      try expect(line.replacing(one: " one ", with: " two "), "key-file-malformed")
      try expect(line.replacing(one: "tree-seed/1", with: "tree-seed/2"), "key-file-malformed")
      try expect(String(line.dropLast(2)) + "\n", "key-file-malformed")
      try expect(line.replacing(one: String(secret), with: "*" + secret.dropFirst()), "key-file-malformed")
      try expect("", "key-file-malformed")
      try expect(line + String(repeating: " ", count: 600), "file-too-large")
      try expect(line + line, "key-file-malformed")
    }
    #expect(TreeSeed().description == "TreeSeed(redacted)")
    for count in [0, 31, 33] {
      #expect(federationError { _ = try TreeSeed(SecretBytes(randomCount: count)) } != nil)
    }
  }
}
