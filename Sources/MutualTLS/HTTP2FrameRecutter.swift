import NIOCore

/// Passes HTTP/2 bytes on so that every buffer ends where a frame ends.
///
/// The HTTP/2 decoder keeps what follows the last whole frame of a buffer and copies all of it whenever more arrives;
/// with large windows that dominates everything else. Here at most one frame is ever copied. The bytes themselves and
/// their order are not changed: this is not a parser, and whatever looks wrong is passed on for the decoder to judge.
final class HTTP2FrameRecutter: ChannelInboundHandler {
  typealias InboundIn = ByteBuffer
  typealias InboundOut = ByteBuffer

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
  ///   - isServer: whether the bytes begin with the client's preface.
  ///   - maximumPayloadByteCount: the SETTINGS_MAX_FRAME_SIZE that this side announces.
  init(isServer: Bool, maximumPayloadByteCount: Int) {
    prefaceRemaining = isServer ? HTTP2FrameRecutter.prefaceByteCount : 0
    self.maximumPayloadByteCount = maximumPayloadByteCount
  }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    var buffer = unwrapInboundIn(data)
    completePartial(from: &buffer, context: context)
    guard buffer.readableBytes > 0 else { return }
    let whole = isPassingThrough ? 0 : wholeFrames(in: buffer)
    // Finding the frames may have ended the cutting.
    guard !isPassingThrough else {
      context.fireChannelRead(wrapInboundOut(buffer))
      return
    }
    if whole > 0, let frames = buffer.readSlice(length: whole) { context.fireChannelRead(wrapInboundOut(frames)) }
    if buffer.readableBytes > 0 { startPartial(with: buffer, allocator: context.channel.allocator) }
  }

  func channelInactive(context: ChannelHandlerContext) {
    // What is left of a frame goes to the decoder, whose place it is to complain.
    if let partial, partial.readableBytes > 0 { context.fireChannelRead(wrapInboundOut(partial)) }
    partial = nil
    isPassingThrough = true
    context.fireChannelInactive()
  }

  /// Completes the held frame and sends it on; if `buffer` does not suffice, it is used up.
  private func completePartial(from buffer: inout ByteBuffer, context: ChannelHandlerContext) {
    guard var held = partial.take() else { return }
    held.append(atMost: max(0, HTTP2FrameRecutter.headerByteCount - held.readableBytes), from: &buffer)
    let length = frameByteCount(in: held, at: held.readerIndex)
    if let length { held.append(atMost: length - held.readableBytes, from: &buffer) }
    if isPassingThrough || held.readableBytes == length {
      context.fireChannelRead(wrapInboundOut(held))
    } else {
      partial = held
    }
  }

  /// Number of bytes at the start of `buffer` that make whole frames.
  private func wholeFrames(in buffer: ByteBuffer) -> Int {
    let preface = min(prefaceRemaining, buffer.readableBytes)
    prefaceRemaining -= preface
    var end = buffer.readerIndex + preface
    while let length = frameByteCount(in: buffer, at: end), length <= buffer.writerIndex - end { end += length }
    return end - buffer.readerIndex
  }

  /// Header and payload length of the frame at `index`; `nil` when its header is not complete, or when it is larger than
  /// allowed, which ends the cutting.
  private func frameByteCount(in buffer: ByteBuffer, at index: Int) -> Int? {
    guard buffer.writerIndex - index >= HTTP2FrameRecutter.headerByteCount,
      let high = buffer.getInteger(at: index, as: UInt8.self),
      let low = buffer.getInteger(at: index + 1, as: UInt16.self)
    else { return nil }
    let payload = Int(high) << 16 | Int(low)
    guard payload <= maximumPayloadByteCount else {
      isPassingThrough = true
      return nil
    }
    return HTTP2FrameRecutter.headerByteCount + payload
  }

  private func startPartial(with rest: ByteBuffer, allocator: ByteBufferAllocator) {
    let length = frameByteCount(in: rest, at: rest.readerIndex) ?? HTTP2FrameRecutter.headerByteCount
    var held = allocator.buffer(capacity: length)
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
