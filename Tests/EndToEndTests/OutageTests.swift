import Federation
import Foundation
import Testing

/// No network for a while in the middle of each stage of a sum.
///
/// The outage lasts as many seconds as the environment variable `BAUTA_OUTAGE_SECONDS` says (`make outage`: 360), and two
/// without it: then connections outlive it. In a long one both ends give them up, and clients come back by new ones.
/// `BAUTA_OUTAGE_STAGE` names one stage to be tried alone.
@Suite(.serialized, .timeLimit(.minutes(60)))
struct OutageTests {
  private static let seconds = ProcessInfo.processInfo.environment["BAUTA_OUTAGE_SECONDS"].flatMap(Int.init) ?? 2

  /// Stages in their order, each in a round of its own: when the one before it has closed, the network goes.
  private static let stages: [(name: String, follows: String)] = allStages.filter { stage in
    ProcessInfo.processInfo.environment["BAUTA_OUTAGE_STAGE"].map { $0 == stage.name } ?? true
  }

  private static let allStages: [(name: String, follows: String)] = [
    ("AdvertiseKeys", "openingStarted"), ("ShareKeys", "\"AdvertiseKeys\""), ("MaskedInputCollection", "\"ShareKeys\""),
    ("ConsistencyCheck", "\"MaskedInputCollection\""), ("Unmasking", "\"ConsistencyCheck\""),
  ]

  @Test("The network is gone in the middle of each stage, and the run completes without a failed round")
  func everyStage() async throws {
    // Clients try again once a minute at last, and a handshake that gets no answer takes ten seconds.
    let patience = 2 * Self.seconds + 300
    let fixture = try await ServiceFixture(
      rounds: Self.stages.count,
      deadlines: "accept: \(patience)s, fit: \(patience)s, step: \(patience)s, reconnect: \(patience)s")
    defer { fixture.remove() }
    let manifest = try SignedManifest(
      parsing: [UInt8](Data(contentsOf: URL(fileURLWithPath: "\(fixture.runner.directory)/demo/hub/federation.note"))))
    let port = try #require(UInt16(exactly: manifest.manifest.server.addresses[0].port))
    let behind = port < 60_000 ? port + 1 : port - 1
    let network = try TroubledNetwork(from: port, to: behind, milliseconds: 40)
    defer { network.close() }
    async let running = fixture.run(
      """
      server --listen 127.0.0.1:\(behind); clients
      bauta run start demo/plan.yaml --directory demo/hub
      for i in $(seq \(Self.stages.count * (Self.seconds + 120) + 120)); do
        grep -q '"ended"' hub.jsonl && break; sleep 1; done
      """)
    var outages: [String] = []
    for (index, stage) in Self.stages.enumerated() {
      try await wait(for: stage, inRound: index + 1, fixture)
      network.setDark(true)
      let before = try fixture.events()
      try await Task.sleep(for: .seconds(Self.seconds))
      // What was on its way when the line was cut may have arrived; whatever is asked next has not.
      let during = try fixture.events().dropFirst(before.count).filter { $0.contains("stageClosed") }
      #expect(during.count <= 1, "\(during)")
      outages.append(stage.name)
      network.setDark(false)
    }
    let outcome = try await running
    #expect(outages.count == Self.stages.count, "\(outcome.output)")
    let report = try #require(try fixture.reports().last)
    #expect(report.state == .completed, "\(report.reason ?? "") \(outcome.output) \(outcome.errors)")
    #expect(report.rounds.count == Self.stages.count)
    #expect(report.rounds.allSatisfy { $0.survivors.count == 4 && $0.attempt == 1 })
    #expect(try !fixture.events().contains { $0.contains("attemptFailed") })
    let audit = try await fixture.audit()
    #expect(audit.status == 0, "\(audit.output) \(audit.errors)")
  }

  /// Until the stage has begun: a minute at most.
  private func wait(
    for stage: (name: String, follows: String), inRound round: Int, _ fixture: ServiceFixture
  ) async throws {
    for _ in 0..<12_000 {
      let events = (try? fixture.events()) ?? []
      let isThere = events.contains {
        $0.contains(stage.follows) && $0.contains("\"round\":\(round),") && $0.contains("\"task\":\"fit\"")
          && ($0.contains("stageClosed") || $0.contains("openingStarted"))
      }
      if isThere { return }
      try await Task.sleep(for: .milliseconds(5))
    }
    Issue.record("\(stage.name) of round \(round) has never begun")
  }
}
