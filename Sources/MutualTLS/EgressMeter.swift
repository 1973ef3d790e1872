import NIOCore

/// Between HTTP/2 and TLS on a client: counts every byte that is written, and lets nothing through that may not leave.
///
/// What is refused is not written, nor is anything after it: the connection is closed.
final class EgressMeter: ChannelDuplexHandler {
  typealias InboundIn = ByteBuffer
  typealias InboundOut = ByteBuffer
  typealias OutboundIn = ByteBuffer
  typealias OutboundOut = ByteBuffer

  /// A report is made after so many bytes or so much time, and at the end.
  static let reportByteCount: UInt64 = 16 << 20
  static let reportInterval = TimeAmount.seconds(60)

  private var account: EgressAccount
  private let observer: any EgressObserver
  private let interval: TimeAmount
  private var peer: PeerIdentity?
  private var remoteAddress = "unknown"
  private var reportedByteCount: UInt64 = 0
  private var fault: EgressFault?
  private var hasEnded = false
  private var timer: Scheduled<Void>?

  init(
    account: EgressAccount, observer: any EgressObserver, interval: TimeAmount = EgressMeter.reportInterval
  ) {
    self.account = account
    self.observer = observer
    self.interval = interval
  }

  /// Both sides have accepted each other.
  func established(_ peer: PeerIdentity) {
    self.peer = peer
    remoteAddress = peer.remoteAddress
  }

  func handlerAdded(context: ChannelHandlerContext) {
    if context.channel.isActive { begin(context) }
  }

  func channelActive(context: ChannelHandlerContext) {
    begin(context)
    context.fireChannelActive()
  }

  private func begin(_ context: ChannelHandlerContext) {
    guard timer == nil, !hasEnded else { return }
    if peer == nil { remoteAddress = context.channel.remoteAddress.map(OpenSSLHandler.text) ?? "unknown" }
    scheduleReport(context)
  }

  private func scheduleReport(_ context: ChannelHandlerContext) {
    timer = context.eventLoop.assumeIsolated().scheduleTask(in: interval) {
      if self.account.traffic.plaintextByteCount > self.reportedByteCount { self.report(isFinal: false) }
      self.scheduleReport(context)
    }
  }

  func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
    var buffer = unwrapOutboundIn(data)
    if let fault {
      promise?.fail(fault)
      return
    }
    do throws(EgressFault) {
      try account.account(&buffer)
    } catch {
      fault = error
      account.permits.fault = error
      promise?.fail(error)
      context.fireErrorCaught(error)
      context.close(promise: nil)
      return
    }
    context.write(wrapOutboundOut(buffer), promise: promise)
    if account.traffic.plaintextByteCount - reportedByteCount >= Self.reportByteCount { report(isFinal: false) }
  }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    var buffer = unwrapInboundIn(data)
    account.receive(&buffer)
    context.fireChannelRead(wrapInboundOut(buffer))
  }

  func channelInactive(context: ChannelHandlerContext) {
    end()
    context.fireChannelInactive()
  }

  func handlerRemoved(context: ChannelHandlerContext) { end() }

  private func end() {
    guard !hasEnded else { return }
    hasEnded = true
    timer?.cancel()
    timer = nil
    if account.traffic.plaintextByteCount > 0 || peer != nil { report(isFinal: true) }
  }

  private func report(isFinal: Bool) {
    reportedByteCount = account.traffic.plaintextByteCount
    observer.traffic(
      EgressReport(
        peer: peer, remoteAddress: remoteAddress, traffic: account.traffic, isFinal: isFinal, fault: fault))
  }
}
