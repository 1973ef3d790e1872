import AuditLog
import Federation
import Foundation
import Testing

/// The server and its clients as services, over years in seconds: runs, rotations, revocations, restarts.
@Suite(.serialized, .timeLimit(.minutes(5)))
struct ServiceTests {
  @Test("The operator starts, watches, lists and cancels runs of a server that stays")
  func operating() async throws {
    let fixture = try await ServiceFixture(rounds: 2)
    defer { fixture.remove() }
    let outcome = try await fixture.run(
      """
      bauta server status --directory demo/hub; echo "status $?"
      server; clients
      bauta run start demo/plan.yaml --directory demo/hub --watch; echo "watched $?"
      sed 's/^rounds: 2/rounds: 100/' demo/plan.yaml > long.yaml
      long=$(bauta run start long.yaml --directory demo/hub)
      next=$(bauta run start demo/plan.yaml --directory demo/hub)
      happens evaluated 2
      bauta run cancel $next --directory demo/hub --reason "not needed"
      bauta run cancel --directory demo/hub --reason "wrong label column"
      bauta run watch $long --directory demo/hub; echo "cancelled $?"
      bauta run cancel $next --directory demo/hub; echo "again $?"
      bauta run start demo/alder/data.csv --directory demo/hub; echo "no plan $?"
      stat -c %a demo/hub/control.sock
      bauta server status --directory demo/hub
      bauta server stop --directory demo/hub; wait $(cat hub.pid); echo "server $?"
      """)
    for line in [
      "status 1", "watched 0", "cancelled 1", "again 1", "no plan 1", "600", "server 0",
      "round 2: ROC AUC",
    ] {
      #expect(outcome.output.contains(line), "\(line): \(outcome.output) \(outcome.errors)")
    }
    #expect(outcome.errors.contains("cancelled by the operator: wrong label column"))
    let reports = try fixture.reports()
    #expect(reports.suffix(3).map(\.state) == [.completed, .cancelled, .cancelled])
    let client = try String(contentsOfFile: "\(fixture.runner.directory)/alder.err", encoding: .utf8)
    #expect(client.contains("wrong label column"))
  }

  @Test("A run behind another is watched to its end, and one whose server stops is said to go on")
  func watching() async throws {
    let fixture = try await ServiceFixture(rounds: 2)
    defer { fixture.remove() }
    let outcome = try await fixture.run(
      """
      server; clients
      sed 's/^rounds: 2/rounds: 100/' demo/plan.yaml > long.yaml
      long=$(bauta run start long.yaml --directory demo/hub); happens evaluated
      bauta run start demo/plan.yaml --directory demo/hub --watch > next.out & next=$!
      shows turn next.out
      bauta run cancel $long --directory demo/hub
      wait $next; echo "next $?"; grep -c turn next.out; tail -n 1 next.out
      bauta run start long.yaml --directory demo/hub --watch > long.out 2> long.err & long=$!
      shows ROC long.out
      bauta client status --directory demo/hub; echo "kind $?"
      for command in "server status" "server reload" "server stop" "run start long.yaml" "run watch" "run list"; do
        bauta $command --directory demo/alder; echo "kind $?"
      done
      bauta server stop --directory demo/hub; wait $long; echo "interrupted $?"; cat long.err
      """)
    #expect(outcome.output.contains("next 0\n1\nrun "), "\(outcome.output) \(outcome.errors)")
    #expect(outcome.output.contains(" completed\n"))
    #expect(outcome.output.components(separatedBy: "kind 1\n").count == 8)
    #expect(outcome.errors.contains("a server runs here, not a client"))
    #expect(outcome.errors.contains("a client runs here, not a server"))
    #expect(outcome.output.contains("interrupted 1\nbauta: run "), "\(outcome.output) \(outcome.errors)")
    #expect(outcome.output.contains("is interrupted: its server was stopped"))
    #expect(
      try fixture.reports().suffix(3).map(\.state.rawValue).sorted() == ["cancelled", "completed", "interrupted"])
  }

  @Test("Every organisation's key is rotated, one after another, during a run without a failed round")
  func rotation() async throws {
    let fixture = try await ServiceFixture(rounds: 60)
    defer { fixture.remove() }
    let outcome = try await fixture.run(
      """
      server; clients
      bauta run start demo/plan.yaml --directory demo/hub; happens evaluated
      for name in alder birch cedar dogwood; do
        bauta organization rotate --directory demo/$name && \
        bauta federation admit demo/$name/$name.example.rotation.json --directory demo/hub --yes && \
        bauta federation approve demo/hub/invitations/$name.example.invitation.json --directory demo/$name --yes \
          || echo "failed $name"
        happens "\\"organization\\":\\"$name.example\\",\\"sequence\\":2"
        grep -c '"evaluated"' hub.jsonl
      done
      happens '"ended"'
      """)
    #expect(!outcome.output.contains("failed") && !outcome.output.contains("never"), "\(outcome.output)")
    let report = try #require(try fixture.reports().last)
    #expect(report.state == .completed, "\(report.reason ?? "")")
    #expect(report.rounds.count == 60)
    #expect(report.rounds.allSatisfy { $0.survivors.count == 4 && $0.attempt == 1 })
    let events = try fixture.events()
    #expect(!events.contains { $0.contains("attemptFailed") || $0.contains("refused") })
    // The last rotation was over before the run was.
    let last = try #require(events.lastIndex { $0.contains("\"sequence\":2") })
    #expect(events[last...].contains { $0.contains("\"openingCompleted\"") })
    for name in ServiceFixture.organizations {
      let handshakes = try await fixture.runner.run(
        "bauta audit list demo/hub --event handshake --json | grep '\(name).example'")
      let keys = Set(
        handshakes.output.split(separator: "\n").compactMap { $0.firstMatch(of: #/"tlsPeer":"(\w+)"/#)?.1 })
      #expect(keys.count == 2, "\(name)")
    }
    let audit = try await fixture.audit()
    #expect(audit.status == 0, "\(audit.output) \(audit.errors)")
  }

  @Test("The server's own key is rotated during a run, and no client is told by hand")
  func serverRotation() async throws {
    let fixture = try await ServiceFixture(rounds: 40)
    defer { fixture.remove() }
    let outcome = try await fixture.run(
      """
      server; clients
      bauta run start demo/plan.yaml --directory demo/hub; happens evaluated
      bauta federation rotate-server --directory demo/hub; echo "announced $?"
      for i in $(seq 900); do bauta federation rotate-server --finish --directory demo/hub > finish.out 2>&1 && break
        sleep 0.1; done; cat finish.out
      happens '"ended"'
      # Everybody comes back to a server that has the new key alone.
      stop hub; before=$(grep -c '"connected"' hub.jsonl); server
      happens '"connected"' $((before + 3))
      bauta server status --directory demo/hub
      """)
    #expect(!outcome.output.contains("never"), "\(outcome.output)")
    #expect(outcome.output.contains("announced 0"), "\(outcome.output) \(outcome.errors)")
    let report = try #require(try fixture.reports().last)
    #expect(report.state == .completed && report.rounds.allSatisfy { $0.survivors.count == 4 && $0.attempt == 1 })
    #expect(outcome.output.contains("connected   alder.example, birch.example, cedar.example, dogwood.example"))
  }

  @Test("Who is revoked is out at once: its connection is closed, it is refused, and the run goes on without it")
  func revocation() async throws {
    let fixture = try await ServiceFixture(rounds: 40)
    defer { fixture.remove() }
    let outcome = try await fixture.run(
      """
      server; clients
      bauta run start demo/plan.yaml --directory demo/hub; happens evaluated
      bauta federation revoke alder.example --reason "left the programme" --directory demo/hub --yes; echo "revoked $?"
      happens '"revoked"'
      happens '"ended"'
      bauta server status --directory demo/hub
      bauta client --directory demo/alder --data demo/alder/data.csv --patience 1; echo "client $?"
      stop alder
      bauta client --directory demo/alder --data demo/alder/data.csv --patience 1; echo "again $?"
      """)
    #expect(!outcome.output.contains("never"), "\(outcome.output)")
    #expect(outcome.output.contains("revoked 0") && outcome.output.contains("again 1"), "\(outcome.output)")
    let report = try #require(try fixture.reports().last)
    #expect(report.state == .completed, "\(report.reason ?? "")")
    #expect(report.rounds.first?.survivors.count == 4 && report.rounds.last?.survivors.count == 3)
    #expect(report.rounds.last?.survivors.contains("alder.example") == false)
    #expect(outcome.output.contains("version 3 waits for birch.example, cedar.example, dogwood.example"))
    // On the record at both sides.
    let refused = try await fixture.runner.run(
      "bauta audit list demo/hub --event handshakeRefused --json; bauta audit list demo/alder --event handshakeRefused --json"
    )
    #expect(refused.output.split(separator: "\n").count >= 2, "\(refused.output)")
  }

  @Test("A run is handed back at SIGTERM, and goes on in the same clients when the server is back")
  func handedBack() async throws {
    let fixture = try await ServiceFixture(rounds: 12)
    defer { fixture.remove() }
    let outcome = try await fixture.run(
      """
      server; clients
      bauta run start demo/plan.yaml --directory demo/hub; happens evaluated 2
      stop hub
      bauta run list --directory demo/hub
      server; happens '"completed"'
      """)
    #expect(!outcome.output.contains("never"), "\(outcome.output) \(outcome.errors)")
    #expect(outcome.output.contains("hub 0") && outcome.output.contains("interrupted"), "\(outcome.output)")
    let report = try #require(try fixture.reports().last)
    #expect(report.state == .completed, "\(report.reason ?? "")")
    #expect(report.rounds.map(\.round) == Array(1...12))
    #expect(report.rounds.allSatisfy { $0.survivors.count == 4 })
    let audit = try await fixture.audit()
    #expect(audit.status == 0, "\(audit.output) \(audit.errors)")
  }

  @Test("A server that is killed while the organisations train goes on with the run when it is started again")
  func killed() async throws {
    let fixture = try await ServiceFixture(rounds: 12)
    defer { fixture.remove() }
    let outcome = try await fixture.run(
      """
      server; clients
      bauta run start demo/plan.yaml --directory demo/hub; happens '"openingStarted"' 5
      stop hub KILL
      server; happens '"ended"'
      """)
    #expect(!outcome.output.contains("never"), "\(outcome.output) \(outcome.errors)")
    let report = try #require(try fixture.reports().last)
    #expect(report.state == .completed, "\(report.reason ?? "")")
    #expect(report.rounds.map(\.round) == Array(1...12))
    let audit = try await fixture.audit()
    #expect(audit.status == 0, "\(audit.output) \(audit.errors)")
  }
}
