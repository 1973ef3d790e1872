import Cryptography
import Foundation
import NIOCore
import NIOPosix
import Testing
import TransparencyLog

@testable import LogService

/// Sends the same bytes to whoever connects and says something, and then closes, or not.
private struct FalseWitness {
  let channel: any Channel
  let client: WitnessClient

  init(_ reply: [UInt8], closes: Bool = true, timeout: Duration = .seconds(30)) async throws {
    final class Handler: ChannelInboundHandler {
      typealias InboundIn = ByteBuffer
      typealias OutboundOut = ByteBuffer
      let reply: [UInt8]
      let closes: Bool
      var hasReplied = false

      init(_ reply: [UInt8], closes: Bool) {
        self.reply = reply
        self.closes = closes
      }

      func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        if hasReplied { return }
        hasReplied = true
        let written = context.eventLoop.makePromise(of: Void.self)
        if closes { written.futureResult.assumeIsolated().whenComplete { _ in context.close(promise: nil) } }
        context.writeAndFlush(wrapOutboundOut(context.channel.allocator.buffer(bytes: reply)), promise: written)
      }
    }
    channel = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
      .childChannelInitializer { channel in
        channel.eventLoop.makeCompletedFuture {
          try channel.pipeline.syncOperations.addHandler(Handler(reply, closes: closes))
        }
      }
      .bind(host: "127.0.0.1", port: 0).get()
    client = WitnessClient(
      url: try WitnessURL("http://127.0.0.1:\(channel.localAddress?.port ?? 0)/prefix"),
      key: NoteVerifierKey(
        organization: try OrganizationName("w.example"), key: try signingKey(WitnessKeyRole.self, seed: 9).verifyingKey),
      timeout: timeout)
  }

  init(_ status: Int, _ type: String, _ body: String) async throws {
    let head = "HTTP/1.1 \(status) X\r\nContent-Type: \(type)\r\nContent-Length: \(body.utf8.count)\r\n\r\n"
    try await self.init(Array((head + body).utf8))
  }
}

@Suite struct WitnessClientTests {
  private let log: TestLog
  private let size = WitnessResponse.sizeContentType

  init() throws { log = try TestLog(8) }

  private func expect(_ error: WitnessClientError, from witness: FalseWitness, known: UInt64 = 0) async throws {
    await #expect(throws: error) { try await log.submit(8, to: witness.client, knownSize: known) }
    try await witness.channel.close().get()
  }

  @Test func falseConflictsAreTyped() async throws {
    try await expect(.rolledBack(witness: "w.example", size: 9), from: FalseWitness(409, size, "9\n"))
    try await expect(
      .rolledBack(witness: "w.example", size: .max), from: FalseWitness(409, size, "\(UInt64.max)\n"))
    // The same answer to the second request, made from there, says that it is another history.
    try await expect(.otherHistory(witness: "w.example", size: 8), from: FalseWitness(409, size, "8\n"))
    try await expect(.conflict(witness: "w.example", size: 3), from: FalseWitness(409, size, "3\n"))
    try await expect(.conflict(witness: "w.example", size: 3), from: FalseWitness(409, size, "3\n"), known: 3)
    try await expect(
      .malformedMessage(witness: "w.example", .answer(.size)), from: FalseWitness(409, size, "x\n"))
    try await expect(
      .malformedMessage(witness: "w.example", .answer(.contentType)), from: FalseWitness(409, "text/plain", "3\n"))
  }

  @Test func falseCosignaturesAreNotBelieved() async throws {
    let name = try OrganizationName("w.example")
    let other = try Cosignature(
      of: log.checkpoint(7).checkpoint, name: name, key: signingKey(WitnessKeyRole.self, seed: 9), time: 5)
    try await expect(
      .notCosigned(witness: "w.example"), from: FalseWitness(200, "text/plain", other.noteSignature.line))
    let good = try Cosignature(
      of: log.checkpoint(8).checkpoint, name: name, key: signingKey(WitnessKeyRole.self, seed: 9), time: 5)
    var bytes = good.noteSignature.bytes
    bytes[7] ^= 1
    let altered = NoteSignature(name: good.name, keyID: good.keyID, bytes: bytes)
    try await expect(.notCosigned(witness: "w.example"), from: FalseWitness(200, "text/plain", altered.line))
    try await expect(
      .malformedMessage(witness: "w.example", .answer(.noSignature)), from: FalseWitness(200, "text/plain", ""))
    // The true one is found among others' lines.
    let all = try await FalseWitness(200, "text/plain", altered.line + good.noteSignature.line)
    #expect(try await log.submit(8, to: all.client) == good)
    try await all.channel.close().get()
  }

  @Test func whatIsNoWitnessIsSaid() async throws {
    try await expect(
      .malformedMessage(witness: "w.example", .unexpectedStatus(500)), from: FalseWitness(500, "text/plain", ""))
    try await expect(
      .malformedMessage(witness: "w.example", .unexpectedStatus(302)), from: FalseWitness(302, "text/plain", ""))
    try await expect(.refused(witness: "w.example", .notSigned), from: FalseWitness(403, "text/plain", "no"))
    try await expect(.invalidAnswer(witness: "w.example"), from: FalseWitness(Array("220 mail ready\r\n".utf8)))
    let long = String(repeating: "x", count: WitnessResponse.maximumBytes + 1)
    try await expect(.invalidAnswer(witness: "w.example"), from: FalseWitness(200, "text/plain", long))
    let head = "HTTP/1.1 200 X\r\n" + String(repeating: "A: b\r\n", count: 3000) + "\r\n"
    try await expect(.invalidAnswer(witness: "w.example"), from: FalseWitness(Array(head.utf8), closes: false))
  }

  @Test func silenceEnds() async throws {
    for reply in ["HTTP/1.1 200", "HTTP/1.1 200 X\r\nContent-Length: 100\r\n\r\nabc"] {
      try await expect(
        .timedOut(witness: "w.example"),
        from: FalseWitness(Array(reply.utf8), closes: false, timeout: .milliseconds(300)))
    }
  }

  @Test func brokenConnectionsAreSaid() async throws {
    let witness = try await FalseWitness(Array("HTTP/1.1 200 X\r\nContent-Length: 100\r\n\r\nabc".utf8))
    await #expect(throws: WitnessClientError.self) { try await log.submit(8, to: witness.client) }
    try await witness.channel.close().get()
    // Nobody listens there any more.
    let error = await #expect(throws: WitnessClientError.self) { try await log.submit(8, to: witness.client) }
    guard case .unreachable(witness: "w.example", _) = error else {
      Issue.record("\(String(describing: error))")
      return
    }
  }

  @Test func urlsAreStrict() throws {
    let url = try WitnessURL("http://witness.example:8080/a/b/")
    #expect(url.host == "witness.example" && url.port == 8080 && url.prefix == "/a/b")
    #expect(url.description == "http://witness.example:8080/a/b")
    #expect(try WitnessURL("http://witness.example").port == 80)
    #expect(try WitnessURL("http://witness.example/").prefix == "")
    let six = try WitnessURL("http://[::1]:99")
    #expect(six.host == "::1" && six.port == 99 && six.description == "http://[::1]:99")
    #expect(try WitnessURL("http://[::1]").port == 80)
    for text in [
      "", "witness.example", "https://witness.example", "http://", "http:///a", "http://a:0", "http://a:65536",
      "http://a:+1", "http://a:01", "http://a:", "http://a b", "http://a/b?c", "http://a/b#c", "http://a/%2e",
      "http://user@a", "http://a\r\nX: y", "http://a/\r\n", "http://::1", "HTTP://a",
      "http://" + String(repeating: "a", count: 600),
    ] {
      #expect(throws: WitnessClientError.malformedURL, "\(text)") { try WitnessURL(text) }
    }
  }
}
