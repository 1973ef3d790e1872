import AuditLog
import Cryptography
import Federation
import FederationWire
import Testing

@testable import FederationServer

@Suite("Who is there")
struct AttendanceAndHubTests {
  private func names(_ texts: String...) throws -> [OrganizationName] {
    try texts.map { try OrganizationName("\($0).example") }
  }

  @Test("A lost connection counts as gone after the grace, not before, and not while another one is open")
  func grace() throws {
    let start = ContinuousClock.now
    let all = try names("alder", "birch")
    var attendance = Attendance(organizations: all, reconnectGrace: .seconds(2))
    #expect(attendance.isGone(all[0], at: start))
    attendance.connected(all[0])
    attendance.connected(all[0])
    #expect(attendance.disconnected(all[0], at: start) == nil)
    #expect(!attendance.isGone(all[0], at: start + .seconds(5)))
    #expect(attendance.disconnected(all[0], at: start) == start + .seconds(2))
    #expect(!attendance.isGone(all[0], at: start + .seconds(1)))
    #expect(attendance.isGone(all[0], at: start + .seconds(2)))
    attendance.connected(all[0])
    #expect(!attendance.isGone(all[0], at: start + .seconds(9)))
  }

  @Test("A dealer of bad shares takes part in no other attempt at the sum, whatever it answered")
  func excluded() throws {
    let all = try names("alder", "birch", "cedar")
    var members = SumMembers(cohort: all)
    members.beginAttempt()
    members.exclude([all[1]])
    members.closeAttempt(present: all)
    #expect(all.filter(members.canTakePart) == [all[0], all[2]])
    members.beginAttempt()
    #expect(members.declined == [all[1]])
  }

  @Test("Only those who accepted in their present session are counted")
  func answers() throws {
    let all = try names("alder", "birch", "cedar")
    var attendance = Attendance(organizations: all, reconnectGrace: .zero)
    attendance.answer(all[0], .accepted(features: ["a"]))
    attendance.answer(all[1], .refused(reason: "policy"))
    #expect(all.filter(attendance.hasAccepted) == [all[0]])
    #expect(all.filter { attendance.answers[$0] == nil } == [all[2]])
    #expect(attendance.explanations == ["birch.example refused (policy)"])
    attendance.forget(all[0])
    #expect(!all.contains(where: attendance.hasAccepted))
  }

  private func message(_ body: ClientMessage.Body, answers: UInt64) -> ClientMessage {
    ClientMessage(identifier: .random(), run: nil, answers: answers, body: body)
  }

  private func hello() throws -> ClientMessage {
    message(
      .hello(
        Greeting(manifest: ManifestHash(hashing: [1]), approval: try Signature(bytes: [UInt8](repeating: 1, count: 64)))
      ),
      answers: 0)
  }

  @Test("A message without a session is told to greet; a greeting begins one")
  func sessions() async throws {
    let hub = SessionHub(hold: .milliseconds(5))
    let alder = try names("alder")[0]
    let (_, refused) = await hub.exchange(message(.ready, answers: 0), from: alder)
    #expect(refused == .refused(.helloRequired))
    let (number, body) = await hub.exchange(try hello(), from: alder)
    #expect(number == 0)
    #expect(body == .wait)
  }

  @Test("A copy of a message returns the current instruction and raises no second event")
  func copies() async throws {
    let hub = SessionHub(hold: .milliseconds(5))
    let alder = try names("alder")[0]
    _ = await hub.exchange(try hello(), from: alder)
    let end = RunEnd(run: try RunIdentifier("run"), state: .completed, reason: "", model: [])
    await hub.post(.refused(.otherManifest), to: alder)
    let ready = message(.ready, answers: 1)
    let first = await hub.exchange(ready, from: alder)
    #expect(first == (1, .wait))
    await hub.post(.end(end), to: alder)
    for _ in 0..<3 { #expect(await hub.exchange(ready, from: alder) == (2, .end(end))) }
    #expect(await !hub.hasAnsweredAll(alder))
    _ = await hub.exchange(message(.ready, answers: 2), from: alder)
    #expect(await hub.hasAnsweredAll(alder))
    await hub.close()
    var bodies: [ClientMessage.Body] = []
    for await event in hub.events {
      if case .message(_, let message) = event { bodies.append(message.body) }
    }
    #expect(bodies.count == 3)
    #expect(bodies.dropFirst() == [.ready, .ready])
  }

  @Test("One answer to each instruction is what the server asked for; everything else counts against a rate")
  func due() async throws {
    let hub = SessionHub(hold: .milliseconds(5))
    let alder = try names("alder")[0]
    #expect(await !hub.isDue(message(.ready, answers: 0), from: alder))
    _ = await hub.exchange(try hello(), from: alder)
    await hub.post(.refused(.otherManifest), to: alder)
    #expect(await hub.isDue(message(.ready, answers: 1), from: alder))
    for body in [ClientMessage.Body.poll, .pins([]), .fetch(.init(instruction: 1, offset: 0))] {
      #expect(await !hub.isDue(message(body, answers: 1), from: alder))
    }
    #expect(await !hub.isDue(message(.ready, answers: 2), from: alder))
    _ = await hub.exchange(message(.ready, answers: 1), from: alder)
    #expect(await !hub.isDue(message(.ready, answers: 1), from: alder))
  }

  @Test("Whoever has heard the end of a run is let go at once")
  func farewell() async throws {
    let hub = SessionHub(hold: .seconds(60))
    let alder = try names("alder")[0]
    async let greeted = hub.exchange(try hello(), from: alder)
    for await event in hub.events { if case .message = event { break } }
    let end = RunEnd(run: try RunIdentifier("run"), state: .completed, reason: "", model: [])
    await hub.post(.end(end), to: alder)
    #expect(try await greeted == (1, .end(end)))
    #expect(await hub.exchange(message(.ready, answers: 1), from: alder) == (1, .wait))
  }

  @Test("A question is held until there is an answer")
  func held() async throws {
    let hub = SessionHub(hold: .seconds(30))
    let alder = try names("alder")[0]
    let greeting = try hello()
    let answer = Task { await hub.exchange(greeting, from: alder) }
    for await event in hub.events {
      if case .message = event { break }
    }
    await hub.post(.refused(.otherManifest), to: alder)
    #expect(await answer.value == (1, .refused(.otherManifest)))
  }

  @Test("Closing answers everyone that waits, and everyone that still comes")
  func closing() async throws {
    let hub = SessionHub(hold: .seconds(30))
    let alder = try names("alder")[0]
    let greeting = try hello()
    let answer = Task { await hub.exchange(greeting, from: alder) }
    for await event in hub.events {
      if case .message = event { break }
    }
    await hub.close()
    #expect(await answer.value.1 == .refused(.shuttingDown))
    #expect(await hub.exchange(greeting, from: alder).1 == .refused(.shuttingDown))
  }
}
