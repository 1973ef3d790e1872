import AuditLog
import Cryptography
import Foundation
import LogService
import Testing
import TransparencyLog

/// `bauta audit witness` as a process of its own, killed without warning between two checkpoints.
@Suite struct WitnessProcessTests {
  @Test(.timeLimit(.minutes(2))) func aKilledWitnessForgetsNothing() async throws {
    let runner = try SessionRunner()
    defer { runner.remove() }
    let origin = try OrganizationName("alder.example")
    let key = LogSigningKey.generate()
    let verifier = NoteVerifierKey<LogKeyRole>(organization: origin, key: key.verifyingKey)
    let tree = MerkleTree(leaves: (0..<20).map { MerkleHashing.leaf(Array("entry \($0)".utf8)) })
    let other = MerkleTree(leaves: (0..<20).map { MerkleHashing.leaf(Array("other \($0)".utf8)) })

    var running = try await RunningWitness(runner, verifier.text, "--name", "watch.example")
    let first = try SignedCheckpoint.signing(origin: origin, size: 8, root: tree.root(size: 8), key: key)
    let made = try await running.submit(first, tree)
    #expect(made.verifies(text: first.note.text, witness: running.client.key))
    await running.kill()

    running = try await RunningWitness(runner, verifier.text)
    let forked = try SignedCheckpoint.signing(origin: origin, size: 8, root: other.root(size: 8), key: key)
    await #expect(throws: WitnessClientError.otherHistory(witness: "watch.example", size: 8)) {
      try await running.submit(forked, other)
    }
    let second = try SignedCheckpoint.signing(origin: origin, size: 20, root: tree.root(), key: key)
    _ = try await running.submit(second, tree)
    await running.kill()

    let lines = try String(contentsOfFile: running.outputPath, encoding: .utf8).split(separator: "\n")
    #expect(lines.contains { $0.contains(#""event":"alarm""#) && $0.contains(#""kind":"splitView""#) })
    #expect(lines.contains { $0.contains(#""event":"cosigned","log":"alder.example","previous":8,"size":20"#) })
    #expect(
      try FileManager.default.contentsOfDirectory(atPath: "\(runner.directory)/watch/witness/evidence").count == 1)
  }
}

private struct RunningWitness {
  let process: Process
  let client: WitnessClient
  let outputPath: String

  init(_ runner: SessionRunner, _ log: String, _ more: String...) async throws {
    outputPath = "\(runner.directory)/said"
    _ = FileManager.default.createFile(atPath: outputPath, contents: nil)
    process = Process()
    process.executableURL = URL(fileURLWithPath: "\(SessionRunner.products)/bauta")
    process.arguments =
      ["audit", "witness", "watch", "--log", log, "--listen", "127.0.0.1:0", "--json"] + more
    process.currentDirectoryURL = URL(fileURLWithPath: runner.directory)
    process.standardInput = FileHandle.nullDevice
    process.standardOutput = try FileHandle(forWritingTo: URL(fileURLWithPath: outputPath))
    try process.run()
    var said = ""
    while !said.contains("\n"), process.isRunning {
      try await Task.sleep(for: .milliseconds(20))
      said = try String(contentsOfFile: outputPath, encoding: .utf8)
    }
    let line = try #require(try JSONSerialization.jsonObject(with: Data(said.utf8)) as? [String: Any])
    client = WitnessClient(
      url: try WitnessURL(try #require(line["url"] as? String)),
      key: try NoteVerifierKey(try #require(line["witness"] as? String)), timeout: .seconds(60))
  }

  /// Records what is sent in a log of its own, since nothing else can be sent.
  func submit(_ checkpoint: SignedCheckpoint, _ tree: MerkleTree) async throws -> Cosignature {
    let log = try AuditLogWriter(
      directory: "\(outputPath)-\(UUID().uuidString)", organization: OrganizationName("alder.example"),
      logKey: LogSigningKey.generate())
    return try await client.submit(
      checkpoint,
      recording: { (body) throws(AuditLogError) in
        try log.recordEgress(
          .init(.messageSent), message: MessageLabel(id: .random(), kind: AuditRecord.checkpointKind), payload: body)
      },
      proof: { (from) throws(TransparencyLogError) in tree.consistencyProof(from: from, to: checkpoint.checkpoint.size)
      })
  }

  func kill() async {
    Foundation.kill(process.processIdentifier, SIGKILL)
    while process.isRunning { try? await Task.sleep(for: .milliseconds(10)) }
  }
}
