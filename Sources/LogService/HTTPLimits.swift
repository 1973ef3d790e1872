import NIOCore

/// What one peer may take of the server.
public struct HTTPLimits: Hashable, Sendable {
  /// Open connections; one more is closed at once.
  public var connections = 128
  /// Request line and headers.
  public var headBytes = 8 << 10
  /// From the opening of a connection, or the end of an answer, to the end of the next head.
  public var headTime: Duration = .seconds(10)
  /// From the end of the head to the end of the request.
  public var bodyTime: Duration = .seconds(10)
  /// From the end of the request to the last byte of the answer that the peer's system has taken.
  public var answerTime: Duration = .seconds(60)
  /// How long answers may take to their end once the server is being stopped.
  public var stopTime: Duration = .seconds(5)

  public init() {}
}

extension TimeAmount {
  init(_ duration: Duration) {
    let (seconds, attoseconds) = duration.components
    self = .nanoseconds(seconds * 1_000_000_000 + attoseconds / 1_000_000_000)
  }
}

/// A head that is longer than allowed.
struct HeadTooLong: Error {}

/// Counts what comes before a head is complete: the decoder's own limits are a hundred times as wide.
final class HeadLimit: ChannelInboundHandler {
  typealias InboundIn = ByteBuffer
  typealias InboundOut = ByteBuffer

  private let maximum: Int
  private var received = 0
  private var isAwaitingHead = true
  private var isDiscarding = false

  init(maximum: Int) {
    self.maximum = maximum
  }

  func headReceived() { isAwaitingHead = false }

  func awaitHead() {
    isAwaitingHead = true
    received = 0
  }

  /// Lets nothing through any more: the connection is being closed.
  func discard() { isDiscarding = true }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    if isDiscarding { return }
    var bytes = unwrapInboundIn(data)
    if isAwaitingHead, received + bytes.readableBytes > maximum {
      // The decoder gets what a head may have, and says whether it ended there.
      if let head = bytes.readSlice(length: maximum - received), head.readableBytes > 0 {
        received = maximum
        context.fireChannelRead(wrapInboundOut(head))
      }
      if isDiscarding { return }
      if isAwaitingHead {
        isDiscarding = true
        return context.fireErrorCaught(HeadTooLong())
      }
    }
    received += bytes.readableBytes
    context.fireChannelRead(wrapInboundOut(bytes))
  }
}
