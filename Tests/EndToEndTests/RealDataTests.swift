import Foundation
import Testing

/// The published provider data, where it is at hand. See the README for where the original is.
@Suite(.serialized, .timeLimit(.minutes(3)))
struct RealDataTests {
  static let path = URL(fileURLWithPath: #filePath)
    .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
    .appendingPathComponent("../shared/data/cms_provider_fraud.csv").standardizedFileURL.path

  @Test(
    "Over five seeds the federation is within 0.01 of pooled training in ROC AUC",
    .enabled(if: FileManager.default.isReadableFile(atPath: path), "the CMS-derived data is not at ../shared/data"))
  func closeToPooled() async throws {
    var differences: [Double] = []
    for seed in 1...5 {
      let runner = try SessionRunner()
      defer { runner.remove() }
      let result = try await FederationRunTests.demonstrate(
        "--data '\(Self.path)' --label fraudulent_provider --seed \(seed)", in: runner)
      let comparison = try #require(result.comparison)
      let federated = try #require(comparison.federated["rocAuc"])
      let pooled = try #require(comparison.pooled["rocAuc"])
      #expect(federated > 0.78)
      differences.append(pooled - federated)
    }
    let mean = differences.reduce(0, +) / Double(differences.count)
    #expect(mean.magnitude < 0.01, "\(differences)")
  }
}
