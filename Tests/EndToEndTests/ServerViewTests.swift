import AuditLog
import Cryptography
import Federation
import FederationClient
import FederationWire
import Foundation
import Learning
import Synchronization
import Testing
import Training

@testable import FederationServer

/// Everything the server is sent in two whole runs, searched for what must not be in it.
@Suite(.serialized, .timeLimit(.minutes(3)))
struct ServerViewTests {
  /// What one organisation sent, in order.
  private typealias View = [String: [[UInt8]]]

  private func run(in demo: String, names: [String]) async throws -> View {
    let view = Mutex<View>([:])
    var settings = RunServer.Settings(patience: .seconds(30))
    settings.inspect = { name, bytes in view.withLock { $0[name.value, default: []].append(bytes) } }
    let server = try RunServer(directory: "\(demo)/hub", plan: "\(demo)/plan.yaml", settings: settings)
    async let report = server.serve { _ in }
    try await withThrowingTaskGroup(of: ClientOutcome.self) { group in
      for name in names {
        let folder = "\(demo)/\(name.prefix { $0 != "." })"
        let client = try OrganizationClient(
          directory: folder, data: "\(folder)/data.csv", settings: .init(patience: .seconds(30)))
        group.addTask { try await client.takePart { _ in } }
      }
      for try await outcome in group { #expect(outcome.state == .completed) }
    }
    #expect(try await report.state == .completed)
    return view.withLock { $0 }
  }

  /// The masked vectors of an organisation, by task, in order.
  private func maskedInputs(_ messages: [[UInt8]], _ task: TaskKind, byteCount: Int) throws -> [[UInt8]] {
    try messages.compactMap { bytes in
      guard case .round(let payload) = try ClientMessage(parsing: bytes).body, payload.opening.task == task,
        payload.kind == "masked-input"
      else { return nil }
      try #require(payload.body.count == byteCount)
      return payload.body
    }
  }

  private func words(_ values: [UInt64]) -> [UInt8] {
    values.flatMap { value in (0..<8).map { UInt8(truncatingIfNeeded: value >> (8 * UInt64($0))) } }
  }

  /// χ² of the bytes against the uniform distribution, 255 degrees of freedom.
  private func chiSquare(_ bytes: [UInt8]) -> Double {
    var counts = [Double](repeating: 0, count: 256)
    for byte in bytes { counts[Int(byte)] += 1 }
    let expected = Double(bytes.count) / 256
    return counts.reduce(0) { $0 + ($1 - expected) * ($1 - expected) / expected }
  }

  /// Exceeded by uniform bytes with a probability below 1e-9.
  private let chiSquareLimit = 416.0

  @Test("Nothing the server is sent holds a term, a count or a model; what is masked is uniform and never repeats")
  func serverView() async throws {
    let runner = try SessionRunner()
    defer { runner.remove() }
    let prepared = try await FederationRunTests.demonstrate("--rounds 1 --seed 5", in: runner)
    let demo = "\(runner.directory)/demo"
    let names = try #require(prepared.rounds.first?.survivors)
    let plan = try RunPlan(contentsOf: "\(demo)/plan.yaml")
    let first = try await run(in: demo, names: names)
    let second = try await run(in: demo, names: names)

    var masked: [UInt8] = []
    var differences: [UInt8] = []
    for name in names {
      let folder = name.prefix { $0 != "." }
      let table = try CSVTable.load(
        path: "\(demo)/\(folder)/data.csv", label: plan.task.label, positive: plan.task.positive)
      let data = try OrganizationData(table, testFraction: plan.data.testFraction, seed: plan.data.splitSeed)
      let vector = try StatisticsVector(featureNames: table.featureNames, weightCap: plan.secureSum.weightCap)
      let term = try vector.encode(plan.data.preprocessing.transform(data.train), minimumRows: 10)
      let plain = words(term.map { UInt64(bitPattern: $0) })

      // No sum of the organisation's own, in either byte order, is anywhere in what it sent.
      let telling = term.filter { $0.magnitude > 1 << 24 }
      #expect(telling.count > 50)
      let sent = Set(first[name, default: []].flatMap { windows($0) })
      for value in telling {
        let bits = UInt64(bitPattern: value)
        #expect(!sent.contains(bits) && !sent.contains(bits.byteSwapped), "\(name): \(value)")
      }
      // The search finds what is there.
      #expect(Set(windows([1, 2, 3] + plain)).isSuperset(of: telling.map { UInt64(bitPattern: $0) }))

      let one = try maskedInputs(first[name, default: []], .statistics, byteCount: plain.count)
      let two = try maskedInputs(second[name, default: []], .statistics, byteCount: plain.count)
      try #require(one.count == 1 && two.count == 1)
      #expect(zip(windows8(one[0]), windows8(plain)).allSatisfy { $0 != $1 })
      #expect(zip(windows8(one[0]), windows8(two[0])).allSatisfy { $0 != $1 })
      masked += one[0] + two[0]
      differences += words(zip(windows8(one[0]), windows8(two[0])).map { $0 &- $1 })
      for fit in try maskedInputs(first[name, default: []], .fit, byteCount: 4 * 50 + 8 * 2) { masked += fit }
      let bins = plan.evaluation.histogramBins
      for input in try maskedInputs(first[name, default: []], .evaluate, byteCount: 8 * (3 + 2 * bins)) {
        masked += input
      }
      // Unmasked, the same bytes are anything but uniform.
      #expect(chiSquare(plain) > 10 * chiSquareLimit)
    }
    #expect(masked.count > 80_000)
    #expect(chiSquare(masked) < chiSquareLimit)
    #expect(chiSquare(differences) < chiSquareLimit)
  }

  /// Every eight consecutive bytes as a little-endian word.
  private func windows(_ bytes: [UInt8]) -> [UInt64] {
    guard bytes.count >= 8 else { return [] }
    return (0...bytes.count - 8).map { start in
      (0..<8).reduce(UInt64(0)) { $0 | UInt64(bytes[start + $1]) << (8 * UInt64($1)) }
    }
  }

  /// Aligned little-endian words.
  private func windows8(_ bytes: [UInt8]) -> [UInt64] {
    stride(from: 0, to: bytes.count - 7, by: 8).map { start in
      (0..<8).reduce(UInt64(0)) { $0 | UInt64(bytes[start + $1]) << (8 * UInt64($1)) }
    }
  }
}
