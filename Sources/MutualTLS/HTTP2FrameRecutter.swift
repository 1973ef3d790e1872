import NIOCore

/// Passes HTTP/2 bytes on so that every buffer ends where a frame ends.
///
/// The HTTP/2 decoder keeps what follows the last whole frame of a buffer and copies all of it whenever more arrives;
/// with large windows that dominates everything else.
final class HTTP2FrameRecutter: ChannelInboundHandler {
  typealias InboundIn = ByteBuffer
  typealias InboundOut = ByteBuffer

  private var cutter: HTTP2FrameCutter

  init(cutter: HTTP2FrameCutter) { self.cutter = cutter }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    let (first, second) = cutter.cut(unwrapInboundIn(data))
    if let first { context.fireChannelRead(wrapInboundOut(first)) }
    if let second { context.fireChannelRead(wrapInboundOut(second)) }
  }

  func channelInactive(context: ChannelHandlerContext) {
    // What is left of a frame goes to the decoder, whose place it is to complain.
    if let rest = cutter.takeRest() { context.fireChannelRead(wrapInboundOut(rest)) }
    context.fireChannelInactive()
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
    if isPassingThrough || held.readableBytes == length { return held }
    partial = held
    return nil
  }

  /// Number of bytes at the start of `buffer` that make whole frames.
  private mutating func wholeFrames(in buffer: ByteBuffer) -> Int {
    let preface = min(prefaceRemaining, buffer.readableBytes)
    prefaceRemaining -= preface
    var end = buffer.readerIndex + preface
    while let length = frameByteCount(in: buffer, at: end), length <= buffer.writerIndex - end { end += length }
    return end - buffer.readerIndex
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
