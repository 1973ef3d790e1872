import NIOCore

/// Ends a connection whose peer does not take what is sent to it.
///
/// Stands between the socket and TLS, where what waits can be counted. The measure is progress, not speed: a slow line
/// that takes ``minimumDrainedByteCount`` in every period goes on.
final class StallGuard: ChannelOutboundHandler, ChannelInboundHandler {
  typealias InboundIn = ByteBuffer
  typealias InboundOut = ByteBuffer
  typealias OutboundIn = ByteBuffer
  typealias OutboundOut = ByteBuffer

  /// What a reader must take in a period, in bytes of ciphertext.
  static let minimumDrainedByteCount = 64 * 1024

  private let timeout: TimeAmount
  private let maximumQueuedByteCount: Int
  private let end: (ConnectionClosure) -> Void
  private var writtenByteCount = 0
  private var timer: Scheduled<Void>?
  private var hasEnded = false

  /// - Parameters:
  ///   - timeout: the period.
  ///   - maximumQueuedByteCount: what may wait at most.
  ///   - end: closes the connection; called once at most.
  init(timeout: TimeAmount, maximumQueuedByteCount: Int, end: @escaping (ConnectionClosure) -> Void) {
    self.timeout = timeout
    self.maximumQueuedByteCount = maximumQueuedByteCount
    self.end = end
  }

  func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
    writtenByteCount += unwrapOutboundIn(data).readableBytes
    context.write(data, promise: promise)
    if let waiting = queuedByteCount(context), waiting > maximumQueuedByteCount { stop() }
  }

  func channelWritabilityChanged(context: ChannelHandlerContext) {
    if context.channel.isWritable {
      timer?.cancel()
      timer = nil
    } else if timer == nil, !hasEnded {
      watch(context)
    }
    context.fireChannelWritabilityChanged()
  }

  func channelInactive(context: ChannelHandlerContext) {
    hasEnded = true
    timer?.cancel()
    timer = nil
    context.fireChannelInactive()
  }

  func handlerRemoved(context: ChannelHandlerContext) {
    timer?.cancel()
    timer = nil
  }

  private func watch(_ context: ChannelHandlerContext) {
    let drained = drainedByteCount(context)
    timer = context.eventLoop.assumeIsolated().scheduleTask(in: timeout) {
      self.timer = nil
      guard !context.channel.isWritable, !self.hasEnded else { return }
      guard self.drainedByteCount(context) - drained >= StallGuard.minimumDrainedByteCount else { return self.stop() }
      self.watch(context)
    }
  }

  private func stop() {
    guard !hasEnded else { return }
    hasEnded = true
    timer?.cancel()
    timer = nil
    end(.slowReader)
  }

  private func drainedByteCount(_ context: ChannelHandlerContext) -> Int {
    writtenByteCount - (queuedByteCount(context) ?? 0)
  }

  private func queuedByteCount(_ context: ChannelHandlerContext) -> Int? {
    try? context.channel.syncOptions?.getOption(.bufferedWritableBytes)
  }
}
