import Cryptography
import GRPCCore
import NIOCore
import NIOHPACK
import NIOPosix

@testable import MutualTLS

/// A member of the federation that speaks HTTP/2 frame by frame, as it likes.
final class RawHTTP2Client: Sendable {
  enum Seen: Sendable, Equatable {
    /// Types of frames that came, in order.
    case frame(UInt8)
    case ended
  }

  private final class Probe: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    private let recorder: Recorder<Seen>
    private var pending: [UInt8] = []

    init(_ recorder: Recorder<Seen>) { self.recorder = recorder }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
      pending += Array(unwrapInboundIn(data).readableBytesView)
      while pending.count >= 9 {
        let length = Int(pending[0]) << 16 | Int(pending[1]) << 8 | Int(pending[2])
        guard pending.count >= 9 + length else { return }
        recorder.record(.frame(pending[3]))
        pending.removeFirst(9 + length)
      }
    }
    func channelInactive(context: ChannelHandlerContext) { recorder.record(.ended) }
    func errorCaught(context: ChannelHandlerContext, error: any Error) {}
  }

  static let headers: UInt8 = 1
  static let reset: UInt8 = 3
  static let settings: UInt8 = 4
  static let goAway: UInt8 = 7
  static let preface = Array("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".utf8)

  let channel: any Channel
  let seen = Recorder<Seen>()

  /// Connects as alpha and sends nothing.
  init(to server: TestServer) async throws {
    let context = try server.clientContext(as: server.alpha)
    let seen = seen
    channel = try await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
      .channelInitializer { channel in
        channel.eventLoop.makeCompletedFuture {
          try channel.pipeline.syncOperations.addHandler(
            OpenSSLHandler(context: context, serverName: nil, number: 0, registry: nil, established: nil))
          try channel.pipeline.syncOperations.addHandler(Probe(seen))
        }
      }
      .connect(host: "127.0.0.1", port: server.transport.port).get()
  }

  deinit { channel.close(promise: nil) }

  /// The connection may end under it: that is what is tested.
  func send(_ bytes: [UInt8]) async { try? await channel.writeAndFlush(ByteBuffer(bytes: bytes)) }

  static func frame(type: UInt8, flags: UInt8 = 0, stream: UInt32 = 0, _ payload: [UInt8] = []) -> [UInt8] {
    let length = payload.count
    return [UInt8(length >> 16), UInt8(length >> 8 & 255), UInt8(length & 255), type, flags]
      + withUnsafeBytes(of: stream.bigEndian) { Array($0) } + payload
  }

  /// A header block for a call, with one more header of so many bytes.
  static func headerBlock(path: String, extraByteCount: Int = 0) throws -> [UInt8] {
    var headers = HPACKHeaders([
      (":method", "POST"), (":scheme", "https"), (":path", path), (":authority", "localhost"),
      ("content-type", "application/grpc"), ("te", "trailers"),
    ])
    if extraByteCount > 0 { headers.add(name: "x-extra", value: String(repeating: "~", count: extraByteCount)) }
    var encoder = HPACKEncoder(allocator: ByteBufferAllocator())
    var buffer = ByteBuffer()
    try encoder.encode(headers: headers, to: &buffer)
    return Array(buffer.readableBytesView)
  }

  /// Whether the connection ends, or the server says that it will, after any other frames.
  func endsOrGoesAway() async -> Bool {
    for await seen in seen.stream {
      if seen == .ended || seen == .frame(Self.goAway) { return true }
    }
    return false
  }
}
