import Foundation
import Testing

/// Who must not take part is refused with a reason on both sides, and the run of the others goes on.
@Suite(.serialized, .timeLimit(.minutes(2)))
struct RefusedParticipantsTests {
  /// A demonstration's federation with its server started again on the same plan, waiting for organisations.
  private func federation() async throws -> SessionRunner {
    let runner = try SessionRunner()
    _ = try await FederationRunTests.demonstrate("--rounds 1 --organizations 4", in: runner)
    return runner
  }

  private let listening = """
    bauta server --plan demo/plan.yaml --directory demo/hub --patience 40 --json > server.jsonl 2> server.err & server=$!; \
    for i in $(seq 600); do grep -q listening server.jsonl && break; sleep 0.1; done;
    """
  private let others = """
    for o in alder birch cedar dogwood; do \
    bauta client --directory demo/$o --data demo/$o/data.csv --patience 30 > $o.out 2>&1 & done;
    """

  @Test("A certificate of the federation's own authority whose key the manifest does not pin")
  func unpinned() async throws {
    let runner = try await federation()
    defer { runner.remove() }
    // The same authority admits a stranger in a copy of the server's directory: its manifest is another one.
    let prepared = try await runner.run(
      """
      cp -r demo/hub other && bauta organization init mallory.example --directory mallory && \
      bauta federation admit mallory/mallory.example.request.json --directory other && \
      bauta federation approve other/invitations/mallory.example.invitation.json --directory mallory --yes
      """)
    try #require(prepared.status == 0, "\(prepared.errors)")
    let outcome = try await runner.run(
      """
      \(listening) timeout 60 bauta client --directory mallory --data demo/alder/data.csv --patience 5; said=$?; \
      \(others) wait $server; echo "mallory $said server $?"
      """)
    #expect(outcome.output.contains("mallory 1 server 0"), "\(outcome.output) \(outcome.errors)")
    #expect(outcome.errors.contains("refused this organisation's certificate"), "\(outcome.errors)")
    let log = try await runner.run("bauta audit list demo/hub --json | grep handshakeRefused")
    #expect(log.output.contains("tls-unpinned-key"), "\(log.output)")
    #expect(try await runner.run("bauta audit verify demo/hub mallory").status == 0)
    let own = try await runner.run("bauta audit list mallory --json")
    #expect(own.output.contains("handshakeRefused"))
    #expect(!own.output.contains("messageSent"), "nothing left the refused organisation")
  }

  @Test("A client without a certificate")
  func noCertificate() async throws {
    let runner = try await federation()
    defer { runner.remove() }
    let outcome = try await runner.run(
      """
      \(listening) port=$(sed -n 's/.*"address":"127.0.0.1:\\([0-9]*\\)".*/\\1/p' server.jsonl | head -n 1); \
      printf 'GET / HTTP/1.0\\r\\n\\r\\n' | timeout 60 openssl s_client -connect 127.0.0.1:$port -alpn h2 -quiet; \
      \(others) wait $server; echo "server $?"
      """)
    #expect(outcome.output.contains("server 0"), "\(outcome.output) \(outcome.errors)")
    let log = try await runner.run("bauta audit list demo/hub --json | grep handshakeRefused")
    #expect(log.output.contains("tls-no-certificate"), "\(log.output)")
  }

  @Test("A client under an old version of the manifest, as from a restored directory")
  func otherManifest() async throws {
    let runner = try await federation()
    defer { runner.remove() }
    let prepared = try await runner.run(
      """
      cp -r demo/alder old && bauta organization init erin.example --directory demo/erin && \
      bauta federation admit demo/erin/erin.example.request.json --directory demo/hub --yes && \
      for file in demo/hub/invitations/*.json; do name=$(basename $file .example.invitation.json)
        bauta federation approve $file --directory demo/$name --yes || exit 1; done
      bauta federation approve demo/*/*.approval.note --directory demo/hub
      """)
    try #require(prepared.status == 0, "\(prepared.output) \(prepared.errors)")
    let outcome = try await runner.run(
      """
      \(listening) timeout 60 bauta client --directory old --data old/data.csv --patience 5; \
      echo "alder $?"; kill $server; wait $server
      """)
    #expect(outcome.output.contains("alder 1"), "\(outcome.output)")
    #expect(outcome.errors.contains("another version of the federation's manifest"), "\(outcome.errors)")
    let log = try await runner.run("bauta audit list demo/hub --json | grep policyDecision")
    #expect(log.output.contains("other-manifest"), "\(log.output)")
    let own = try await runner.run("bauta audit list old --json | tail -n 1")
    #expect(own.output.contains("other-manifest"), "\(own.output)")
  }

  @Test("A port that is in use")
  func busyPort() async throws {
    let runner = try await federation()
    defer { runner.remove() }
    let outcome = try await runner.run(
      """
      \(listening) timeout 60 bauta server --plan demo/plan.yaml --directory demo/hub; echo "same directory $?"; \
      cp -r demo/hub hub2; timeout 60 bauta server --plan demo/plan.yaml --directory hub2; echo "busy $?"; \
      kill $server; wait $server
      """)
    #expect(outcome.output.contains("same directory 1"), "\(outcome.output)")
    #expect(outcome.output.contains("busy 1"), "\(outcome.output)")
    #expect(outcome.errors.contains("in use"), "\(outcome.errors)")
  }
}
