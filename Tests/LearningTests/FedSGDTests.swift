import Testing

@testable import Learning

@Suite struct FedSGDTests {
  @Test func stepsToTheBit() throws {
    // Powers of two throughout: every value is exact.
    let descent = try FedSGD(
      expectedExamples: 4, learningRate: 0.5, momentum: 0.25, l2: 0.5, rounds: 3, averagedRounds: 2)
    let start = try descent.initialState(count: 2)
    #expect(start.parameters == [0, 0] && start.round == 0)
    let first = try descent.next(start, gradientSum: [8, -4])
    #expect(first.velocity == [2, -1] && first.parameters == [-1, 0.5] && first.iterateSum == [0, 0])
    #expect(descent.modelParameters(first) == [-1, 0.5])
    // Weight: 4/4 − 0.5 + 0.25·2 = 1; intercept, not penalised: 4/4 − 0.25 = 0.75.
    let second = try descent.next(first, gradientSum: [4, 4])
    #expect(second.velocity == [1, 0.75] && second.parameters == [-1.5, 0.125])
    #expect(descent.modelParameters(second) == [-1.5, 0.125])
    let third = try descent.next(second, gradientSum: [0, 0])
    #expect(third.velocity == [-0.5, 0.1875] && third.parameters == [-1.25, 0.03125])
    #expect(descent.modelParameters(third) == [-1.375, 0.078125])
    #expect(third.round == 3)
    #expect(throws: LearningError.privacy(.roundOutOfRange(rounds: 3))) {
      try descent.next(third, gradientSum: [0, 0])
    }
  }

  @Test func everyoneCanRecomputeTheStep() throws {
    let descent = try FedSGD(
      expectedExamples: 3, learningRate: 0.1, momentum: 0.9, l2: 0.01, rounds: 50, averagedRounds: 50)
    var state = try descent.initialState(count: 3)
    for _ in 0..<5 {
      let sum = [0.1, -0.7, 1.3]
      let next = try descent.next(state, gradientSum: sum)
      #expect(try descent.follows(next, from: state, gradientSum: sum))
      #expect(try !descent.follows(next, from: state, gradientSum: [0.1, -0.7, 1.3 + 0x1p-40]))
      for part in 0..<3 {
        var vectors = [next.parameters, next.velocity, next.iterateSum]
        vectors[part][1] = vectors[part][1].nextUp
        let changed = try FedSGD.State(
          parameters: vectors[0], velocity: vectors[1], iterateSum: vectors[2], round: next.round)
        #expect(try !descent.follows(changed, from: state, gradientSum: sum))
      }
      let later = try FedSGD.State(
        parameters: next.parameters, velocity: next.velocity, iterateSum: next.iterateSum, round: next.round + 1)
      #expect(try !descent.follows(later, from: state, gradientSum: sum))
      state = next
    }
  }

  @Test func refusesSumsNoModelFollowsFrom() throws {
    let descent = try FedSGD(expectedExamples: 1e-300, learningRate: 1, rounds: 2)
    let state = try descent.initialState(count: 2)
    #expect(throws: LearningError.privacy(.gradientCount(expected: 2, found: 1))) {
      try descent.next(state, gradientSum: [1])
    }
    for value in [Double.nan, .infinity, 1e300] {
      #expect(throws: LearningError.privacy(.stepNotFinite(index: 1))) {
        try descent.next(state, gradientSum: [0, value])
      }
    }
    #expect(throws: LearningError.self) { try descent.initialState(count: 0) }
    #expect(LearningError.privacy(.gradientCount(expected: 2, found: 1)).blame == "peer")
  }

  @Test func refusesSettingsOutOfRange() {
    for value in [0, -1, .nan, Double.infinity] {
      #expect(throws: LearningError.self) { try FedSGD(expectedExamples: value, learningRate: 1, rounds: 1) }
      #expect(throws: LearningError.self) { try FedSGD(expectedExamples: 1, learningRate: value, rounds: 1) }
    }
    for momentum in [1, -0.1, .nan] {
      #expect(throws: LearningError.self) {
        try FedSGD(expectedExamples: 1, learningRate: 1, momentum: momentum, rounds: 1)
      }
    }
    #expect(throws: LearningError.self) { try FedSGD(expectedExamples: 1, learningRate: 1, l2: -1, rounds: 1) }
    for rounds in [0, 100_001] {
      #expect(throws: LearningError.self) { try FedSGD(expectedExamples: 1, learningRate: 1, rounds: rounds) }
    }
    for averaged in [0, 3] {
      #expect(throws: LearningError.self) {
        try FedSGD(expectedExamples: 1, learningRate: 1, rounds: 2, averagedRounds: averaged)
      }
    }
    #expect(throws: LearningError.self) {
      try FedSGD.State(parameters: [1], velocity: [1, 2], iterateSum: [1], round: 0)
    }
    #expect(throws: LearningError.self) {
      try FedSGD.State(parameters: [1], velocity: [.nan], iterateSum: [1], round: 0)
    }
    #expect(throws: LearningError.self) {
      try FedSGD.State(parameters: [1], velocity: [1], iterateSum: [1], round: -1)
    }
  }
}
