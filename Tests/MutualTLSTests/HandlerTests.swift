import Cryptography
import NIOCore
import NIOPosix
import Synchronization
import Testing

@testable import MutualTLS

/// The handler on real sockets, without gRPC.
@Suite(.timeLimit(.minutes(1)))
struct HandlerTests {
  enum Observation: Sendable, Equatable {
    case bytes([UInt8])
    case failed(TLSStreamError)
    case inactive
  }

  /// Reports what comes out of the TLS handler.
  private final class Probe: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    let recorder: Recorder<Observation>

    init(_ recorder: Recorder<Observation>) { self.recorder = recorder }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
      recorder.record(.bytes(Array(unwrapInboundIn(data).readableBytesView)))
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
      if let error = error as? TLSStreamError { recorder.record(.failed(error)) }
    }

    func channelInactive(context: ChannelHandlerContext) { recorder.record(.inactive) }
  }

  /// Two channels with a completed handshake between them; the server has sent one byte.
  private struct Pair {
    let client: any Channel
    let server: any Channel
    let seenByServer = Recorder<Observation>()
    let seenByClient = Recorder<Observation>()
    private let listener: any Channel

    init() async throws {
      let parts = try TestServer()
      let serverContext = try TLSContext(
        role: .server, identity: parts.identity, authorities: [parts.federation.authority.certificate],
        verifier: parts.table)
      let clientContext = try parts.clientContext(as: parts.alpha)
      let accepted = Recorder<any Channel>()
      let (seenByServer, seenByClient) = (seenByServer, seenByClient)
      listener = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
        .childChannelInitializer { channel in
          channel.eventLoop.makeCompletedFuture {
            let established = channel.eventLoop.makePromise(of: PeerIdentity.self)
            try channel.pipeline.syncOperations.addHandler(
              OpenSSLHandler(
                context: serverContext, serverName: nil, number: 1, registry: nil, established: established))
            try channel.pipeline.syncOperations.addHandler(Probe(seenByServer))
            established.futureResult.whenSuccess { _ in
              channel.writeAndFlush(ByteBuffer(bytes: [42]), promise: nil)
              accepted.record(channel)
            }
          }
        }
        .bind(host: "127.0.0.1", port: 0).get()
      client = try await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
        .channelInitializer { channel in
          channel.eventLoop.makeCompletedFuture {
            try channel.pipeline.syncOperations.addHandler(
              OpenSSLHandler(
                context: clientContext, serverName: "localhost", number: 2, registry: nil, established: nil))
            try channel.pipeline.syncOperations.addHandler(Probe(seenByClient))
          }
        }
        .connect(to: #require(listener.localAddress)).get()
      server = try #require(await accepted.next())
      #expect(await seenByClient.next() == .bytes([42]))
    }

    func end() async {
      try? await client.close()
      try? await server.close()
      try? await listener.close()
    }
  }

  @Test func closeNotifyEndsBothSidesWithoutAnError() async throws {
    let pair = try await Pair()
    try await pair.client.writeAndFlush(ByteBuffer(string: "last words"))
    try await pair.client.close()
    #expect(await pair.seenByServer.next() == .bytes(Array("last words".utf8)))
    #expect(await pair.seenByServer.next() == .inactive)
    #expect(await pair.seenByClient.next() == .inactive)
    await pair.end()
  }

  @Test func anEndWithoutCloseNotifyIsTruncation() async throws {
    let pair = try await Pair()
    // Starts at the TLS handler's own place, so that it does not see the call.
    let client = pair.client
    try await client.eventLoop.submit {
      try client.pipeline.syncOperations.context(handlerType: OpenSSLHandler.self).close(promise: nil)
    }.get()
    #expect(await pair.seenByServer.next() == .failed(.truncated))
    #expect(await pair.seenByServer.next() == .inactive)
    await pair.end()
  }

  @Test func halfCloseLetsTheOtherDirectionGoOnUntilItEnds() async throws {
    let pair = try await Pair()
    let server = pair.server
    // In one step, before the peer's answer can arrive.
    let late = try await server.eventLoop.submit {
      server.close(mode: .output, promise: nil)
      return server.writeAndFlush(ByteBuffer(bytes: [1]))
    }.get()
    await #expect(throws: ChannelError.outputClosed) { try await late.get() }
    #expect(await pair.seenByClient.next() == .inactive)
    #expect(await pair.seenByServer.next() == .inactive)
    await pair.end()
  }

  @Test func aRecordThatWasAlteredEndsTheConnection() async throws {
    let pair = try await Pair()
    let client = pair.client
    // A well-formed record header, and bytes that do not authenticate.
    let forged = ByteBuffer(bytes: [23, 3, 3, 0, 32] + [UInt8](repeating: 0, count: 32))
    try await client.eventLoop.submit {
      try client.pipeline.syncOperations.context(handlerType: OpenSSLHandler.self)
        .writeAndFlush(NIOAny(forged), promise: nil)
    }.get()
    guard case .failed(.protocolFailure)? = await pair.seenByServer.next() else {
      Issue.record("not refused")
      return
    }
    #expect(await pair.seenByClient.next() == .failed(.alert(TLSAlert(rawValue: 20))))
    await pair.end()
  }

  @Test func manySmallWritesArriveInOrder() async throws {
    let pair = try await Pair()
    let count = 20_000
    for index in 0..<count {
      let bytes = ByteBuffer(bytes: [UInt8(truncatingIfNeeded: index), UInt8(truncatingIfNeeded: index >> 8), 0, 0])
      if index == count - 1 {
        try await pair.client.writeAndFlush(bytes)
      } else {
        pair.client.write(bytes, promise: nil)
      }
    }
    var received: [UInt8] = []
    while received.count < count * 4, case .bytes(let bytes)? = await pair.seenByServer.next() { received += bytes }
    #expect(
      received == (0..<count).flatMap { [UInt8(truncatingIfNeeded: $0), UInt8(truncatingIfNeeded: $0 >> 8), 0, 0] })
    await pair.end()
  }
}

@Suite struct ServerNameTests {
  /// The first flight is in the clear; the name is in it when there is one, and nothing is when there is none.
  @Test func aClientNamesTheServerItWants() throws {
    let context = try LinkParts().context(.client, observer: IgnoringHandshakes())
    for name in ["hub.example", nil] {
      let connection = try TLSConnection(context: context, serverName: name)
      _ = connection.handshake()
      let hello = try #require(connection.takeOutput(allocator: ByteBufferAllocator()))
      #expect(String(decoding: hello.readableBytesView, as: UTF8.self).contains("hub.example") == (name != nil))
    }
  }
}

@Suite struct HTTP2FrameCutterTests {
  private static func frame(_ count: Int, fill: UInt8) -> [UInt8] {
    [UInt8(count >> 16), UInt8(count >> 8 & 255), UInt8(count & 255), 0, 0, 0, 0, 0, 1]
      + [UInt8](repeating: fill, count: count)
  }

  private static let frames = [
    frame(0, fill: 0), frame(1, fill: 1), frame(300, fill: 2), frame(16_384, fill: 3), frame(9, fill: 4),
    frame(16_384, fill: 5), frame(0, fill: 6),
  ]

  /// The ends of frames in a stream that begins with `prefix` bytes of something else.
  private static func ends(after prefix: Int) -> Set<Int> {
    var ends: Set<Int> = [prefix]
    var position = prefix
    for frame in frames {
      position += frame.count
      ends.insert(position)
    }
    return ends
  }

  @Test(arguments: [TLSRole.client, .server], [1, 2, 7, 8, 9, 10, 100, 4096, 16_393, 100_000])
  func everyBufferEndsAtAFrameEnd(_ role: TLSRole, pieceSize: Int) {
    let preface = role == .server ? Array("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".utf8) : []
    let stream = preface + HTTP2FrameCutterTests.frames.flatMap { $0 }
    let ends = HTTP2FrameCutterTests.ends(after: preface.count)
    var cutter = HTTP2FrameCutter(role: role, maximumPayloadByteCount: 16_384)
    var passed: [UInt8] = []
    for start in stride(from: 0, to: stream.count, by: pieceSize) {
      let (completed, frames) = cutter.cut(ByteBuffer(bytes: stream[start..<min(start + pieceSize, stream.count)]))
      for buffer in [completed, frames].compactMap({ $0 }) {
        #expect(buffer.readableBytes > 0)
        passed += Array(buffer.readableBytesView)
        #expect(ends.contains(passed.count) || passed.count < preface.count)
      }
    }
    #expect(passed == stream)
    #expect(cutter.takeRest() == nil)
  }

  @Test(arguments: [1, 5, 9, 50_000])
  func aFrameAboveTheLimitPassesUncut(pieceSize: Int) {
    let stream = HTTP2FrameCutterTests.frame(20, fill: 1) + HTTP2FrameCutterTests.frame(16_385, fill: 2)
    var cutter = HTTP2FrameCutter(role: .client, maximumPayloadByteCount: 16_384)
    var passed: [UInt8] = []
    for start in stride(from: 0, to: stream.count, by: pieceSize) {
      let (completed, frames) = cutter.cut(ByteBuffer(bytes: stream[start..<min(start + pieceSize, stream.count)]))
      for buffer in [completed, frames].compactMap({ $0 }) { passed += Array(buffer.readableBytesView) }
    }
    #expect(passed == stream)
  }

  @Test func theRestOfACutFrameIsNotLost() {
    var cutter = HTTP2FrameCutter(role: .client, maximumPayloadByteCount: 16_384)
    let bytes = Array(HTTP2FrameCutterTests.frame(100, fill: 1).prefix(60))
    let (completed, frames) = cutter.cut(ByteBuffer(bytes: bytes))
    #expect(completed == nil && frames == nil)
    #expect(cutter.takeRest() == ByteBuffer(bytes: bytes))
  }
}
