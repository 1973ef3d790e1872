import Cryptography
import Federation
import Foundation
import Synchronization
import Testing

@testable import FederationServer

@Suite("Runs of a standing server, from outside", .timeLimit(.minutes(1)))
struct StandingServerTests {
  private let root: TemporaryDirectory
  private let server: StandingServer
  private let archive: RunArchive

  init() throws {
    root = try TemporaryDirectory(isInMemory: true)
    let directory = try ServerDirectory.create(at: root.path + "/hub", name: OrganizationName("hub.example"))
    server = try StandingServer(
      directory: directory.path, settings: .init(server: .init(), render: { _ in ("{}", nil) }))
    archive = RunArchive(path: directory.runsPath)
  }

  private func makeRun(_ state: RunReport.State) throws -> RunIdentifier {
    let run = RunIdentifier.generate(at: Date())
    try FileManager.default.createDirectory(
      atPath: "\(archive.path)/\(run)", withIntermediateDirectories: true)
    try archive.store(of: run).save(RunReport(run: run, state: state))
    return run
  }

  private func refusal(_ run: RunIdentifier?) -> String? {
    do throws(ServerError) { try server.cancel(run, reason: "") } catch { return error.code }
    return nil
  }

  @Test("What waits can be cancelled, and what has ended, is not there or cannot be read is named")
  func cancelling() throws {
    for state in RunReport.State.allCases {
      let run = try makeRun(state)
      let waits = state == .queued || state == .interrupted
      #expect(refusal(run) == (waits ? nil : "run-ended"))
      #expect(try archive.report(of: run)?.state == (waits ? .cancelled : state))
    }
    #expect(refusal(nil) == "no-run")
    let absent = RunIdentifier.generate(at: Date())
    #expect(try archive.report(of: absent) == nil)
    #expect(refusal(absent) == "run-unknown")
    let damaged = try makeRun(.queued)
    let path = "\(archive.path)/\(damaged)/report.json"
    try AtomicFile.replace(path, bytes: Array("{".utf8))
    let fault = FederationError.file(.malformedReport(path: path))
    #expect(throws: ServerError.self) { try archive.report(of: damaged) }
    #expect(refusal(damaged) == fault.code)
    #expect(FileManager.default.contents(atPath: path) == Data("{".utf8))
  }

  @Test("Of several who cancel one run at once, one has cancelled it, and the others find it cancelled")
  func racing() throws {
    for _ in 0..<50 {
      let run = try makeRun(.queued)
      let outcomes = Mutex<[String?]>([])
      DispatchQueue.concurrentPerform(iterations: 6) { _ in
        let code = refusal(run)
        outcomes.withLock { $0.append(code) }
      }
      let codes = outcomes.withLock { $0 }
      #expect(codes.count { $0 == nil } == 1)
      #expect(codes.count { $0 == "run-ended" } == 5)
    }
  }

  @Test("Every file that a reading of the directory depends on is watched")
  func watchedFiles() throws {
    let directory = server.directory
    let files = [
      directory.manifestPath, directory.inForceManifestPath, directory.tlsCertificatePath, directory.tlsKeyPath,
      directory.tlsKeyPath + ".uri", directory.certificateAuthorityPath, directory.pinsPath(of: directory.name),
      "\(directory.revokedPath)/alder.example.json",
    ]
    for folder in [directory.pinsPath, directory.revokedPath] {
      try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    }
    for file in files {
      let before = FileStamps(of: directory)
      #expect(before == FileStamps(of: directory))
      try AtomicFile.replace(file, bytes: [1])
      #expect(before != FileStamps(of: directory), "\(file)")
    }
  }

  @Test("The events of a run are for those who watch that run, from its beginning to its end")
  func feed() async throws {
    let feed = EventFeed()
    let (first, second) = (RunIdentifier.generate(at: Date()), RunIdentifier.generate(at: Date() + 1))
    let name = try OrganizationName("alder.example")
    feed.append(.revoked(name))
    #expect(feed.watch(first) == nil)
    feed.begin(first)
    feed.append(.connected(name))
    #expect(feed.watch(second) == nil)
    let events = try #require(feed.watch(first))
    feed.append(.disconnected(name))
    feed.end()
    var seen: [String] = []
    for await event in events { seen.append("\(event)") }
    #expect(seen == ["\(RunEvent.connected(name))", "\(RunEvent.disconnected(name))"])
    // Whoever comes too late waits for nothing.
    #expect(feed.watch(first) == nil)
    feed.append(.revoked(name))
    feed.begin(second)
    #expect(feed.watch(first) == nil)
    let next = try #require(feed.watch(second))
    feed.end()
    for await event in next { Issue.record("an event of another run: \(event)") }
  }
}
