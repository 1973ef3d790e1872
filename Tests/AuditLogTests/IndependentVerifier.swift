import AuditLog
import Cryptography
import Foundation
import Testing
import TransparencyLog

/// `Tests/IndependentCheck/verify_log.py`: a verifier that shares no code with ours.
enum IndependentVerifier {
  struct Verdict: Decodable {
    let verified: Bool
    let failures: [String]
    /// Of a log only.
    let size: UInt64?
    let unsignedTail: UInt64?
  }

  static let script = URL(fileURLWithPath: #filePath).resolvingSymlinksInPath().deletingLastPathComponent()
    .deletingLastPathComponent().appendingPathComponent("IndependentCheck/verify_log.py").path

  /// A Python with the package `cryptography`: the first on the PATH, or the system's.
  static let interpreter: String? = ["python3", "/usr/bin/python3"].first { name in
    (try? run([name, "-c", "import cryptography"]).status) == 0
  }

  /// False where there is no such Python, except in continuous integration: there its absence is a failure.
  static var mayRun: Bool { interpreter != nil || ProcessInfo.processInfo.environment["CI"] != nil }
  static let reason: Comment =
    "skipped: there is no python3 with the package cryptography (.ci/check-machine --with-python installs it)"

  /// The verdict on each log or proof, in the order in which they are named; one process for all.
  static func verdicts(_ arguments: [String]) throws -> [Verdict] {
    let python = try #require(interpreter, "no python3 with the package cryptography: see .ci/check-machine")
    let outcome = try run([python, script, "--json"] + arguments)
    try #require(outcome.status <= 1, "\(outcome.errors)")
    let verdicts = try outcome.output.split(separator: "\n").map {
      try JSONDecoder().decode(Verdict.self, from: Data($0.utf8))
    }
    // The exit status says the same as the lines.
    #expect(outcome.status == (verdicts.allSatisfy(\.verified) ? 0 : 1))
    return verdicts
  }

  /// Runs a command found on the PATH. Output goes through files, so that no pipe can fill up.
  static func run(_ command: [String]) throws -> (status: Int32, output: String, errors: String) {
    let folder = try TemporaryDirectory()
    let process = Process()
    process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
    process.arguments = command
    process.standardInput = FileHandle.nullDevice
    let paths = ["output", "errors"].map { "\(folder.path)/\($0)" }
    for path in paths { _ = FileManager.default.createFile(atPath: path, contents: nil) }
    process.standardOutput = try FileHandle(forWritingTo: URL(fileURLWithPath: paths[0]))
    process.standardError = try FileHandle(forWritingTo: URL(fileURLWithPath: paths[1]))
    try process.run()
    process.waitUntilExit()
    return (
      process.terminationStatus, try String(contentsOfFile: paths[0], encoding: .utf8),
      try String(contentsOfFile: paths[1], encoding: .utf8)
    )
  }
}

/// The witness that cosigns the logs of these tests.
enum FixedWitness {
  static func key(_ seed: UInt8 = 9) throws -> WitnessSigningKey {
    try WitnessSigningKey(seed: Fixed.secretSeed(seed))
  }

  static func verifierKey(_ seed: UInt8 = 9) throws -> NoteVerifierKey<WitnessKeyRole> {
    NoteVerifierKey(organization: try OrganizationName("witness\(seed).example"), key: try key(seed).verifyingKey)
  }

  static func cosignature(of checkpoint: Checkpoint, seed: UInt8 = 9, time: UInt64 = 1_772_357_401) throws
    -> Cosignature
  {
    try Cosignature(
      of: checkpoint, name: OrganizationName("witness\(seed).example"), key: key(seed), time: time)
  }

  /// Adds the witness's line to the checkpoint of a log.
  static func cosign(_ log: String, seed: UInt8 = 9, time: UInt64 = 1_772_357_401) throws {
    let tiles = TileDirectory(path: log)
    var checkpoint = try #require(try tiles.checkpoint())
    try checkpoint.add(cosignature(of: checkpoint.checkpoint, seed: seed, time: time))
    try tiles.write(checkpoint)
  }
}
