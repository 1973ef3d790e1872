import NIOCore

/// Passes HTTP/2 bytes on so that every buffer ends where a frame ends.
///
/// The HTTP/2 decoder keeps what follows the last whole frame of a buffer and copies all of it whenever more arrives;
/// with large windows that dominates everything else.
///
/// On a server it also ends connections whose peer begins something and does not finish it, or sends control frames
/// without measure: the boundaries that show it are known here.
final class HTTP2FrameRecutter: ChannelInboundHandler {
  typealias InboundIn = ByteBuffer
  typealias InboundOut = ByteBuffer

  /// What a server does about a peer that misuses its time.
  struct Watch {
    /// How long the preface, a frame or a header block may take from its first byte to its last.
    let timeout: TimeAmount
    /// Closes the connection; called once at most.
    let end: (ConnectionClosure) -> Void
  }

  /// SETTINGS, PING, PRIORITY and frames of unknown types that may come at once, and per second in the long run. A
  /// peer of this package sends one ping in ten seconds.
  ///
  /// The HTTP/2 handler behind ends a connection after 200 of them in 30 seconds, without a reason that anybody is told.
  /// These allow 190, so that it is always this refusal that is met.
  static let controlFrameBurst = 100
  static let controlFramesPerSecond = 3.0

  private var cutter: HTTP2FrameCutter
  private let watch: Watch?
  /// Since when the first unit that is not complete is on its way, and which it is.
  private var waiting: (unit: UInt64, since: NIODeadline)?
  private var timer: Scheduled<Void>?
  private var hasEnded = false
  private var controlFrames = TokenBucket(
    capacity: HTTP2FrameRecutter.controlFrameBurst, perSecond: HTTP2FrameRecutter.controlFramesPerSecond, at: .zero)

  init(cutter: HTTP2FrameCutter, watch: Watch? = nil) {
    self.cutter = cutter
    self.watch = watch
  }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    guard !hasEnded else { return }
    let (first, second) = cutter.cut(unwrapInboundIn(data))
    guard checkControlFrames(context) else { return }
    checkProgress(context)
    if let first { context.fireChannelRead(wrapInboundOut(first)) }
    if let second { context.fireChannelRead(wrapInboundOut(second)) }
  }

  func channelActive(context: ChannelHandlerContext) {
    checkProgress(context)
    context.fireChannelActive()
  }

  func channelInactive(context: ChannelHandlerContext) {
    stopWatching()
    // What is left of a frame goes to the decoder, whose place it is to complain.
    if let rest = cutter.takeRest() { context.fireChannelRead(wrapInboundOut(rest)) }
    context.fireChannelInactive()
  }

  func handlerRemoved(context: ChannelHandlerContext) { stopWatching() }

  private func stopWatching() {
    timer?.cancel()
    timer = nil
    waiting = nil
  }

  private func end(_ reason: ConnectionClosure) {
    stopWatching()
    hasEnded = true
    watch?.end(reason)
  }

  private func checkControlFrames(_ context: ChannelHandlerContext) -> Bool {
    let count = cutter.takeControlFrameCount()
    guard watch != nil, count > 0 else { return true }
    let now = Duration.nanoseconds(Int64(clamping: context.eventLoop.now.uptimeNanoseconds))
    for _ in 0..<count where !controlFrames.take(at: now) {
      end(.controlFlood)
      return false
    }
    return true
  }

  private func checkProgress(_ context: ChannelHandlerContext) {
    guard let watch else { return }
    guard cutter.isWaiting else {
      waiting = nil
      return
    }
    let unit = cutter.completedUnits
    if waiting?.unit != unit { waiting = (unit, context.eventLoop.now) }
    if timer == nil { scheduleCheck(context, watch, at: context.eventLoop.now + watch.timeout) }
  }

  /// One timer at a time: reads only note when they saw what.
  private func scheduleCheck(_ context: ChannelHandlerContext, _ watch: Watch, at deadline: NIODeadline) {
    timer = context.eventLoop.assumeIsolated().scheduleTask(deadline: deadline) {
      self.timer = nil
      guard let waiting = self.waiting else { return }
      let due = waiting.since + watch.timeout
      guard context.eventLoop.now < due else { return self.end(.slowWriter) }
      self.scheduleCheck(context, watch, at: due)
    }
  }
}

/// Cuts a stream of HTTP/2 bytes at the ends of frames (RFC 9113, section 4.1).
///
/// At most one frame's bytes are copied per buffer. Bytes and their order are not changed: this is not a parser, and
/// what looks wrong is passed on as it came, for the decoder to judge.
struct HTTP2FrameCutter {
  private static let headerByteCount = 9
  /// `PRI * HTTP/2.0 … SM`, which a client sends first (RFC 9113, section 3.4).
  private static let prefaceByteCount = 24

  /// Largest frame payload that is held back until complete.
  private let maximumPayloadByteCount: Int
  private var prefaceRemaining: Int
  /// A frame that is not complete, from its header on. Never more than a header and `maximumPayloadByteCount`.
  private var partial: ByteBuffer?
  private var isPassingThrough = false
  /// A header block was begun and not ended: only CONTINUATION may follow.
  private var isInHeaderBlock = false
  private var controlFrameCount = 0
  /// The preface, whole frames and whole header blocks so far.
  private(set) var completedUnits: UInt64 = 0

  /// Whether a unit was begun that is not complete; the preface counts as begun from the start.
  var isWaiting: Bool { !isPassingThrough && (prefaceRemaining > 0 || partial != nil || isInHeaderBlock) }

  /// Whole SETTINGS, PING and PRIORITY frames and frames of unknown types since the last call.
  mutating func takeControlFrameCount() -> Int {
    defer { controlFrameCount = 0 }
    return controlFrameCount
  }

  /// - Parameters:
  ///   - role: this side's; what a server receives begins with the client's preface.
  ///   - maximumPayloadByteCount: the SETTINGS_MAX_FRAME_SIZE that this side announces.
  init(role: TLSRole, maximumPayloadByteCount: Int) {
    prefaceRemaining = role == .server ? HTTP2FrameCutter.prefaceByteCount : 0
    self.maximumPayloadByteCount = maximumPayloadByteCount
  }

  /// What can be passed on now: the frame that was waiting, and the whole frames after it.
  mutating func cut(_ received: ByteBuffer) -> (completed: ByteBuffer?, frames: ByteBuffer?) {
    var buffer = received
    let completed = completePartial(from: &buffer)
    guard buffer.readableBytes > 0 else { return (completed, nil) }
    let whole = isPassingThrough ? 0 : wholeFrames(in: buffer)
    // Looking for the frames may have ended the cutting.
    guard !isPassingThrough else { return (completed, buffer) }
    let frames = whole > 0 ? buffer.readSlice(length: whole) : nil
    if buffer.readableBytes > 0 { startPartial(with: buffer) }
    return (completed, frames)
  }

  /// The incomplete frame at the end of the stream. Afterwards everything passes uncut.
  mutating func takeRest() -> ByteBuffer? {
    isPassingThrough = true
    return partial.take()
  }

  /// Completes the waiting frame; if `buffer` does not suffice, it is used up.
  private mutating func completePartial(from buffer: inout ByteBuffer) -> ByteBuffer? {
    guard var held = partial.take() else { return nil }
    held.append(atMost: max(0, HTTP2FrameCutter.headerByteCount - held.readableBytes), from: &buffer)
    let length = frameByteCount(in: held, at: held.readerIndex)
    if let length { held.append(atMost: length - held.readableBytes, from: &buffer) }
    if held.readableBytes == length { noteFrame(in: held, at: held.readerIndex) }
    if isPassingThrough || held.readableBytes == length { return held }
    partial = held
    return nil
  }

  /// Number of bytes at the start of `buffer` that make whole frames.
  private mutating func wholeFrames(in buffer: ByteBuffer) -> Int {
    let preface = min(prefaceRemaining, buffer.readableBytes)
    prefaceRemaining -= preface
    // A part of it is no progress: whoever sends it byte by byte has no more time for it.
    if preface > 0 && prefaceRemaining == 0 { completedUnits += 1 }
    var end = buffer.readerIndex + preface
    while let length = frameByteCount(in: buffer, at: end), length <= buffer.writerIndex - end {
      noteFrame(in: buffer, at: end)
      end += length
    }
    return end - buffer.readerIndex
  }

  /// Takes note of a whole frame's type and flags (RFC 9113, section 6).
  private mutating func noteFrame(in buffer: ByteBuffer, at index: Int) {
    guard let type = buffer.getInteger(at: index + 3, as: UInt8.self),
      let flags = buffer.getInteger(at: index + 4, as: UInt8.self)
    else { return }
    let isEndOfHeaders = flags & 0x4 != 0
    switch type {
    case 1, 5, 9: isInHeaderBlock = !isEndOfHeaders  // HEADERS, PUSH_PROMISE, CONTINUATION
    // DATA is bounded by the windows, and empty DATA and RST_STREAM are by the HTTP/2 handler. GOAWAY and WINDOW_UPDATE
    // are bounded by nobody: they are neither answered nor kept, and a sender of much needs many of the latter.
    case 0, 3, 7, 8: break
    default: controlFrameCount += 1
    }
    if !isInHeaderBlock { completedUnits += 1 }
  }

  /// Header and payload length of the frame at `index`; `nil` when its header is not complete, or when it is larger than
  /// allowed, which ends the cutting.
  private mutating func frameByteCount(in buffer: ByteBuffer, at index: Int) -> Int? {
    guard buffer.writerIndex - index >= HTTP2FrameCutter.headerByteCount,
      let high = buffer.getInteger(at: index, as: UInt8.self),
      let low = buffer.getInteger(at: index + 1, as: UInt16.self)
    else { return nil }
    let payload = Int(high) << 16 | Int(low)
    guard payload <= maximumPayloadByteCount else {
      isPassingThrough = true
      return nil
    }
    return HTTP2FrameCutter.headerByteCount + payload
  }

  private mutating func startPartial(with rest: ByteBuffer) {
    let length = frameByteCount(in: rest, at: rest.readerIndex) ?? HTTP2FrameCutter.headerByteCount
    var held = ByteBufferAllocator().buffer(capacity: length)
    held.writeImmutableBuffer(rest)
    partial = held
  }
}

extension ByteBuffer {
  fileprivate mutating func append(atMost count: Int, from source: inout ByteBuffer) {
    guard var slice = source.readSlice(length: min(count, source.readableBytes)) else { return }
    writeBuffer(&slice)
  }
}
