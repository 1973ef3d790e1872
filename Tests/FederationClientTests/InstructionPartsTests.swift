import AuditLog
import Cryptography
import Federation
import FederationWire
import Foundation
import Testing

@testable import FederationClient

@Suite("Long instructions that arrive in parts", .timeLimit(.minutes(1)))
struct InstructionPartsTests {
  private static let partBytes = 100 * 1024
  private let run: HostileRun

  init() throws { run = try HostileRun(TestFederation()) }

  /// The end of a run with 350 KiB of a model: four parts.
  private func whole(_ instruction: UInt64, fill: UInt8 = 7) throws -> [UInt8] {
    let end = RunEnd(
      run: run.agreement.run, state: .stopped, reason: "in parts", model: [UInt8](repeating: fill, count: 350 * 1024))
    return try ServerMessage(instruction: instruction, receipt: nil, body: .end(end)).encoded()
  }

  private func part(
    _ bytes: [UInt8], _ index: Int, of instruction: UInt64, total: UInt64? = nil, hash: SHA256Digest? = nil,
    offset: Int? = nil, length: Int? = nil
  ) -> ScriptedServer.Reply {
    let start = offset ?? index * Self.partBytes
    let slice = Array(bytes[start..<min(start + (length ?? Self.partBytes), bytes.count)])
    return .message(
      ServerMessage(
        instruction: instruction, receipt: nil,
        body: .part(
          PartOfInstruction(
            total: total ?? UInt64(bytes.count), offset: UInt64(start), bytes: slice,
            hash: hash ?? SHA256Digest(hashing: bytes)))))
  }

  private func play(
    _ script: [ScriptedServer.Reply]
  ) async throws -> (result: Result<ClientOutcome, ClientError>, arrivals: [ScriptedServer.Arrival]) {
    let server = ScriptedServer(logPath: run.federation.logPath(run.victim), script)
    let result = try await run.federation.takePart(
      run.victim, link: server, idlePause: .milliseconds(1))
    #expect(run.federation.verify(run.victim))
    return (result, await server.arrivals)
  }

  private func offsets(_ arrivals: [ScriptedServer.Arrival]) -> [UInt64] {
    arrivals.compactMap { if case .fetch(let part) = $0.message.body { part.offset } else { nil } }
  }

  @Test("They are fetched one after another, each question on the record, and read as one message")
  func fetched() async throws {
    let bytes = try whole(1)
    let seen = try await play((0..<4).map { part(bytes, $0, of: 1) } + [run.end()])
    #expect(seen.result.value?.reason == "in parts")
    #expect(seen.arrivals.map(\.message.kind) == ["hello", "fetch", "fetch", "fetch", "ready"])
    #expect(offsets(seen.arrivals) == [1, 2, 3].map { UInt64($0 * Self.partBytes) })
    #expect(seen.arrivals.allSatisfy { $0.records == 1 })
    // A question for a part answers nothing: the greeting's number stays until the whole is there.
    #expect(seen.arrivals.map(\.message.answers) == [0, 0, 0, 0, 1])
  }

  @Test("A connection that is lost in the middle costs the one part that was on its way")
  func lostConnection() async throws {
    let bytes = try whole(1)
    let seen = try await play([
      part(bytes, 0, of: 1), .lost, part(bytes, 1, of: 1), part(bytes, 2, of: 1), .lost, .lost, part(bytes, 3, of: 1),
      run.end(),
    ])
    #expect(seen.result.value?.reason == "in parts")
    #expect(offsets(seen.arrivals) == [1, 1, 2, 3, 3, 3].map { UInt64($0 * Self.partBytes) })
    // Copies of one question, and no new one.
    #expect(Set(seen.arrivals.map(\.message.identifier)).count == 5)
  }

  @Test("A server that has forgotten the session and announces the same bytes again is asked for the rest of them")
  func restartedServer() async throws {
    let bytes = try whole(1)
    let greeting = ScriptedServer.Reply.body(
      .refused(.init(code: FederationWire.Refusal.helloRequiredCode, message: "who?", remedy: "greet")))
    let seen = try await play([
      part(bytes, 0, of: 1), part(bytes, 1, of: 1), greeting, part(bytes, 0, of: 1), part(bytes, 2, of: 1),
      part(bytes, 3, of: 1), run.end(),
    ])
    #expect(seen.result.value?.reason == "in parts")
    #expect(seen.arrivals.map(\.message.kind) == ["hello", "fetch", "fetch", "hello", "fetch", "fetch", "ready"])
    #expect(offsets(seen.arrivals) == [1, 2, 2, 3].map { UInt64($0 * Self.partBytes) })
  }

  @Test("Other bytes under the same number begin anew, and are not mixed with those before")
  func replaced() async throws {
    let (old, new) = (try whole(1), try whole(2, fill: 9))
    let seen = try await play(
      [part(old, 0, of: 1), part(old, 1, of: 1), part(new, 0, of: 2)] + (1..<4).map { part(new, $0, of: 2) }
        + [run.end()])
    #expect(seen.result.value?.reason == "in parts")
    #expect(offsets(seen.arrivals) == [1, 2, 1, 2, 3].map { UInt64($0 * Self.partBytes) })
  }

  @Test("A server that moves on in the middle is followed")
  func movedOn() async throws {
    let bytes = try whole(1)
    let seen = try await play([part(bytes, 0, of: 1), part(bytes, 1, of: 1), run.end(), run.end()])
    #expect(seen.result.value?.reason == "the test is over")
    #expect(seen.arrivals.map(\.message.kind) == ["hello", "fetch", "fetch", "ready"])
  }

  @Test("Parts with another hash or length, that overlap, leave gaps, or are too short end it, and nothing more leaves")
  func lies() async throws {
    let bytes = try whole(1)
    let total = UInt64(bytes.count)
    let step = Self.partBytes
    let lies: [(String, ScriptedServer.Reply)] = [
      ("another hash", part(bytes, 1, of: 1, hash: SHA256Digest(hashing: [1]))),
      ("another total", part(bytes, 1, of: 1, total: total + 1)),
      ("an overlap", part(bytes, 1, of: 1, offset: step - 1)),
      ("the first part again", part(bytes, 0, of: 1)),
      ("a gap", part(bytes, 1, of: 1, offset: step + 1)),
      ("a crumb", part(bytes, 1, of: 1, length: 1)),
      ("the last part too early", part(bytes, 3, of: 1)),
    ]
    for (what, lie) in lies {
      let seen = try await play([part(bytes, 0, of: 1), lie, run.end()])
      #expect(seen.result.error?.code == "server-out-of-order", "\(what)")
      #expect(seen.arrivals.count == 2, "\(what)")
    }
  }

  @Test("A whole that is not what its parts were announced as is not read")
  func falseWhole() async throws {
    let bytes = try whole(1)
    let hash = SHA256Digest(hashing: bytes)
    var altered = bytes
    altered[200_000] ^= 1
    let nested = try ServerMessage(
      instruction: 1, receipt: nil,
      body: .part(PartOfInstruction(total: 9, offset: 0, bytes: [1], hash: hash))
    ).encoded()
    let scripts: [(String, [ScriptedServer.Reply], String)] = [
      ("altered", (0..<4).map { part(altered, $0, of: 1, hash: hash) }, "server-out-of-order"),
      ("another number", (0..<4).map { part(bytes, $0, of: 5) }, "server-out-of-order"),
      ("no message", [part([UInt8](repeating: 0xFF, count: 1000), 0, of: 1)], "wire-malformed"),
      ("a part of a part", [part(nested, 0, of: 1)], "server-out-of-order"),
      ("a beginning in the middle", [part(bytes, 1, of: 1)], "server-out-of-order"),
    ]
    for (what, script, code) in scripts {
      let seen = try await play(script + [run.end()])
      #expect(seen.result.error?.code == code, "\(what)")
      #expect(seen.arrivals.count == script.count, "\(what)")
    }
  }

  @Test("The number of parts is bounded by their smallest length, and what is kept by what is announced")
  func bounded() throws {
    let size = InstructionAssembly.minimumPartBytes
    let total = UInt64(WireLimits.instructionBytes)
    let hash = SHA256Digest(hashing: [1])
    func part(_ offset: UInt64, _ count: Int) -> PartOfInstruction {
      PartOfInstruction(total: total, offset: offset, bytes: [UInt8](repeating: 1, count: count), hash: hash)
    }
    var assembly = try InstructionAssembly(part(0, size), of: 1)
    var count = 1
    while !assembly.isComplete {
      try assembly.append(part(assembly.next.offset, size))
      count += 1
    }
    #expect(count == 1024)
    #expect(throws: ClientError.self) { try assembly.append(part(total, 1)) }
    #expect(throws: ClientError.self) { _ = try assembly.whole() }
    // Parts of two segments do not make one.
    #expect(assembly.goingOn(with: part(size == 0 ? 0 : UInt64(size), size), of: 2) == nil)
    #expect(assembly.goingOn(with: part(0, size), of: 2)?.next.offset == total)
  }
}
