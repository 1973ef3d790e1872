import AuditLog
import Cryptography
import Foundation
import Testing
import TransparencyLog

/// A writer in a process of its own that appends as fast as it can and is killed with SIGKILL, again and again.
@Suite(.serialized, .timeLimit(.minutes(3)))
struct KilledWriterTests {
  private static let kills = 30

  /// What the process that was killed had been told: which entry has which leaf hash, a line each.
  private struct Acknowledged {
    var leaves: [UInt64: String] = [:]

    init(_ path: String) throws {
      for line in String(decoding: try read(path), as: UTF8.self).split(
        separator: "\n", omittingEmptySubsequences: false
      )
      .dropLast() {
        let words = line.split(separator: " ")
        let sequence = try #require(words.first.flatMap { UInt64($0) })
        // An entry that was acknowledged is never another one later.
        let known = leaves.updateValue(String(words[1]), forKey: sequence)
        #expect(known == nil || known == String(words[1]))
      }
    }
  }

  @Test("Whatever an append has acknowledged is in the log after SIGKILL at any moment, chained, under every verifier")
  func acknowledgedAppendsSurvive() async throws {
    let directory = try TemporaryDirectory()
    let (log, acknowledgements) = ("\(directory.path)/log", "\(directory.path)/acknowledged")
    try write([], to: acknowledgements)
    var generator = SplitMix64(state: 0x5EED)
    var states: [String] = []
    var acknowledged = 0
    var hasCheckpoint = false
    for number in 0..<Self.kills {
      // Some die while they open the log, some in their first append, most in the middle of their work.
      let microseconds = UInt32.random(in: 100...(number % 3 == 0 ? 5_000 : 150_000), using: &generator)
      await Self.runAndKill(log, acknowledgements, after: microseconds)
      // What is on disk now, before anything mends it; and what a writer makes of it.
      let state = "\(directory.path)/state-\(number)"
      guard FileManager.default.fileExists(atPath: "\(log)/journal") else { continue }
      try FileManager.default.copyItem(atPath: log, toPath: state)
      if FileManager.default.fileExists(atPath: "\(log)/checkpoint") { hasCheckpoint = true }
      if hasCheckpoint { states.append(state) }
      let expected = try Acknowledged(acknowledgements).leaves
      acknowledged = expected.count
      let lines = try journalLines(state)
      for (sequence, leaf) in expected {
        try #require(sequence < UInt64(lines.count), "entry \(sequence) of kill \(number) is lost")
        #expect(MerkleHashing.leaf(lines[Int(sequence)]).hexadecimal == leaf, "entry \(sequence) of kill \(number)")
      }
      // Opening checks every entry against its checkpoint, and the chain after it.
      let writer = try openLog(log)
      #expect(writer.size >= UInt64(expected.keys.max().map { $0 + 1 } ?? 0))
    }
    #expect(acknowledged > 100, "hardly anything was appended: \(acknowledged)")
    #expect(states.count > Self.kills / 2)
    try openLog(log).close()
    states.append(log)
    for state in states {
      let report = try verify(state)
      #expect(report.verified, "\(state): \(report.failures)")
    }
    #expect(try verify(log).unsignedTail == 0)
    guard IndependentVerifier.mayRun else { return }
    let verdicts = try IndependentVerifier.verdicts(["--key", Fixed.verifierKey()] + states)
    #expect(verdicts.map(\.failures) == states.map { _ in [] })
  }

  private static func runAndKill(_ log: String, _ acknowledgements: String, after microseconds: UInt32) async {
    await #expect(processExitsWith: .signal(SIGKILL)) { [log, acknowledgements, microseconds] in
      try KilledWriterTests.work(log, acknowledgements, killedAfter: microseconds)
    }
  }

  /// In the process that is killed. Three threads append; one of them publishes now and then.
  static func work(_ log: String, _ acknowledgements: String, killedAfter microseconds: UInt32) throws {
    Thread {
      usleep(microseconds)
      kill(getpid(), SIGKILL)
    }.start()
    let descriptor = open(acknowledgements, O_WRONLY | O_APPEND)
    try #require(descriptor >= 0)
    let writer = try openLog(log)
    for thread in 0..<3 {
      Thread {
        for number in 0... {
          var draft = AuditRecord.Draft(.roundCompleted)
          draft.run = String(repeating: "r", count: number % 40)
          draft.round = number
          draft.attempt = thread
          guard let appended = try? writer.append(draft) else { return }
          let line = Array("\(appended.sequence) \(appended.leaf.hexadecimal)\n".utf8)
          // One call, so that a line is there as a whole or not at all.
          guard Foundation.write(descriptor, line, line.count) == line.count else { return }
          if thread == 0, number % 7 == 0 { _ = try? writer.publish() }
        }
      }.start()
    }
    sleep(60)
  }
}

/// The same moments in every run of the tests.
struct SplitMix64: RandomNumberGenerator {
  var state: UInt64

  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var mixed = state
    mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
    mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
    return mixed ^ (mixed >> 31)
  }
}
