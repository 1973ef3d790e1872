import Cryptography
import NIOCore

/// TLS for one channel: `idle → handshaking → active → closing | lingering → closed`.
///
/// The first handler of the pipeline. Reports exactly one handshake event for every connection that became active.
/// After a refusal the alert is flushed, the output closed and input discarded for a while, because a reset would
/// take the alert away from the peer, and with it the reason.
final class OpenSSLHandler: ChannelDuplexHandler {
  typealias InboundIn = ByteBuffer
  typealias InboundOut = ByteBuffer
  typealias OutboundIn = ByteBuffer
  typealias OutboundOut = ByteBuffer

  enum State {
    case idle
    case handshaking
    /// Data flows. A client has not necessarily been accepted yet: see `isJudged`.
    case active
    /// close_notify was sent; the peer's is awaited.
    case closing
    /// The connection failed; what the peer still sends is discarded.
    case lingering
    case closed
  }

  /// Plaintext that is gathered before it is encrypted.
  static let coalescedByteCount = 64 * 1024
  /// Plaintext that may wait for the handshake.
  static let maximumEarlyByteCount = 1024 * 1024
  /// Largest buffer of plaintext passed on.
  private static let maximumReadByteCount = 256 * 1024
  /// How long the peer has to read an alert or answer close_notify.
  private static let lingerTime = TimeAmount.milliseconds(500)

  private(set) var state = State.idle
  /// The verified peer, from the moment the handshake is known to be accepted by both sides.
  private(set) var peer: PeerIdentity?

  private let context: TLSContext
  private let connection: TLSConnection
  private let number: UInt64
  private let registry: ConnectionRegistry?
  private let established: EventLoopPromise<PeerIdentity>?
  /// Whether the handshake's outcome is known and was reported. A server knows when the handshake is complete; a client
  /// only with the first byte from the server, which judges the client's certificate after the client is done.
  private var isJudged = false
  private var isOutputClosed = false
  private var pendingPlaintext = ByteBuffer()
  private var pendingPromises: [EventLoopPromise<Void>] = []
  private var closePromises: [EventLoopPromise<Void>] = []
  private var timer: Scheduled<Void>?

  /// - Parameters:
  ///   - serverName: for SNI; a client's host name.
  ///   - number: this connection's number within the process.
  ///   - registry: a server's connections.
  ///   - established: completed with the peer once both sides have accepted each other, failed with a
  ///     ``HandshakeRefusal`` otherwise.
  init(
    context: TLSContext, serverName: String?, number: UInt64, registry: ConnectionRegistry?,
    established: EventLoopPromise<PeerIdentity>?
  ) throws(CredentialError) {
    self.context = context
    self.number = number
    self.registry = registry
    connection = try TLSConnection(context: context, serverName: serverName)
    self.established = established
  }

  // MARK: Life of the channel

  func handlerAdded(context: ChannelHandlerContext) {
    if context.channel.isActive { start(context) }
  }

  func channelActive(context: ChannelHandlerContext) {
    context.fireChannelActive()
    if case .idle = state { start(context) }
  }

  func channelInactive(context: ChannelHandlerContext) {
    let previous = state
    state = .closed
    switch previous {
    case .handshaking, .active:
      if isJudged {
        context.fireErrorCaught(TLSStreamError.truncated)
      } else {
        report(.truncated, context)
        context.fireErrorCaught(HandshakeRefusal.truncated)
      }
    // Idle: what carries the connection, a proxy perhaps, gave up before there was one.
    case .idle, .closing, .lingering, .closed: break
    }
    release()
    context.fireChannelInactive()
  }

  func errorCaught(context: ChannelHandlerContext, error: any Error) {
    // A reset. Said before the handlers behind close the channel, which would look like a decision of this side.
    switch state {
    case .handshaking, .active: report(.truncated, context)
    case .idle, .closing, .lingering, .closed: break
    }
    context.fireErrorCaught(error)
  }

  func handlerRemoved(context: ChannelHandlerContext) {
    if !isJudged {
      isJudged = true
      established?.fail(HandshakeRefusal.closedLocally)
    }
    state = .closed
    release()
  }

  func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
    guard let request = event as? RefuseHandshake else { return context.fireUserInboundEventTriggered(event) }
    guard !isJudged else { return }
    report(request.refusal, context)
    finish(context)
  }

  private func start(_ context: ChannelHandlerContext) {
    state = .handshaking
    timer = context.eventLoop.assumeIsolated().scheduleTask(in: self.context.handshakeTimeout) {
      self.timedOut(context)
    }
    advanceHandshake(context)
  }

  private func timedOut(_ context: ChannelHandlerContext) {
    guard !isJudged else { return }
    report(.timedOut, context)
    finish(context)
    context.fireErrorCaught(HandshakeRefusal.timedOut)
  }

  // MARK: Input

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    switch state {
    case .idle, .lingering, .closed: return
    case .handshaking:
      guard receive(unwrapInboundIn(data), context) else { return }
      advanceHandshake(context)
    case .active:
      guard receive(unwrapInboundIn(data), context) else { return }
      deliverPlaintext(context)
    case .closing:
      guard connection.receive(unwrapInboundIn(data)) else { return finish(context) }
      discardPlaintext(context)
    }
  }

  func channelReadComplete(context: ChannelHandlerContext) {
    // Answers to key updates, which no write of ours would carry soon.
    sendOutput(context, promise: nil)
    context.flush()
    context.fireChannelReadComplete()
  }

  private func receive(_ buffer: ByteBuffer, _ context: ChannelHandlerContext) -> Bool {
    if connection.receive(buffer) { return true }
    fail(.protocolFailure(detail: "no memory for what was received"), context)
    return false
  }

  private func advanceHandshake(_ context: ChannelHandlerContext) {
    let step = connection.handshake()
    switch step {
    case .refused(let refusal): refuse(refusal, context)
    case .wantsInput:
      sendOutput(context, promise: nil)
      context.flush()
    case .complete:
      state = .active
      sendOutput(context, promise: nil)
      if self.context.role == .server { report(nil, context) }
      // Nothing that waited goes to a peer whom the server has just refused a place.
      guard case .active = state else { return }
      encryptPending(context)
      context.flush()
      if case .active = state { deliverPlaintext(context) }
    }
  }

  private func deliverPlaintext(_ context: ChannelHandlerContext) {
    while case .active = state {
      let expected = min(max(connection.pendingInputByteCount, 1024), OpenSSLHandler.maximumReadByteCount)
      var plaintext = context.channel.allocator.buffer(capacity: expected)
      let step = connection.read(into: &plaintext)
      if plaintext.readableBytes > 0 {
        if !isJudged { report(nil, context) }
        guard case .active = state else { return }
        context.fireChannelRead(wrapInboundOut(plaintext))
      }
      switch step {
      case .full: continue
      case .drained: return
      case .closedByPeer: return closedByPeer(context)
      case .failed(let error): return fail(error, context)
      }
    }
  }

  private func discardPlaintext(_ context: ChannelHandlerContext) {
    while true {
      var plaintext = context.channel.allocator.buffer(capacity: OpenSSLHandler.coalescedByteCount)
      switch connection.read(into: &plaintext) {
      case .full: continue
      case .drained: return
      case .closedByPeer, .failed: return finish(context)
      }
    }
  }

  // MARK: Output

  func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
    var buffer = unwrapOutboundIn(data)
    switch state {
    case .active where !isOutputClosed: break
    case .idle, .handshaking:
      guard pendingPlaintext.readableBytes + buffer.readableBytes <= OpenSSLHandler.maximumEarlyByteCount else {
        promise?.fail(TLSStreamError.outboundBufferFull(maximum: OpenSSLHandler.maximumEarlyByteCount))
        return
      }
    case .active:
      promise?.fail(ChannelError.outputClosed)
      return
    case .closing, .lingering, .closed:
      promise?.fail(ChannelError.ioOnClosedChannel)
      return
    }
    pendingPlaintext.writeBuffer(&buffer)
    if let promise { pendingPromises.append(promise) }
    if case .active = state, pendingPlaintext.readableBytes >= OpenSSLHandler.coalescedByteCount {
      encryptPending(context)
    }
  }

  func flush(context: ChannelHandlerContext) {
    if case .active = state { encryptPending(context) }
    context.flush()
  }

  /// Encrypts what has been gathered and writes it to the channel, without a flush.
  private func encryptPending(_ context: ChannelHandlerContext) {
    guard pendingPlaintext.readableBytes > 0 || !pendingPromises.isEmpty else { return }
    let error = connection.write(pendingPlaintext)
    pendingPlaintext.clear()
    let promises = pendingPromises
    pendingPromises.removeAll(keepingCapacity: true)
    if let error {
      for promise in promises { promise.fail(error) }
      return fail(error, context)
    }
    sendOutput(context, promise: combine(promises, context))
  }

  /// Writes waiting ciphertext to the channel, without a flush.
  private func sendOutput(_ context: ChannelHandlerContext, promise: EventLoopPromise<Void>?) {
    if let output = connection.takeOutput(allocator: context.channel.allocator) {
      context.write(wrapOutboundOut(output), promise: promise)
    } else {
      promise?.succeed()
    }
  }

  private func combine(
    _ promises: [EventLoopPromise<Void>], _ context: ChannelHandlerContext
  ) -> EventLoopPromise<Void>? {
    guard promises.count > 1 else { return promises.first }
    let combined = context.eventLoop.makePromise(of: Void.self)
    combined.futureResult.whenComplete { result in
      for promise in promises { promise.completeWith(result) }
    }
    return combined
  }

  // MARK: The end

  func close(context: ChannelHandlerContext, mode: CloseMode, promise: EventLoopPromise<Void>?) {
    switch (state, mode) {
    case (_, .input): context.close(mode: .input, promise: promise)
    case (.idle, _), (.closed, _): context.close(mode: mode, promise: promise)
    case (.handshaking, _): abandonHandshake(context, promise)
    case (.active, _) where !isJudged: abandonHandshake(context, promise)
    case (.active, .output):
      guard !isOutputClosed else {
        promise?.fail(ChannelError.outputClosed)
        return
      }
      closeOutput(context, promise)
    case (.active, .all):
      if let promise { closePromises.append(promise) }
      if !isOutputClosed { closeOutput(context, nil) }
      state = .closing
      finishLater(context)
    case (.closing, .output), (.lingering, .output): promise?.fail(ChannelError.outputClosed)
    case (.closing, .all), (.lingering, .all):
      if let promise { closePromises.append(promise) }
    }
  }

  private func abandonHandshake(_ context: ChannelHandlerContext, _ promise: EventLoopPromise<Void>?) {
    if let promise { closePromises.append(promise) }
    report(.closedLocally, context)
    finish(context)
  }

  private func closeOutput(_ context: ChannelHandlerContext, _ promise: EventLoopPromise<Void>?) {
    encryptPending(context)
    isOutputClosed = true
    connection.sendCloseNotify()
    sendOutput(context, promise: nil)
    context.flush()
    context.close(mode: .output, promise: promise)
  }

  /// The peer's close_notify: answer it, then close once the answer is written.
  private func closedByPeer(_ context: ChannelHandlerContext) {
    guard isJudged else { return refuse(.truncated, context) }
    if !isOutputClosed {
      encryptPending(context)
      isOutputClosed = true
      connection.sendCloseNotify()
    }
    guard case .active = state else { return }
    state = .closing
    let written = context.eventLoop.makePromise(of: Void.self)
    written.futureResult.assumeIsolated().whenComplete { _ in self.finish(context) }
    sendOutput(context, promise: written)
    context.flush()
  }

  private func refuse(_ refusal: HandshakeRefusal, _ context: ChannelHandlerContext) {
    report(refusal, context)
    linger(context)
    context.fireErrorCaught(refusal)
  }

  private func fail(_ error: TLSStreamError, _ context: ChannelHandlerContext) {
    if !isJudged {
      switch error {
      case .alert(let alert):
        let own = self.context.ownTiming(for: alert)
        return refuse(.refusedByPeer(role: self.context.role, alert: alert, own: own), context)
      case .truncated: return refuse(.truncated, context)
      case .protocolFailure(let detail): return refuse(.protocolFailure(detail: detail), context)
      case .outboundBufferFull: break
      }
    }
    linger(context)
    context.fireErrorCaught(error)
  }

  /// Flushes the alert, closes the output and waits for the peer to read it.
  private func linger(_ context: ChannelHandlerContext) {
    state = .lingering
    sendOutput(context, promise: nil)
    context.flush()
    if !isOutputClosed {
      isOutputClosed = true
      context.close(mode: .output, promise: nil)
    }
    finishLater(context)
  }

  private func finishLater(_ context: ChannelHandlerContext) {
    timer?.cancel()
    timer = context.eventLoop.assumeIsolated().scheduleTask(in: OpenSSLHandler.lingerTime) { self.finish(context) }
  }

  private func finish(_ context: ChannelHandlerContext) {
    if case .closed = state { return }
    state = .closed
    timer?.cancel()
    let promises = closePromises
    closePromises.removeAll()
    context.close(mode: .all, promise: combine(promises, context))
  }

  /// Lets go of whatever waits for this connection.
  private func release() {
    timer?.cancel()
    timer = nil
    pendingPlaintext.clear()
    let writes = pendingPromises
    let closes = closePromises
    pendingPromises.removeAll()
    closePromises.removeAll()
    for write in writes { write.fail(ChannelError.ioOnClosedChannel) }
    for close in closes { close.succeed() }
    if let peer {
      self.peer = nil
      registry?.disconnected(peer)
    }
  }

  /// Reports the handshake's outcome; only the first time counts.
  private func report(_ refusal: HandshakeRefusal?, _ context: ChannelHandlerContext) {
    guard !isJudged else { return }
    isJudged = true
    timer?.cancel()
    timer = nil
    let remoteAddress = context.channel.remoteAddress.map(OpenSSLHandler.text) ?? "unknown"
    var event = connection.event(remoteAddress: remoteAddress, refusal: refusal)
    if case .established(let name, let fingerprint, let exporter) = event.outcome {
      let identity = PeerIdentity(
        name: name, fingerprint: fingerprint, remoteAddress: remoteAddress, exporter: exporter, connection: number)
      if let refusal = registry?.connected(identity, channel: context.channel) {
        event.outcome = .refused(refusal)
      } else {
        peer = identity
      }
    }
    self.context.observer.handshake(event)
    if let peer {
      established?.succeed(peer)
    } else if case .refused(let refused) = event.outcome {
      established?.fail(refused)
      // A handshake that libssl completed and this side does not accept.
      if refusal == nil {
        linger(context)
        context.fireErrorCaught(refused)
      }
    }
  }

  /// Bytes that this connection holds on to.
  var heldByteCount: Int { pendingPlaintext.readableBytes + connection.heldByteCount }

  static func text(_ address: SocketAddress) -> String {
    guard let ipAddress = address.ipAddress, let port = address.port else { return "\(address)" }
    // An IPv4 caller of a socket that serves both families.
    let host = ipAddress.hasPrefix("::ffff:") && ipAddress.contains(".") ? String(ipAddress.dropFirst(7)) : ipAddress
    return host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)"
  }
}
