import NIOCore
import NIOPosix
import Synchronization

/// A small HTTP proxy on a real socket: it carries bytes between two connections, or misbehaves as told.
final class TestProxy: Sendable {
  enum Behavior: Sendable {
    case tunnel
    /// Cuts a tunnel through which nothing came for so long.
    case idleLimit(TimeAmount)
    /// Answers with this status and opens nothing.
    case status(Int)
    /// Answers with these bytes, and goes on with them until the connection ends if told to.
    case bytes([UInt8], isEndless: Bool)
    case silence
    case hangUp
  }

  let port: Int
  private let listener: any Channel
  private let seen: Seen

  /// The requests that came, up to their empty line.
  private final class Seen: Sendable {
    let requests = Mutex<[String]>([])
  }

  var requests: [String] { seen.requests.withLock { $0 } }

  init(_ behavior: Behavior) async throws {
    let seen = Seen()
    self.seen = seen
    listener = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
      .childChannelInitializer { channel in
        channel.eventLoop.makeCompletedFuture {
          try channel.pipeline.syncOperations.addHandler(
            Front(behavior) { request in seen.requests.withLock { $0.append(request) } })
        }
      }
      .bind(host: "127.0.0.1", port: 0).get()
    port = listener.localAddress?.port ?? 0
  }

  deinit { listener.close(promise: nil) }

  /// Reads the request, then becomes one half of the tunnel.
  private final class Front: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    private let behavior: Behavior
    private let report: (String) -> Void
    private var request: [UInt8] = []
    private var isAnswered = false
    private var early: [ByteBuffer] = []
    private var partner: (any Channel)?
    private var idleTimer: Scheduled<Void>?

    init(_ behavior: Behavior, report: @escaping (String) -> Void) {
      self.behavior = behavior
      self.report = report
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
      let buffer = unwrapInboundIn(data)
      touch(context)
      if let partner { return partner.writeAndFlush(buffer, promise: nil) }
      guard !isAnswered else { return early.append(buffer) }
      request += Array(buffer.readableBytesView)
      guard request.suffix(4).elementsEqual([13, 10, 13, 10]) else { return }
      isAnswered = true
      let text = String(decoding: request, as: UTF8.self)
      report(text)
      answer(text, context)
    }

    func channelInactive(context: ChannelHandlerContext) {
      idleTimer?.cancel()
      partner?.close(promise: nil)
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }

    private func answer(_ text: String, _ context: ChannelHandlerContext) {
      switch behavior {
      case .tunnel, .idleLimit: open(text, context)
      case .status(let status): send(Array("HTTP/1.1 \(status) No\r\nContent-Length: 0\r\n\r\n".utf8), context)
      case .bytes(let bytes, let isEndless):
        send(bytes, context)
        if isEndless { continueEndlessly(bytes, context) }
      case .silence: break
      case .hangUp: context.close(promise: nil)
      }
    }

    private func send(_ bytes: [UInt8], _ context: ChannelHandlerContext) {
      context.channel.writeAndFlush(ByteBuffer(bytes: bytes), promise: nil)
    }

    private func continueEndlessly(_ bytes: [UInt8], _ context: ChannelHandlerContext) {
      context.eventLoop.assumeIsolated().scheduleTask(in: .milliseconds(2)) {
        guard context.channel.isActive else { return }
        self.send(bytes, context)
        self.continueEndlessly(bytes, context)
      }
    }

    private func open(_ text: String, _ context: ChannelHandlerContext) {
      let target = text.split(separator: " ").dropFirst().first ?? ""
      let colon = target.lastIndex(of: ":") ?? target.startIndex
      let host = target[..<colon].trimmingPrefix("[").prefix { $0 != "]" }
      let channel = context.channel
      let connected = ClientBootstrap(group: context.eventLoop)
        .channelInitializer { back in
          back.eventLoop.makeCompletedFuture { try back.pipeline.syncOperations.addHandler(Back(front: channel)) }
        }
        .connect(host: String(host), port: Int(target[colon...].dropFirst()) ?? 0)
      connected.assumeIsolated().whenComplete { result in
        switch result {
        case .failure: self.send(Array("HTTP/1.1 502 Bad Gateway\r\n\r\n".utf8), context)
        case .success(let partner):
          self.partner = partner
          self.send(Array("HTTP/1.1 200 Connection established\r\nProxy-Agent: test\r\n\r\n".utf8), context)
          for buffer in self.early { partner.writeAndFlush(buffer, promise: nil) }
        }
      }
    }

    private func touch(_ context: ChannelHandlerContext) {
      guard case .idleLimit(let limit) = behavior else { return }
      idleTimer?.cancel()
      idleTimer = context.eventLoop.assumeIsolated().scheduleTask(in: limit) { context.close(promise: nil) }
    }
  }

  private final class Back: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    private let front: any Channel

    init(front: any Channel) { self.front = front }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
      front.writeAndFlush(unwrapInboundIn(data), promise: nil)
    }
    func channelInactive(context: ChannelHandlerContext) { front.close(promise: nil) }
    func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }
  }
}
