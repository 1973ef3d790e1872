import Foundation
import Learning
import Testing

@testable import Training

@Suite struct BaselinesTests {
  private func baselines(
    _ tables: [FeatureTable], seed: UInt64, balanced: Bool = true
  ) throws -> Baselines {
    try Baselines(
      organizations: tables.map { try OrganizationData($0, testFraction: 0.2, seed: seed) },
      preprocessing: Preprocessing(names: ["signedLog1p", "standardize"]), l2: 0.001, isBalanced: balanced)
  }

  @Test func federationIsWorthIt() throws {
    var pooled = 0.0
    var federated = 0.0
    var alone = 0.0
    for seed in 1...3 as ClosedRange<UInt64> {
      let tables = try (0..<5).map {
        try SyntheticProviders.generate(rows: 1000, organization: $0, organizations: 5, seed: seed)
      }
      let baselines = try baselines(tables, seed: seed)
      pooled += try #require(baselines.pooled().metrics.rocAuc) / 3
      let rounds = try baselines.federated(rounds: 3, steps: 20, minimumRows: 10, weightCap: 100_000)
      federated += try #require(rounds.last?.metrics.rocAuc) / 3
      for index in 0..<5 { alone += try #require(baselines.alone(index).metrics.rocAuc) / 15 }
    }
    // Pooled about 0.85, federated 0.84, alone 0.80.
    #expect(0.82...0.88 ~= pooled)
    #expect(federated > pooled - 0.015)
    #expect(alone < federated - 0.03)
  }

  @Test func federatedStatisticsGiveThePooledScaler() throws {
    let tables = try (0..<3).map {
      try SyntheticProviders.generate(rows: 200, organization: $0, organizations: 3, seed: 5)
    }
    let baselines = try baselines(tables, seed: 5)
    let pooled = try baselines.pooled()
    let federated = try baselines.federated(rounds: 1, steps: 1, minimumRows: 1, weightCap: 1000)[0]
    #expect(pooled.classWeights == federated.classWeights)
    let (a, b) = (pooled.preprocessing.standardization, federated.preprocessing.standardization)
    for column in 0..<49 {
      #expect(abs(a.means[column] - b.means[column]) < 1e-6)
      #expect(abs(a.standardDeviations[column] - b.standardDeviations[column]) < 1e-5)
    }
  }

  /// Deals the rows of each class to five organisations in a shuffled order.
  private func partition(_ table: FeatureTable, seed: UInt64) -> [FeatureTable] {
    var generator = Xoshiro256StarStar(seed: seed)
    var rows = Array(repeating: [Int](), count: 5)
    for label: UInt8 in [0, 1] {
      var members = table.labels.indices.filter { table.labels[$0] == label }
      generator.shuffle(&members)
      for (index, row) in members.enumerated() { rows[index % 5].append(row) }
    }
    return rows.map { table.selecting(rows: $0.sorted()) }
  }

  @Test(.enabled(if: ProviderFile.exists, "../shared/data/cms_provider_fraud.csv is missing: skipped"))
  func realDataFederatedWithinOneHundredthOfPooled() throws {
    let table = try CSVTable.load(
      path: ProviderFile.path, label: ProviderSchema.label, positive: ProviderSchema.positive)
    #expect(table.featureNames == ProviderSchema.features)
    #expect(table.rowCount == 4950 && table.positiveCount == 450)
    var pooled = 0.0
    var federated = 0.0
    var alone = 0.0
    for seed in 1...5 as ClosedRange<UInt64> {
      let baselines = try baselines(partition(table, seed: seed), seed: seed)
      pooled += try #require(baselines.pooled().metrics.rocAuc) / 5
      let rounds = try baselines.federated(rounds: 3, steps: 20, minimumRows: 10, weightCap: 100_000)
      federated += try #require(rounds.last?.metrics.rocAuc) / 5
      for index in 0..<5 { alone += try #require(baselines.alone(index).metrics.rocAuc) / 25 }
    }
    // Pooled about 0.849, federated 0.848, alone 0.817.
    #expect(pooled > 0.84)
    #expect(abs(pooled - federated) < 0.01)
    #expect(alone < pooled - 0.015)
  }

  @Test(.enabled(if: ProviderFile.exists, "../shared/data/cms_provider_fraud.csv is missing: skipped"))
  func realDataSurvivesWriting() throws {
    let table = try CSVTable.load(
      path: ProviderFile.path, label: ProviderSchema.label, positive: ProviderSchema.positive)
    let file = try TemporaryFile(CSVTable.encode(table, label: ProviderSchema.label))
    #expect(try CSVTable.load(path: file.path, label: ProviderSchema.label, positive: "1") == table)
  }
}
