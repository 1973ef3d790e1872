import AuditLog
import Foundation
import Testing

/// A client process that is killed once its reply is on disk, and started again.
@Suite(.serialized, .timeLimit(.minutes(2)))
struct LostReplyTests {
  @Test(
    "Killed after its reply was persisted, an organisation comes back and releases the same shares, which the sum needs"
  )
  func lostReply() async throws {
    let runner = try SessionRunner()
    defer { runner.remove() }
    _ = try await FederationRunTests.demonstrate("--rounds 1 --organizations 4", in: runner)
    // Two of four are killed: the two that are left cannot open the sum without them.
    let outcome = try await runner.run(
      """
      bauta server --plan demo/plan.yaml --directory demo/hub --patience 40 --json > server.jsonl 2> server.err & \
      server=$!; for i in $(seq 600); do grep -q listening server.jsonl && break; sleep 0.1; done; \
      client() { bauta client --directory demo/$1 --data demo/$1/data.csv --patience 30 $2 >> $1.out 2>&1; }; \
      client cedar & client dogwood & \
      (client alder "--lose-at fit/1/unmasking/persisted"; echo "alder $?"; client alder; echo "alder $?") & \
      (client birch "--lose-at fit/1/unmasking/recorded"; echo "birch $?"; client birch; echo "birch $?") & \
      wait $server; echo "server $?"; wait
      """)
    for line in ["alder 137", "alder 0", "birch 137", "birch 0", "server 0"] {
      #expect(outcome.output.contains(line), "\(outcome.output) \(outcome.errors)")
    }
    let events = try String(contentsOfFile: "\(runner.directory)/server.jsonl", encoding: .utf8).split(separator: "\n")
    #expect(!events.contains { $0.contains("attemptFailed") })
    for name in ["alder", "birch"] {
      let released = events.contains {
        $0.contains("\"answered\"") && $0.contains("\(name).example") && $0.contains("\"Unmasking\"")
          && $0.contains("\"fit\"")
      }
      #expect(released, "\(name)")
    }
    let audit = try await runner.run(
      "bauta audit verify demo/alder demo/birch demo/hub && "
        + "bauta audit reconcile demo/alder demo/birch demo/cedar demo/dogwood --ingress demo/hub")
    #expect(audit.status == 0, "\(audit.output) \(audit.errors)")
    // The process that ended between record and answer left a message of which nothing was known; it is said.
    let unknown = try await runner.run("bauta audit list demo/birch --event delivery --json | grep process-ended")
    #expect(unknown.status == 0)
  }
}
