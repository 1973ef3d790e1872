import AuditLog
import Cryptography
import Foundation
import Testing
import TransparencyLog

@testable import LogService

/// A log of 300 records on disk, served.
private struct ServedLog {
  let folder: TemporaryDirectory
  let server: LogServer
  var directory: String { "\(folder.path)/log" }
  var port: Int { server.port }

  init(limits: HTTPLimits = HTTPLimits()) async throws {
    folder = try TemporaryDirectory()
    let writer = try AuditLogWriter(
      directory: "\(folder.path)/log", organization: OrganizationName("alder.example"),
      logKey: signingKey(LogKeyRole.self, seed: 1))
    try writer.append(contentsOf: (0..<300).map { _ in AuditRecord.Draft(.connectionClosed) })
    try writer.close()
    server = try await LogServer.start(LogSite(logDirectory: "\(folder.path)/log"), port: 0, limits: limits)
  }

  /// Paths of all files in the log's directory, relative to it.
  func files() throws -> [String] {
    try FileManager.default.subpathsOfDirectory(atPath: directory).filter { path in
      var isDirectory: ObjCBool = false
      return FileManager.default.fileExists(atPath: "\(directory)/\(path)", isDirectory: &isDirectory)
        && !isDirectory.boolValue
    }
  }

  func bytes(_ path: String) throws -> [UInt8] {
    Array(try #require(FileManager.default.contents(atPath: "\(directory)/\(path)")))
  }
}

@Suite struct LogServerTests {
  @Test func everyPublicFileIsServedAsItIs() async throws {
    let log = try await ServedLog()
    let files = try log.files()
    let isPublic: (String) -> Bool = { $0 == "checkpoint" || $0.hasPrefix("tile/") }
    // Two full tiles' worth: hashes and entries, full and partial, two levels, and the checkpoint.
    #expect(files.filter(isPublic).count >= 6)
    #expect(files.contains("journal"))
    for path in files {
      let answer = try #require(try await RawAnswer.get("/\(path)", port: log.port))
      guard isPublic(path) else {
        #expect(answer.status == 404, "\(path)")
        continue
      }
      #expect(answer.status == 200, "\(path)")
      #expect(try answer.body == log.bytes(path), "\(path)")
      let isCheckpoint = path == "checkpoint"
      #expect(
        answer.headers["content-type"] == (isCheckpoint ? "text/plain; charset=utf-8" : "application/octet-stream"))
      #expect(
        answer.headers["cache-control"] == (isCheckpoint ? "no-store" : "public, max-age=31536000, immutable"))
      #expect(answer.headers["x-content-type-options"] == "nosniff")

      let head = try #require(try await RawAnswer.get("/\(path)", port: log.port, method: "HEAD"))
      #expect(head.status == 200 && head.body.isEmpty, "\(path)")
      #expect(head.headers["content-length"] == String(try log.bytes(path).count), "\(path)")
    }
    await log.server.stop()
  }

  /// A client of the format needs nothing but what is served.
  @Test func aReaderCanVerifyTheLog() async throws {
    let log = try await ServedLog()
    let copy = try TemporaryDirectory()
    let directory = TileDirectory(path: copy.path)
    let bytes = try #require(try await RawAnswer.get("/checkpoint", port: log.port)).body
    let checkpoint = try SignedCheckpoint(parsing: bytes)
    for address in TileAddress.layout(size: checkpoint.checkpoint.size) {
      let answer = try #require(try await RawAnswer.get("/\(address.path)", port: log.port))
      #expect(answer.status == 200, "\(address.path)")
      let file = URL(fileURLWithPath: "\(copy.path)/\(address.path)")
      try FileManager.default.createDirectory(
        at: file.deletingLastPathComponent(), withIntermediateDirectories: true)
      try Data(answer.body).write(to: file)
    }
    let reader = TileReader(directory: directory, size: checkpoint.checkpoint.size)
    #expect(try reader.recomputedRoot() == checkpoint.checkpoint.root)
    #expect(try MerkleHashing.leaf(reader.entry(at: 299)) == reader.leaf(at: 299))
    await log.server.stop()
  }

  @Test func nothingElseIsServed() async throws {
    let log = try await ServedLog()
    try Data("secret".utf8).write(to: URL(fileURLWithPath: "\(log.folder.path)/log.key"))
    try Data("secret".utf8).write(to: URL(fileURLWithPath: "\(log.directory)/tile/0/000.tmp"))
    let targets = [
      "/", "/journal", "/log.key", "/../log.key", "/%2e%2e/log.key", "/tile/../../log.key", "/tile/../journal",
      "/tile/..%2fjournal", "/%6aournal", "/%63heckpoint", "//checkpoint", "/./checkpoint", "/checkpoint/",
      "/checkpoint?x=1", "/checkpoint#x", "/checkpoint.tmp", "/checkpoint%00", "/Checkpoint", "checkpoint", "*",
      "http://127.0.0.1/checkpoint", "/tile", "/tile/", "/tile/0", "/tile/0/", "/tile/0/000/", "/tile//0/000",
      "/tile/0/000.tmp", "/tile/0/0", "/tile/00/000", "/tile/8/000", "/tile/-1/000", "/tile/0/x000/000",
      "/tile/0/x000/001", "/tile/0%2f000", "/tile/0/000.p/0", "/tile/0/000.p/256", "/tile/0/000.p/01", "/tile/0/000.p",
      "/tile/entries/../0/000", "/tile/entries/000.p/../000", "/tile/0/001", "/tile/7/000", "/tile/entries/x999/999",
      "/tile/0/\\..\\journal", "/tile/0/000\u{2044}", "/tile/0/" + String(repeating: "x000/", count: 200) + "000",
      "/add-checkpoint",
    ]
    for target in targets {
      let answer = try await RawAnswer.get(target, port: log.port)
      // Some are not even a request line.
      #expect([400, 404].contains(answer?.status), "\(target): \(String(describing: answer))")
      #expect(answer?.body.count ?? 0 < 64, "\(target)")
    }
    await log.server.stop()
  }

  /// Links and special files are not followed, at any step of a path.
  @Test func linksLeadNowhere() async throws {
    let log = try await ServedLog()
    let outside = "\(log.folder.path)/outside"
    let files = FileManager.default
    try files.createDirectory(atPath: outside, withIntermediateDirectories: true)
    try Data("secret".utf8).write(to: URL(fileURLWithPath: "\(outside)/000"))
    func replace(_ path: String, _ make: (String) throws -> Void) throws {
      try files.removeItem(atPath: "\(log.directory)/\(path)")
      try make("\(log.directory)/\(path)")
    }
    try replace("tile/0/000") { try files.createSymbolicLink(atPath: $0, withDestinationPath: "\(outside)/000") }
    try replace("tile/entries") { try files.createSymbolicLink(atPath: $0, withDestinationPath: outside) }
    try replace("checkpoint") { #expect(mkfifo($0, 0o600) == 0) }
    try replace("tile/1/000.p/1") { try files.createDirectory(atPath: $0, withIntermediateDirectories: false) }
    for target in ["/tile/0/000", "/tile/entries/000", "/checkpoint", "/tile/1/000.p/1"] {
      #expect(try await RawAnswer.get(target, port: log.port)?.status == 404, "\(target)")
    }
    // The others are as before.
    #expect(try await RawAnswer.get("/tile/0/001.p/44", port: log.port)?.status == 200)
    await log.server.stop()
  }

  @Test func otherMethodsAreRefused() async throws {
    let log = try await ServedLog()
    let before = try log.bytes("checkpoint")
    for method in ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"] {
      let answer = try #require(try await RawAnswer.get("/checkpoint", port: log.port, method: method))
      #expect(answer.status == 405, "\(method)")
      #expect(answer.headers["allow"] == "GET, HEAD")
      #expect(try await RawAnswer.get("/other", port: log.port, method: method)?.status == 404)
    }
    #expect(try log.bytes("checkpoint") == before)
    await log.server.stop()
  }

  @Test func connectionsAreKept() async throws {
    let log = try await ServedLog()
    let connection = try RawConnection(port: log.port)
    for path in ["checkpoint", "tile/0/000", "nothing", "tile/entries/000"] {
      connection.send("GET /\(path) HTTP/1.1\r\nHost: x\r\n\r\n")
      let answer = try #require(await connection.answer())
      #expect(answer.status == (path == "nothing" ? 404 : 200))
      #expect(answer.headers["connection"] == nil)
    }
    connection.send("GET /checkpoint HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    let last = try #require(await connection.receive().flatMap { RawAnswer($0) })
    #expect(last.status == 200 && last.headers["connection"] == "close")
    await log.server.stop()
  }

  /// The first of several requests at once is answered; whoever sends them sees that the others were not.
  @Test func pipelinedRequestsEndTheConnection() async throws {
    let log = try await ServedLog()
    let connection = try RawConnection(port: log.port)
    connection.send(String(repeating: "GET /checkpoint HTTP/1.1\r\nHost: x\r\n\r\n", count: 3))
    let answer = try #require(await connection.receive().flatMap { RawAnswer($0) })
    #expect(try answer.status == 200 && answer.body == log.bytes("checkpoint"))
    await log.server.stop()
  }

  @Test func stoppingClosesEverything() async throws {
    let log = try await ServedLog()
    let idle = try RawConnection(port: log.port)
    idle.send("GET /checkpoint HTTP/1.1\r\nHost: x\r\n\r\n")
    #expect(await idle.answer()?.status == 200)
    await log.server.stop()
    #expect(await idle.receive() == [])
    #expect(throws: RawConnection.Failure.self) { try RawConnection(port: log.port) }
  }

  @Test func aTakenPortIsSaid() async throws {
    let log = try await ServedLog()
    await #expect(throws: LogServiceError.self) {
      try await LogServer.start(LogSite(logDirectory: log.directory), port: log.port)
    }
    await log.server.stop()
  }

  // MARK: - Limits

  @Test func requestsAreBounded() async throws {
    let log = try await ServedLog()
    let port = log.port
    let long = String(repeating: "a", count: 9000)
    let line = try await RawAnswer.get("/\(long)", port: port)
    #expect(line?.status == 431)
    let header = try await RawAnswer.of("GET /checkpoint HTTP/1.1\r\nHost: x\r\nX: \(long)\r\n\r\n", port: port)
    #expect(header?.status == 431)
    let many = String(repeating: "A: b\r\n", count: 2000)
    #expect(try await RawAnswer.of("GET /checkpoint HTTP/1.1\r\n\(many)\r\n", port: port)?.status == 431)
    let body = "GET /checkpoint HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello"
    #expect(try await RawAnswer.of(body, port: port)?.status == 413)
    let chunk = "GET /checkpoint HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
    #expect(try await RawAnswer.of(chunk, port: port)?.status == 413)
    // What is not there is not there, whatever comes along.
    let post = "POST /other HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello"
    #expect(try await RawAnswer.of(post, port: port)?.status == 404)
    for text in [
      "nonsense\r\n\r\n", "GET\r\n\r\n", "GET /checkpoint HTTP/9.9\r\n\r\n",
      "GET /checkpoint HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
      "GET /checkpoint HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
    ] {
      let answer = try await RawAnswer.of(text, port: port)
      #expect(answer == nil || answer?.status == 400, "\(text): \(String(describing: answer))")
    }
    #expect(try await RawAnswer.get("/checkpoint", port: port)?.status == 200)
    await log.server.stop()
  }

  @Test func slowRequestsAreCutOff() async throws {
    var limits = HTTPLimits()
    limits.headTime = .milliseconds(300)
    limits.bodyTime = .milliseconds(300)
    let log = try await ServedLog(limits: limits)
    // Nothing, half a head, and a head whose body does not come: closed without an answer.
    for start in ["", "GET /check", "GET /checkpoint HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"] {
      let connection = try RawConnection(port: log.port)
      connection.send(start)
      #expect(await connection.receive() == [], "\(start)")
    }
    // Dripping does not help: it is the whole head that has its time.
    let dripping = try RawConnection(port: log.port)
    var drops = 0
    while dripping.send("x"), drops < 1000 {
      drops += 1
      try await Task.sleep(for: .milliseconds(20))
    }
    #expect(drops < 1000)
    await log.server.stop()
  }

  @Test func slowReadersAreCutOff() async throws {
    var limits = HTTPLimits()
    limits.answerTime = .milliseconds(300)
    let log = try await ServedLog(limits: limits)
    let length = LogFiles.maximumBytes
    let big = URL(fileURLWithPath: "\(log.directory)/tile/entries/000")
    try Data(repeating: 7, count: length).write(to: big)
    let connection = try RawConnection(port: log.port, receiveBuffer: 4096)
    connection.send("GET /tile/entries/000 HTTP/1.1\r\nHost: x\r\n\r\n")
    // Longer than the limit, and nothing is read meanwhile: more than the sockets' buffers hold never leaves.
    try await Task.sleep(for: .seconds(2))
    let received = try #require(await connection.receive())
    #expect(received.count < length)
    await log.server.stop()
  }

  @Test func bigFilesArriveWhole() async throws {
    let log = try await ServedLog()
    let bytes = (0..<(3 << 20)).map { UInt8(truncatingIfNeeded: $0 &* 31 >> 7) }
    try Data(bytes).write(to: URL(fileURLWithPath: "\(log.directory)/tile/entries/000"))
    #expect(try await RawAnswer.get("/tile/entries/000", port: log.port)?.body == bytes)
    // Longer than a file of a log can be.
    try Data(repeating: 7, count: LogFiles.maximumBytes + 1)
      .write(to: URL(fileURLWithPath: "\(log.directory)/tile/entries/000"))
    #expect(try await RawAnswer.get("/tile/entries/000", port: log.port)?.status == 404)
    await log.server.stop()
  }

  @Test func connectionsAreBounded() async throws {
    var limits = HTTPLimits()
    limits.connections = 2
    let log = try await ServedLog(limits: limits)
    let get = "GET /checkpoint HTTP/1.1\r\nHost: x\r\n\r\n"
    var open: [RawConnection] = []
    for _ in 0..<2 {
      let connection = try RawConnection(port: log.port)
      connection.send(get)
      #expect(await connection.answer()?.status == 200)
      open.append(connection)
    }
    let third = try RawConnection(port: log.port)
    third.send(get)
    #expect(await third.receive() == [])
    open.removeFirst()
    // The server notices in its own time that there is room again.
    var status: Int?
    for _ in 0..<500 where status == nil {
      status = try await RawAnswer.get("/checkpoint", port: log.port)?.status
      if status == nil { try await Task.sleep(for: .milliseconds(20)) }
    }
    #expect(status == 200)
    await log.server.stop()
  }
}
