import Foundation
import Testing

/// A federation goes on after one of its members has got new keys.
@Suite(.serialized, .timeLimit(.minutes(3)))
struct LifecycleRunTests {
  @Test("After an identity key was lost and replaced, and everybody has approved, a run works, and logs verify")
  func lostIdentity() async throws {
    let runner = try SessionRunner()
    defer { runner.remove() }
    _ = try await FederationRunTests.demonstrate("--rounds 1 --organizations 4", in: runner)
    let replaced = try await runner.run(
      """
      set -e; cd demo; cp -r alder before; rm alder/identity.key
      bauta organization replace-identity --directory alder --reason "deleted by mistake" --yes
      bauta federation admit alder/alder.example.request.json --replace --reason "lost" --directory hub --yes
      for o in alder birch cedar dogwood; do
        bauta federation approve hub/invitations/$o.example.invitation.json --directory $o --yes
      done
      bauta federation approve alder/*.approval.note birch/*.approval.note cedar/*.approval.note dogwood/*.approval.note \
        --directory hub
      """)
    try #require(replaced.status == 0, "\(replaced.errors)")
    let outcome = try await runner.run(
      """
      bauta server --plan demo/plan.yaml --directory demo/hub --patience 40 --json > server.jsonl 2> server.err & \
      server=$!; for i in $(seq 600); do grep -q listening server.jsonl && break; sleep 0.1; done
      for o in alder birch cedar dogwood; do \
      bauta client --directory demo/$o --data demo/$o/data.csv --patience 30 > $o.out 2>&1 & done
      wait $server; echo "server $?"; cat server.err
      """)
    #expect(outcome.output.contains("server 0"), "\(outcome.output) \(outcome.errors)")
    let verified = try await runner.run(
      "bauta audit verify demo/alder demo/birch demo/hub --manifest demo/hub/federation.note")
    #expect(verified.status == 0, "\(verified.output) \(verified.errors)")

    // Whoever has the old key is let into nothing.
    let refused = try await runner.run(
      """
      bauta server --plan demo/plan.yaml --directory demo/hub --patience 40 --json > second.jsonl 2> server.err & \
      server=$!; for i in $(seq 600); do grep -q listening second.jsonl && break; sleep 0.1; done
      timeout 60 bauta client --directory demo/before --data demo/alder/data.csv --patience 5 > before.out 2>&1
      echo "before $?"; cat before.out; kill $server; wait $server
      """)
    #expect(refused.output.contains("before 1"), "\(refused.output) \(refused.errors)")
  }
}
