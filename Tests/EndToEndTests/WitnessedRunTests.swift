import AuditLog
import Cryptography
import Federation
import Foundation
import Testing
import TransparencyLog

/// The members of a federation as each other's witnesses, in processes of their own.
@Suite(.serialized, .timeLimit(.minutes(5)))
struct WitnessedRunTests {
  private func checkpoint(_ path: String) throws -> SignedCheckpoint {
    let bytes = try Data(contentsOf: URL(fileURLWithPath: path))
    return try SignedCheckpoint(parsing: [UInt8](bytes))
  }

  /// Whose cosignatures are on the checkpoint that is kept beside a log.
  private func cosigners(of name: String, in demo: String) throws -> [String] {
    let manifest = try #require(try ServerDirectory(opening: "\(demo)/hub").manifest()).manifest
    let kept = try checkpoint("\(demo)/\(name)/log/checkpoint.cosigned")
    return manifest.members.filter {
      if case .valid = kept.cosignature(by: $0.witnessNoteKey) { true } else { false }
    }.map { String($0.name.value.prefix { $0 != "." }) }.sorted()
  }

  @Test("After a run every log is cosigned by the server and all others, and audits as it should")
  func everybody() async throws {
    let runner = try SessionRunner()
    defer { runner.remove() }
    let result = try await FederationRunTests.demonstrate("--rounds 1 --organizations 3", in: runner)
    #expect(result.state == "completed" && result.audit.verified)
    let demo = "\(runner.directory)/demo"
    let everybody = ["alder", "birch", "cedar", "hub"]
    for name in everybody {
      #expect(try cosigners(of: name, in: demo) == everybody.filter { $0 != name }, "\(name)")
    }
    let audit = try await runner.run(
      "bauta audit verify demo/alder demo/birch demo/cedar demo/hub --manifest demo/hub/federation.note")
    #expect(audit.status == 0, "\(audit.output)")
  }

  @Test("A directory restored from a copy is refused by its own client; a server's log that was replaced, by everybody")
  func rewritten() async throws {
    let fixture = try await ServiceFixture(rounds: 1)
    defer { fixture.remove() }
    let outcome = try await fixture.run(
      """
      cp -a demo/alder alder.copy; cp -a demo/hub/log hub-log.copy
      server; clients
      bauta run start demo/plan.yaml --directory demo/hub --watch > run.out; echo "run $?"
      stop alder
      mv demo/alder alder.new; cp -a alder.copy demo/alder
      timeout 60 bauta client --stay --directory demo/alder --data demo/alder/data.csv 2> restored.err; echo "restored $?"
      bauta server status --directory demo/hub
      bauta audit list demo/alder --json > restored.json
      for name in birch cedar dogwood; do stop $name; done
      bauta server stop --directory demo/hub; wait $(cat hub.pid); rm hub.pid
      mv demo/hub/log hub-log.new; cp -a hub-log.copy demo/hub/log
      server
      for name in birch cedar dogwood; do
        timeout 60 bauta client --stay --directory demo/$name --data demo/$name/data.csv 2> $name.fork; echo "$name $?"
      done
      """)
    let said = "\(outcome.output) \(outcome.errors)"
    #expect(outcome.output.contains("run 0"), "\(said)")
    #expect(!outcome.output.contains("restored 0") && !outcome.output.contains("restored 124"), "\(said)")
    func text(_ name: String) throws -> String {
      try String(contentsOfFile: "\(fixture.runner.directory)/\(name)", encoding: .utf8)
    }
    let refusal = try text("restored.err")
    #expect(refusal.contains("that this organisation has signed"), "\(refusal)")
    #expect(outcome.output.contains("The log of alder.example does not continue what was cosigned"), "\(said)")
    let records = try text("restored.json")
    #expect(records.contains("checkpointConflict") && records.contains("own-log-rolled-back"))
    for name in ["birch", "cedar", "dogwood"] {
      #expect(outcome.output.contains("\n\(name) 1\n"), "\(said)")
      let complaint = try text("\(name).fork")
      #expect(complaint.contains("does not continue the") && complaint.contains("witness/evidence/"), "\(complaint)")
    }
  }
}
