import NIOCore
import NIOHTTP1
import NIOPosix

/// One connection: a request, its answer, and the next request; each step has its time.
///
/// A request that comes before the last one is answered closes the connection after that answer: HTTP lets a server
/// refuse pipelining so.
final class RequestHandler: ChannelInboundHandler {
  typealias InboundIn = HTTPServerRequestPart
  typealias OutboundOut = HTTPServerResponsePart

  private enum State {
    case awaitingHead
    case receiving(HTTPRequestHead, LogSite.Route, body: [UInt8])
    case answering
    /// Nothing more is read; the peer gets a moment to take what was sent.
    case closing
  }

  private static let chunkBytes = 64 << 10
  /// A connection that is closed while there is something to read is reset, and the answer lost with it.
  private static let lingerTime = TimeAmount.milliseconds(500)

  private let site: LogSite
  private let limits: HTTPLimits
  private let headLimit: HeadLimit
  private var state = State.awaitingHead
  private var keepsAlive = true
  private var timer: Scheduled<Void>?

  init(site: LogSite, limits: HTTPLimits, headLimit: HeadLimit) {
    self.site = site
    self.limits = limits
    self.headLimit = headLimit
  }

  func channelActive(context: ChannelHandlerContext) {
    arm(limits.headTime, context)
    context.fireChannelActive()
  }

  func channelInactive(context: ChannelHandlerContext) {
    state = .closing
    timer?.cancel()
    context.fireChannelInactive()
  }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    switch unwrapInboundIn(data) {
    case .head(let head): receive(head, context)
    case .body(let part): receive(part, context)
    case .end: finishRequest(context)
    }
  }

  func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
    if event is ChannelShouldQuiesceEvent {
      keepsAlive = false
      if case .awaitingHead = state { context.close(promise: nil) }
    }
    context.fireUserInboundEventTriggered(event)
  }

  func errorCaught(context: ChannelHandlerContext, error: any Error) {
    switch state {
    case .awaitingHead, .receiving:
      if error is HeadTooLong || error as? HTTPParserError == .headerOverflow {
        refuse(Answer(.requestHeaderFieldsTooLarge), context)
      } else if error is HTTPParserError {
        refuse(Answer(.badRequest), context)
      } else {
        context.close(promise: nil)
      }
    case .answering:
      // What follows a request that is being answered is not looked at; a broken connection shows in the writing.
      keepsAlive = false
    case .closing: context.close(promise: nil)
    }
  }

  // MARK: - Receiving

  private func receive(_ head: HTTPRequestHead, _ context: ChannelHandlerContext) {
    switch state {
    case .awaitingHead:
      headLimit.headReceived()
      keepsAlive = keepsAlive && head.isKeepAlive
      let route = site.route(head.method, head.uri)
      state = .receiving(head, route, body: [])
      if let length = head.headers.first(name: "Content-Length").flatMap({ Int($0) }), length > route.maximumBodyBytes {
        return refuse(site.refusal(of: route), context)
      }
      arm(limits.bodyTime, context)
    case .answering: keepsAlive = false
    case .receiving, .closing: break
    }
  }

  private func receive(_ part: ByteBuffer, _ context: ChannelHandlerContext) {
    guard case .receiving(let head, let route, var body) = state else { return }
    guard body.count + part.readableBytes <= route.maximumBodyBytes else {
      return refuse(site.refusal(of: route), context)
    }
    // So that appending does not copy.
    state = .closing
    body.append(contentsOf: part.readableBytesView)
    state = .receiving(head, route, body: body)
  }

  private func finishRequest(_ context: ChannelHandlerContext) {
    guard case .receiving(_, let route, let body) = state else { return }
    state = .answering
    arm(limits.answerTime, context)
    let site = site
    NIOThreadPool.singleton.runIfActive(eventLoop: context.eventLoop) { site.answer(route, body: body) }
      .assumeIsolated().whenComplete { result in
        switch result {
        case .success(let answer): self.send(answer, context)
        case .failure: context.close(promise: nil)
        }
      }
  }

  /// Answers without reading the rest of the request.
  private func refuse(_ answer: Answer, _ context: ChannelHandlerContext) {
    headLimit.discard()
    keepsAlive = false
    state = .answering
    arm(limits.answerTime, context)
    send(answer, context)
  }

  // MARK: - Answering

  private func send(_ answer: Answer, _ context: ChannelHandlerContext) {
    guard case .answering = state, context.channel.isActive else { return }
    var headers = HTTPHeaders(answer.headers)
    headers.add(name: "Content-Type", value: answer.contentType)
    headers.add(name: "Content-Length", value: String(answer.length))
    headers.add(name: "X-Content-Type-Options", value: "nosniff")
    if !keepsAlive { headers.add(name: "Connection", value: "close") }
    let head = HTTPResponseHead(version: .http1_1, status: answer.status, headers: headers)
    context.write(wrapOutboundOut(.head(head)), promise: nil)
    switch answer.body {
    case .bytes(let bytes):
      if !bytes.isEmpty {
        context.write(wrapOutboundOut(.body(.byteBuffer(context.channel.allocator.buffer(bytes: bytes)))), promise: nil)
      }
      finishAnswer(context)
    case .file(let file): send(file, from: 0, context)
    }
  }

  /// One piece after the other, each when the peer has taken the one before: memory does not grow with slow readers.
  private func send(_ file: OpenFile, from offset: Int, _ context: ChannelHandlerContext) {
    guard case .answering = state, context.channel.isActive else { return }
    let count = min(Self.chunkBytes, file.length - offset)
    if count == 0 { return finishAnswer(context) }
    NIOThreadPool.singleton.runIfActive(eventLoop: context.eventLoop) { try file.read(offset: offset, count: count) }
      .assumeIsolated().whenComplete { result in
        // A file that became shorter cannot be completed: the peer sees that the length is not what was said.
        guard case .success(let bytes) = result, !bytes.isEmpty, context.channel.isActive else {
          return context.close(promise: nil)
        }
        let written = context.eventLoop.makePromise(of: Void.self)
        written.futureResult.assumeIsolated().whenComplete { result in
          guard case .success = result else { return context.close(promise: nil) }
          self.send(file, from: offset + bytes.count, context)
        }
        let buffer = context.channel.allocator.buffer(bytes: bytes)
        context.writeAndFlush(self.wrapOutboundOut(.body(.byteBuffer(buffer))), promise: written)
      }
  }

  private func finishAnswer(_ context: ChannelHandlerContext) {
    let written = context.eventLoop.makePromise(of: Void.self)
    written.futureResult.assumeIsolated().whenComplete { result in
      guard case .success = result, self.keepsAlive else { return self.linger(context) }
      guard case .answering = self.state else { return }
      self.state = .awaitingHead
      self.headLimit.awaitHead()
      self.arm(self.limits.headTime, context)
    }
    context.writeAndFlush(wrapOutboundOut(.end(nil)), promise: written)
  }

  private func linger(_ context: ChannelHandlerContext) {
    state = .closing
    headLimit.discard()
    guard context.channel.isActive else { return }
    context.close(mode: .output, promise: nil)
    timer?.cancel()
    timer = context.eventLoop.assumeIsolated().scheduleTask(in: Self.lingerTime) { context.close(promise: nil) }
  }

  private func arm(_ time: Duration, _ context: ChannelHandlerContext) {
    timer?.cancel()
    timer = context.eventLoop.assumeIsolated().scheduleTask(in: TimeAmount(time)) { context.close(promise: nil) }
  }
}
