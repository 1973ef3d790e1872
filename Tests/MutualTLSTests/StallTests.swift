import Cryptography
import NIOCore
import NIOEmbedded
import NIOHTTP2
import Testing

@testable import MutualTLS

/// Peers that take their time: on a clock that the test moves.
@Suite struct StallTests {
  private final class Endings {
    var reasons: [ConnectionClosure] = []
  }

  private static let timeout = TimeAmount.seconds(60)

  // MARK: Readers

  private static func reader(_ endings: Endings, maximum: Int = 1 << 20) throws -> EmbeddedChannel {
    let channel = EmbeddedChannel()
    try channel.pipeline.syncOperations.addHandler(
      StallGuard(timeout: timeout, maximumQueuedByteCount: maximum) { endings.reasons.append($0) })
    channel.connect(to: try SocketAddress(ipAddress: "127.0.0.1", port: 1), promise: nil)
    return channel
  }

  private static func setWritable(_ isWritable: Bool, _ channel: EmbeddedChannel) {
    channel.isWritable = isWritable
    channel.pipeline.fireChannelWritabilityChanged()
  }

  @Test func aReaderThatTakesNothingIsSlow() throws {
    let endings = Endings()
    let channel = try Self.reader(endings)
    // Not flushed: what waits.
    channel.write(ByteBuffer(repeating: 1, count: 100_000), promise: nil)
    Self.setWritable(false, channel)
    channel.embeddedEventLoop.advanceTime(by: .seconds(59))
    #expect(endings.reasons.isEmpty)
    channel.embeddedEventLoop.advanceTime(by: .seconds(2))
    #expect(endings.reasons == [.slowReader])
    channel.embeddedEventLoop.advanceTime(by: .seconds(600))
    #expect(endings.reasons == [.slowReader])
    _ = try channel.finish()
  }

  @Test func aReaderThatTakesSomethingGoesOn() throws {
    let endings = Endings()
    let channel = try Self.reader(endings)
    for _ in 0..<5 {
      channel.write(ByteBuffer(repeating: 1, count: StallGuard.minimumDrainedByteCount), promise: nil)
      Self.setWritable(false, channel)
      channel.flush()
      channel.embeddedEventLoop.advanceTime(by: .seconds(50))
    }
    #expect(endings.reasons.isEmpty)
    Self.setWritable(true, channel)
    channel.embeddedEventLoop.advanceTime(by: .seconds(600))
    #expect(endings.reasons.isEmpty)
    _ = try channel.finish()
  }

  @Test func whatWaitsIsBounded() throws {
    let endings = Endings()
    let channel = try Self.reader(endings, maximum: 1000)
    channel.write(ByteBuffer(repeating: 1, count: 1000), promise: nil)
    #expect(endings.reasons.isEmpty)
    channel.write(ByteBuffer(repeating: 1, count: 1), promise: nil)
    channel.write(ByteBuffer(repeating: 1, count: 1), promise: nil)
    #expect(endings.reasons == [.slowReader])
    _ = try channel.finish()
  }

  // MARK: Writers

  private static let preface = Array("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".utf8)

  static func frame(type: UInt8, flags: UInt8 = 0, stream: UInt8 = 1, _ payload: [UInt8] = []) -> [UInt8] {
    let length = [UInt8(payload.count >> 16), UInt8(payload.count >> 8 & 255), UInt8(payload.count & 255)]
    return length + [type, flags, 0, 0, 0, stream] + payload
  }

  private static func writer(_ endings: Endings) throws -> EmbeddedChannel {
    let channel = EmbeddedChannel()
    let cutter = HTTP2FrameCutter(role: .server, maximumPayloadByteCount: 16_384)
    try channel.pipeline.syncOperations.addHandler(
      HTTP2FrameRecutter(
        cutter: cutter, watch: HTTP2FrameRecutter.Watch(timeout: timeout) { endings.reasons.append($0) }))
    channel.connect(to: try SocketAddress(ipAddress: "127.0.0.1", port: 1), promise: nil)
    return channel
  }

  /// What is begun at once and never finished, in pieces: the preface, a frame's header, its payload, a header block over
  /// several frames.
  private static let unfinished: [[[UInt8]]] = [
    [], preface.prefix(5).map { [$0] }, [Array(preface.prefix(19))] + preface[19..<23].map { [$0] },
    [preface + [0]] + [[0], [3], [0], [0]],
    [preface + frame(type: 0, [UInt8](repeating: 1, count: 5000)).dropLast(5)]
      + [[UInt8]](repeating: [1], count: 4),
    [preface + frame(type: 1, [1, 2, 3])] + [[UInt8]](repeating: frame(type: 9, [2]), count: 4),
  ]

  /// Time runs from the first byte of a unit (from the connection on, for the preface), and no piece of it gives more.
  @Test(arguments: unfinished)
  func aWriterThatDoesNotFinishIsSlow(_ pieces: [[UInt8]]) throws {
    let endings = Endings()
    let channel = try Self.writer(endings)
    let loop = channel.embeddedEventLoop
    let start = loop.now
    for (index, piece) in pieces.enumerated() {
      loop.advanceTime(to: start + .seconds(10 * Int64(index)))
      try channel.writeInbound(ByteBuffer(bytes: piece))
    }
    loop.advanceTime(to: start + .seconds(59))
    #expect(endings.reasons.isEmpty)
    loop.advanceTime(to: start + .seconds(60))
    #expect(endings.reasons == [.slowWriter])
    // Nothing more is passed on.
    while try channel.readInbound(as: ByteBuffer.self) != nil {}
    try channel.writeInbound(ByteBuffer(bytes: Self.frame(type: 0)))
    #expect(try channel.readInbound(as: ByteBuffer.self) == nil)
    _ = try channel.finish()
  }

  /// A preface in time is progress, in however many pieces: what follows has its own time.
  @Test func aPrefaceInPiecesIsOneUnit() throws {
    let endings = Endings()
    let channel = try Self.writer(endings)
    let loop = channel.embeddedEventLoop
    for byte in Self.preface {
      loop.advanceTime(by: .seconds(2))
      try channel.writeInbound(ByteBuffer(bytes: [byte]))
    }
    try channel.writeInbound(ByteBuffer(bytes: [0]))
    loop.advanceTime(by: .seconds(59))
    #expect(endings.reasons.isEmpty)
    loop.advanceTime(by: .seconds(1))
    #expect(endings.reasons == [.slowWriter])
    _ = try channel.finish()
  }

  @Test func aWriterThatFinishesInTimeMayBeSilentForLong() throws {
    let endings = Endings()
    let channel = try Self.writer(endings)
    let loop = channel.embeddedEventLoop
    try channel.writeInbound(ByteBuffer(bytes: Self.preface + Self.frame(type: 4)))
    loop.advanceTime(by: .hours(2))
    // Twenty frames, each in two halves 40 seconds apart: always in the middle of one when looked at.
    let frame = Self.frame(type: 0, [UInt8](repeating: 1, count: 100))
    for _ in 0..<20 {
      try channel.writeInbound(ByteBuffer(bytes: frame.prefix(50)))
      loop.advanceTime(by: .seconds(40))
      try channel.writeInbound(ByteBuffer(bytes: frame.dropFirst(50) + frame.prefix(50)))
      loop.advanceTime(by: .seconds(40))
      try channel.writeInbound(ByteBuffer(bytes: frame.dropFirst(50)))
    }
    try channel.writeInbound(ByteBuffer(bytes: Self.frame(type: 1, [1])))
    loop.advanceTime(by: .seconds(50))
    try channel.writeInbound(ByteBuffer(bytes: Self.frame(type: 9, flags: 4, [2])))
    loop.advanceTime(by: .hours(2))
    #expect(endings.reasons.isEmpty)
    _ = try channel.finish()
  }

  /// SETTINGS, PING, PRIORITY, and a type that nobody knows.
  @Test(arguments: [4, 6, 2, 99] as [UInt8])
  func controlFramesWithoutMeasureEndTheConnection(_ type: UInt8) throws {
    let endings = Endings()
    let channel = try Self.writer(endings)
    try channel.writeInbound(ByteBuffer(bytes: Self.preface))
    let frame = Self.frame(type: type, [UInt8](repeating: 0, count: 8))
    for _ in 0..<HTTP2FrameRecutter.controlFrameBurst { try channel.writeInbound(ByteBuffer(bytes: frame)) }
    #expect(endings.reasons.isEmpty)
    // Three a second are borne, for ever.
    for _ in 0..<100 {
      channel.embeddedEventLoop.advanceTime(by: .milliseconds(334))
      try channel.writeInbound(ByteBuffer(bytes: frame))
    }
    #expect(endings.reasons.isEmpty)
    try channel.writeInbound(ByteBuffer(bytes: (0..<20).flatMap { _ in frame }))
    #expect(endings.reasons == [.controlFlood])
    _ = try channel.finish()
  }

  /// The HTTP/2 handler has a limit of its own, on the real clock: what this one lets pass in half a minute comes to it in
  /// no time at all.
  @Test(arguments: [4, 6, 2] as [UInt8])
  func theHTTP2HandlerIsNotTheOneToRefuse(_ type: UInt8) throws {
    let endings = Endings()
    let channel = try Self.writer(endings)
    let loop = channel.embeddedEventLoop
    try channel.pipeline.syncOperations.addHandler(
      NIOHTTP2Handler(mode: .server, connectionConfiguration: .init()))
    try channel.writeInbound(ByteBuffer(bytes: Self.preface + Self.frame(type: 4, stream: 0)))
    let payload: [UInt8] = type == 4 ? [] : [UInt8](repeating: 0, count: type == 6 ? 8 : 5)
    let frame = Self.frame(type: type, stream: type == 2 ? 1 : 0, payload)
    for _ in 1..<HTTP2FrameRecutter.controlFrameBurst { try channel.writeInbound(ByteBuffer(bytes: frame)) }
    // As fast as is borne.
    let pause = TimeAmount.nanoseconds(Int64(1e9 / HTTP2FrameRecutter.controlFramesPerSecond) + 1)
    for _ in 0..<Int(30 * HTTP2FrameRecutter.controlFramesPerSecond) {
      loop.advanceTime(by: pause)
      // Throws what the handler reports.
      try channel.writeInbound(ByteBuffer(bytes: frame))
    }
    #expect(endings.reasons.isEmpty)
    try channel.writeInbound(ByteBuffer(bytes: frame + frame))
    #expect(endings.reasons == [.controlFlood])
    _ = try? channel.finish()
  }
}
