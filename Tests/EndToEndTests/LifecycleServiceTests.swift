import Cryptography
import Federation
import Foundation
import MutualTLS
import ServiceControl
import Synchronization
import Testing

@testable import bauta

/// Runs each job on a thread of its own: commands wait for the service, which answers on the shared threads of this process.
private final class ThreadExecutor: TaskExecutor {
  func enqueue(_ job: consuming ExecutorJob) {
    let job = UnownedJob(job)
    Thread.detachNewThread { [self] in job.runSynchronously(on: asUnownedTaskExecutor()) }
  }

  static func run(_ body: @Sendable () throws -> Void) async throws {
    try await withTaskExecutorPreference(ThreadExecutor()) { try body() }
  }
}

@Suite("Commands beside a running service", .timeLimit(.minutes(2)))
struct LifecycleServiceTests {
  /// Answers as a service does, and remembers what it was asked.
  private final class Service: Sendable {
    private struct State {
      var asked: [String] = []
      var acknowledged: [String: Int] = [:]
    }

    private let state = Mutex(State())
    let refusesReload: Bool
    let schema: String

    init(refusesReload: Bool = false, schema: String = "bauta/server-status/1") {
      self.refusesReload = refusesReload
      self.schema = schema
    }

    func listen(in directory: String) throws -> ControlListener {
      try ControlListener(directory: directory) { [self] request, answer in try self.answer(request, answer) }
    }

    var asked: [String] { state.withLock { $0.asked } }

    func acknowledge(_ name: OrganizationName, _ sequence: Int) {
      state.withLock { $0.acknowledged[name.value] = sequence }
    }

    private func answer(_ request: ControlRequest, _ answer: ControlAnswer) throws {
      state.withLock { $0.asked.append(request.command) }
      switch request.command {
      case "status":
        let known = state.withLock { $0.acknowledged }.map { "\"\($0.key)\":\($0.value)" }.joined(separator: ",")
        // Fields that this release does not know are no obstacle.
        try answer.send(
          """
          {"schema":"\(schema)","state":"idle","run":null,"queued":[],"interrupted":[],"address":"127.0.0.1:7443",\
          "since":"","manifest":{"federation":"fraud.example","newest":2,"missing":[]},"connected":["alder.example"],\
          "waiting":[],"revoked":[],"pinSequence":1,"acknowledgedPins":{\(known)},"logEntries":1,"more":[1]}
          """)
      case "reload" where refusesReload: throw ControlError.badRequest("not now")
      case _: break
      }
    }
  }

  @Test("The server's key is changed when every organisation has taken the next one, and not before")
  func acknowledged() async throws {
    try await ThreadExecutor.run {
      let federation = try LifecycleFederation()
      defer { federation.remove() }
      let server = federation.server
      let service = Service()
      let listener = try service.listen(in: server.path)
      defer { listener.close() }
      let begun = try ServerRotation.begin(in: server)
      guard case .reloaded = begun.service else {
        Issue.record("the running server was not told")
        return
      }
      var missing = federation.organizations.map(\.name)
      while let name = missing.first {
        let error = #expect(throws: CommandError.self) { try ServerRotation.finish(in: server) }
        #expect(error?.message.contains(missing.map(\.value).joined(separator: ", ")) == true)
        // An earlier statement is not this one.
        service.acknowledge(name, begun.statement.sequence - 1)
        #expect(throws: CommandError.self) { try ServerRotation.finish(in: server) }
        service.acknowledge(name, begun.statement.sequence)
        missing.removeFirst()
      }
      let finished = try ServerRotation.finish(in: server)
      #expect(finished.statement.pins.current == begun.statement.pins.next)
      #expect(service.asked.count { $0 == "reload" } == 2)
    }
  }

  @Test("A server of another release is not taken at its word")
  func anotherRelease() async throws {
    try await ThreadExecutor.run {
      let federation = try LifecycleFederation()
      defer { federation.remove() }
      let server = federation.server
      let service = Service(schema: "bauta/server-status/2")
      let listener = try service.listen(in: server.path)
      defer { listener.close() }
      let begun = try ServerRotation.begin(in: server)
      for organization in federation.organizations { service.acknowledge(organization.name, begun.statement.sequence) }
      let error = #expect(throws: ControlError.self) { try ServerRotation.finish(in: server) }
      #expect(error?.code == ControlError.malformedAnswer.code)
      let status = try FederationStatus(.server(server))
      #expect(status.isServiceRunning && status.service == nil)
      #expect(status.members.allSatisfy { $0.hasServerPins == nil && $0.isConnected == nil })
    }
  }

  @Test("One that is revoked is not waited for")
  func revokedIsNotWaitedFor() async throws {
    try await ThreadExecutor.run {
      let federation = try LifecycleFederation()
      defer { federation.remove() }
      let service = Service()
      let listener = try service.listen(in: federation.server.path)
      defer { listener.close() }
      let begun = try ServerRotation.begin(in: federation.server)
      let away = federation.organizations[0].name
      for organization in federation.organizations.dropFirst() {
        service.acknowledge(organization.name, begun.statement.sequence)
      }
      #expect(throws: CommandError.self) { try ServerRotation.finish(in: federation.server) }
      _ = try MemberRevocation.revoke(away, reason: "gone", in: federation.server)
      _ = try ServerRotation.finish(in: federation.server)
    }
  }

  @Test("A revocation is told to the running server before the next version is made, and after")
  func revocation() async throws {
    try await ThreadExecutor.run {
      let federation = try LifecycleFederation()
      defer { federation.remove() }
      let service = Service()
      let listener = try service.listen(in: federation.server.path)
      defer { listener.close() }
      let result = try MemberRevocation.revoke(
        federation.organizations[0].name, reason: "left", in: federation.server)
      #expect(result.service.word == "reloaded")
      #expect(service.asked.count { $0 == "reload" } == 2)
    }
  }

  @Test("A service that does not take it is named, and what was done stays done")
  func refused() async throws {
    try await ThreadExecutor.run {
      let federation = try LifecycleFederation()
      defer { federation.remove() }
      let alder = try federation.organization("alder.example")
      #expect(try Rotation.begin(in: alder).service.word == "none")
      let service = Service(refusesReload: true)
      let listener = try service.listen(in: alder.path)
      defer { listener.close() }
      let ended = try #require(try Rotation.cancel(in: alder))
      #expect(ended.service.word == "not-reloaded")
      #expect(ended.service.line(alder.path)?.plain.contains("not now") == true)
      #expect(try alder.rotation() == .none && alder.sequence() == 2)
    }
  }

  @Test("The status says who is connected and who has the server's statement, and takes what it does not know lightly")
  func status() async throws {
    try await ThreadExecutor.run {
      let federation = try LifecycleFederation()
      defer { federation.remove() }
      let server = federation.server
      let begun = try ServerRotation.begin(in: server)
      #expect(try FederationStatus(.server(server)).members.allSatisfy { $0.hasServerPins == nil })
      let service = Service()
      let listener = try service.listen(in: server.path)
      defer { listener.close() }
      service.acknowledge(federation.organizations[0].name, begun.statement.sequence)
      let status = try FederationStatus(.server(server))
      #expect(status.isServiceRunning && status.service?.state == "idle" && status.service?.run == nil)
      let organizations = status.members.filter { !$0.isServer }
      #expect(organizations.map(\.hasServerPins) == [true, false, false, false])
      #expect(organizations.map(\.isConnected) == [true, false, false, false])
      #expect(status.ownRotation.word == "announced")
    }
  }
}
