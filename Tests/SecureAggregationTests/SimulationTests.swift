import Cryptography
import Foundation
import Testing

@testable import SecureAggregation

/// Where a member leaves: the last stage that it still answers, or none.
private enum LastAnswer: Int, CaseIterable, Comparable {
  case advertiseKeys, shareKeys, maskedInputCollection, consistencyCheck, unmasking

  static func < (left: LastAnswer, right: LastAnswer) -> Bool { left.rawValue < right.rawValue }

  var stage: RoundStage {
    switch self {
    case .advertiseKeys: .advertiseKeys
    case .shareKeys: .shareKeys
    case .maskedInputCollection: .maskedInputCollection
    case .consistencyCheck: .consistencyCheck
    case .unmasking: .unmasking
    }
  }
}

@Suite("Whole rounds in memory")
struct SimulationTests {
  /// Runs a round in which member i leaves after `last[i]`, and checks the outcome against what must happen.
  private func run(_ exchange: Exchange, last: [LastAnswer]) throws {
    let context = exchange.context
    let stages: [(LastAnswer, ([Int]?) throws -> Void)] = [
      (.advertiseKeys, exchange.advertiseKeys), (.shareKeys, exchange.shareKeys),
      (.maskedInputCollection, exchange.maskedInputs), (.consistencyCheck, exchange.consistencyChecks),
      (.unmasking, exchange.unmaskings),
    ]
    for (answer, round) in stages {
      let present = last.indices.filter { last[$0] >= answer }
      let required = context.requiredParticipants(in: answer.stage)
      guard present.count >= required else {
        let error = try failure { try round(present) }
        guard case .tooFewParticipants(let shortage) = error else {
          Issue.record("\(error)")
          return
        }
        #expect(shortage.stage == answer.stage)
        #expect(shortage.present == present.count)
        #expect(shortage.required == required)
        let candidates = last.indices.filter { answer == .advertiseKeys || last[$0].rawValue >= answer.rawValue - 1 }
        #expect(shortage.missing == candidates.filter { !present.contains($0) }.map { exchange.members[$0].name })
        #expect(exchange.server.stage == .failed)
        #expect(exchange.server.result == nil)
        return
      }
      try round(present)
    }
    #expect(exchange.server.stage == .completed)
    try exchange.expectExactSum(of: last.indices.filter { last[$0] >= .maskedInputCollection })
  }

  @Test("The sum is exact for every cohort size", arguments: 3...10)
  func everyCohortSize(count: Int) throws {
    let exchange = try Exchange(count: count, seed: UInt64(count))
    try run(exchange, last: Array(repeating: .unmasking, count: count))
  }

  @Test("Every set of five that leaves at one stage", arguments: LastAnswer.allCases.dropLast())
  fileprivate func everySubsetAtOneStage(last: LastAnswer) throws {
    var parameters = ParameterSet()
    parameters.assumedCorrupt = 0
    let identities = (0..<5).map { _ in Identity() }
    for subset in 0..<32 {
      let exchange = try Exchange(parameters: parameters, identities: identities, seed: UInt64(subset))
      try run(exchange, last: (0..<5).map { subset >> $0 & 1 == 1 ? last : .unmasking })
    }
  }

  @Test("Every way to spread five members over the stages at which they leave")
  func everyMultisetOfDropouts() throws {
    var parameters = ParameterSet()
    parameters.assumedCorrupt = 0
    parameters.tensorCount = 5
    let identities = (0..<5).map { _ in Identity() }
    var generator = SeededGenerator(seed: 42)
    func spread(_ chosen: [LastAnswer], from lowest: LastAnswer) throws {
      guard chosen.count < 5 else {
        // Who leaves when is drawn; which stages are left is exhaustive.
        let exchange = try Exchange(parameters: parameters, identities: identities, seed: generator.next())
        return try run(exchange, last: chosen.shuffled(using: &generator))
      }
      for next in LastAnswer.allCases where next >= lowest { try spread(chosen + [next], from: next) }
    }
    try spread([], from: .advertiseKeys)
  }

  /// All 5⁵ assignments take half a minute: `BAUTA_SOAK=1`.
  @Test(
    "Every assignment of the stages at which five members leave",
    .enabled(if: ProcessInfo.processInfo.environment["BAUTA_SOAK"] != nil))
  func everyAssignment() throws {
    var parameters = ParameterSet()
    parameters.assumedCorrupt = 0
    parameters.tensorCount = 5
    let identities = (0..<5).map { _ in Identity() }
    let answers = LastAnswer.allCases
    for code in 0..<3125 {
      let exchange = try Exchange(parameters: parameters, identities: identities, seed: UInt64(code))
      let last = [1, 5, 25, 125, 625].map { answers[code / $0 % 5] }
      try run(exchange, last: last)
    }
  }

  @Test("Random cohorts, parameters and dropouts", arguments: UInt64(0)..<24)
  func randomRounds(seed: UInt64) throws {
    var generator = SeededGenerator(seed: seed)
    let count = Int.random(in: 3...8, using: &generator)
    var parameters = ParameterSet()
    parameters.assumedCorrupt = Int.random(in: 0...((count - 2) / 2), using: &generator)
    parameters.bits = Int.random(in: 8...32, using: &generator)
    parameters.clip = Double.random(in: 0.001...1000, using: &generator)
    parameters.tensorCount = [0, 1, 1023, 1024, 1025, 3000].randomElement(using: &generator) ?? 1
    parameters.rounding = Rounding.allCases.randomElement(using: &generator) ?? .nearest
    parameters.generator = MaskGenerator.allCases.randomElement(using: &generator) ?? .aes256CTR
    if parameters.assumedCorrupt + 2 > count { parameters.assumedCorrupt = 0 }
    let exchange = try Exchange(count: count, parameters: parameters, seed: generator.next())
    let last = (0..<count).map { _ in
      Int.random(in: 0..<6, using: &generator) == 0
        ? LastAnswer.allCases.randomElement(using: &generator) ?? .unmasking : .unmasking
    }
    try run(exchange, last: last)
  }

  @Test("Above twenty members shares are checked on suspicion only, and the sum is exact")
  func largeCohort() throws {
    var parameters = ParameterSet()
    parameters.assumedCorrupt = 0
    let exchange = try Exchange(count: 21, parameters: parameters)
    try run(exchange, last: Array(repeating: .unmasking, count: 19) + [.shareKeys, .maskedInputCollection])
  }

  @Test("A sum is decoded to the values within the resolution of the scale")
  func decodedValues() throws {
    let exchange = try Exchange(count: 3)
    var expected = [Double](repeating: 0, count: 37)
    for (index, member) in exchange.members.enumerated() {
      let values = (0..<37).map { sin(Double(index * 37 + $0)) * 3 }
      for position in 0..<37 { expected[position] += values[position] }
      member.term = try EncodedTerm.encode(values: values, counters: [7, -1, 0, 1], context: exchange.context).term
    }
    try exchange.advance(to: .completed)
    let sum = try #require(exchange.server.result)
    for (value, wanted) in zip(sum.tensors, expected) {
      #expect(abs(value - wanted) <= 1.5 / exchange.context.scale)
    }
    #expect(sum.counters == [21, -3, 0, 3])
  }

  private func sin(_ value: Double) -> Double {
    // Any smooth bounded function does; this keeps Foundation out.
    let reduced = value.truncatingRemainder(dividingBy: 4)
    return reduced < 2 ? 1 - (reduced - 1) * (reduced - 1) : (reduced - 3) * (reduced - 3) - 1
  }
}
