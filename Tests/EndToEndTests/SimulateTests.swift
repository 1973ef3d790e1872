import Foundation
import Testing

/// What `bauta simulate --json` prints, read back as a script would.
@Suite struct SimulateTests {
  private struct Result: Decodable {
    struct Settings: Decodable {
      let organizations: Int
      let dropouts: Int
      let seed: String
    }
    struct Stage: Decodable {
      struct Spread: Decodable {
        let mean: Double
        let median: Double
        let max: Double
        let total: Double
      }
      let stage: String
      let answers: Int
      let clientSeconds: Spread
      let serverSeconds: Double
      let sentBytes: Spread
      let receivedBytes: Spread
    }
    struct Sum: Decodable {
      struct Fault: Decodable {
        let kind: String
        let sent: Bool
        let noticed: String?
      }
      let round: Int
      let attempts: Int
      let survivors: Int
      let lost: [String]
      let exact: Bool
      let faults: [Fault]
      let stop: String?
      let stopCode: String?
    }
    let schema: String
    let settings: Settings
    let stages: [Stage]
    let sums: [Sum]
    let exact: Bool
    let sound: Bool
    let peakMemoryBytes: UInt64
    let outcome: String
  }

  private func simulate(_ arguments: String, status: Int32 = 0) async throws -> Result {
    let runner = try SessionRunner()
    defer { runner.remove() }
    let outcome = try await runner.run("bauta simulate --json \(arguments)")
    #expect(outcome.status == status, "\(outcome.errors)")
    return try JSONDecoder().decode(Result.self, from: Data(outcome.output.utf8))
  }

  @Test func aSoundSimulation() async throws {
    let result = try await simulate("--organizations 24 --dimension 64 --drop 0.1 --faults 7 --rounds 2 --seed 9")
    #expect(result.schema == "bauta/simulation/1")
    #expect(result.settings.seed == "9")
    #expect(result.settings.dropouts == 2)
    #expect(result.exact && result.sound)
    #expect(result.sums.map(\.round) == [1, 2])
    #expect(
      result.stages.map(\.stage) == [
        "AdvertiseKeys", "ShareKeys", "MaskedInputCollection", "ConsistencyCheck", "Unmasking",
      ])
    for sum in result.sums {
      #expect(sum.faults.count == 7)
      #expect(sum.faults.allSatisfy { $0.sent && $0.noticed != nil })
      #expect(sum.stop == nil && sum.stopCode == nil)
    }
    for stage in result.stages {
      #expect(stage.sentBytes.mean > 0 && stage.sentBytes.max >= stage.sentBytes.median)
      #expect(stage.clientSeconds.total >= stage.clientSeconds.max)
    }
    #expect(result.peakMemoryBytes > 1 << 20)
  }

  @Test func aSimulationThatStops() async throws {
    let result = try await simulate("--organizations 10 --dimension 8 --drop 0.6", status: 3)
    #expect(!result.exact && !result.sound)
    #expect(result.sums.last?.stopCode == "too-few-participants")
  }
}
