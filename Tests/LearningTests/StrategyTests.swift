import Testing

@testable import Learning

@Suite struct FedAvgTests {
  private func strategy(fraction: Double = 1, fit: Int = 3, available: Int = 3) throws -> FedAvg {
    try FedAvg(
      settings: StrategySettings(fractionFit: fraction, minimumFitClients: fit, minimumAvailableClients: available))
  }

  private func sum(_ clients: [(parameters: [Double], examples: Int)], cap: Int) throws -> FitSum {
    var total = Array(repeating: 0.0, count: clients[0].parameters.count)
    for client in clients {
      let term = try FedAvg.term(parameters: client.parameters, examples: client.examples, weightCap: cap)
      for index in total.indices { total[index] += term[index] }
    }
    return FitSum(
      weightedParameters: total, examples: Int64(clients.reduce(0) { $0 + $1.examples }), weightCap: cap)
  }

  /// With weights and values that are exact in binary, the mean must be too.
  @Test func meanToTheBit() throws {
    let clients = [([1.5, -8.0, 0.0], 3), ([2.25, 16.0, -1.0], 5), ([-4.0, 0.5, 7.0], 8)]
    let next = try strategy().aggregateFit(sum(clients, cap: 1 << 17), parameters: [0, 0, 0])
    let plain = (0..<3).map { index in
      clients.reduce(0.0) { $0 + $1.0[index] * Double($1.1) } / 16
    }
    #expect(next.map(\.bitPattern) == plain.map(\.bitPattern))
  }

  @Test func meanOfAnyNumbersToTheLastPlaces() throws {
    var source = Congruential(state: 21)
    let clients = (0..<5).map { _ in
      ((0..<50).map { _ in source.next() * 6 - 3 }, 1 + Int(source.next() * 2000))
    }
    let sum = try sum(clients, cap: 100_000)
    let next = try strategy().aggregateFit(sum, parameters: Array(repeating: 0, count: 50))
    let examples = clients.reduce(0.0) { $0 + Double($1.1) }
    for index in 0..<50 {
      let plain = clients.reduce(0.0) { $0 + $1.0[index] * Double($1.1) } / examples
      #expect(abs(next[index] - plain) <= 1e-14)
    }
  }

  @Test func everyoneCanRecomputeTheStep() throws {
    let strategy = try strategy()
    let sum = FitSum(weightedParameters: [0.1, 0.7], examples: 3, weightCap: 10)
    let next = try strategy.aggregateFit(sum, parameters: [0, 0])
    #expect(next == [0.1 / 0.3, 0.7 / 0.3])
    #expect(try strategy.follows(next, from: [0, 0], sum: sum))
    #expect(try !strategy.follows([next[0].nextUp, next[1]], from: [0, 0], sum: sum))
    #expect(try !strategy.follows([next[0]], from: [0, 0], sum: sum))
    let other = FitSum(weightedParameters: [0.1, 0.7], examples: 4, weightCap: 10)
    #expect(try !strategy.follows(next, from: [0, 0], sum: other))
    // Minus zero is another model than zero.
    let zero = FitSum(weightedParameters: [0], examples: 1, weightCap: 1)
    #expect(try !strategy.follows([-0.0], from: [0], sum: zero))
  }

  @Test func choosesClients() throws {
    #expect(try strategy().configureFit(round: 1, available: 5).clients == 5)
    #expect(try strategy(fraction: 0.5).configureFit(round: 1, available: 9).clients == 4)
    #expect(try strategy(fraction: 0.1).configureFit(round: 1, available: 9).clients == 3)
    #expect(throws: LearningError.strategy(.tooFewClients(available: 2, needed: 3))) {
      try strategy().configureFit(round: 1, available: 2)
    }
    #expect(throws: LearningError.strategy(.tooFewClients(available: 5, needed: 7))) {
      try strategy(available: 7).configureEvaluate(round: 1, available: 5)
    }
    #expect(LearningError.strategy(.tooFewClients(available: 2, needed: 3)).blame == "participants")
    let configured = try FedAvg(settings: StrategySettings()) { ["steps": Double($0 * 10)] }
    #expect(try configured.configureFit(round: 2, available: 3).settings == ["steps": 20])
    #expect(configured.initialParameters(count: 3) == [0, 0, 0])
  }

  @Test func refusesWhatNoModelFollowsFrom() throws {
    let strategy = try strategy()
    for sum in [
      FitSum(weightedParameters: [1], examples: 1, weightCap: 1),
      FitSum(weightedParameters: [1, 2], examples: 0, weightCap: 1),
      FitSum(weightedParameters: [1, 2], examples: -1, weightCap: 1),
      FitSum(weightedParameters: [1, 2], examples: 1, weightCap: 0),
      FitSum(weightedParameters: [1, .infinity], examples: 1, weightCap: 1),
    ] {
      #expect(throws: LearningError.self) { try strategy.aggregateFit(sum, parameters: [0, 0]) }
    }
    for examples in [0, 11, -1] {
      #expect(throws: LearningError.strategy(.examplesOutOfRange(examples: examples, cap: 10))) {
        try FedAvg.term(parameters: [1], examples: examples, weightCap: 10)
      }
    }
    for fraction in [0, -1, 1.1, .nan] {
      #expect(throws: LearningError.self) { try StrategySettings(fractionFit: fraction) }
    }
    #expect(throws: LearningError.strategy(.minimumClients(0))) { try StrategySettings(minimumFitClients: 0) }
  }
}
