import COpenSSL
import Cryptography
import NIOCore

/// A proxy that opens tunnels with HTTP CONNECT (RFC 9110, section 9.3.6). TLS goes through it from end to end: it sees
/// the server's name and the amount of traffic, and can only refuse or cut.
public struct HTTPProxy: Sendable {
  public let host: String
  public let port: Int
  public let authorization: ProxyCredentials?

  /// - Throws: ``TransportError/invalidPort(_:)``.
  public init(host: String, port: Int, authorization: ProxyCredentials? = nil) throws(TransportError) {
    guard (1...65_535).contains(port) else { throw .invalidPort(port) }
    self.host = host
    self.port = port
    self.authorization = authorization
  }
}

/// User and password for a proxy, held in guarded memory (RFC 7617). A request with them is in ordinary memory from when it
/// is written until the network has it, and is overwritten then.
///
/// They cross the network to the proxy in the clear: that is what the scheme does.
public final class ProxyCredentials: Sendable {
  /// `user:password`.
  private let secret: SecretBytes

  /// - Parameter password: any bytes but control characters; at most 1,024.
  /// - Returns: `nil` when the user name holds a colon or a control character, or either is too long.
  public init?(user: String, password: borrowing SecretBytes) {
    guard user.utf8.count <= 256, password.count <= 1024,
      user.utf8.allSatisfy({ $0 >= 0x20 && $0 != 0x7F && $0 != UInt8(ascii: ":") })
    else { return nil }
    var joined = SecretBytes(count: user.utf8.count + 1 + password.count)
    let isClean = joined.withUnsafeMutableBytes { space -> Bool in
      space.copyBytes(from: Array("\(user):".utf8))
      let rest = UnsafeMutableRawBufferPointer(rebasing: space[(user.utf8.count + 1)...])
      return password.withUnsafeBytes { bytes -> Bool in
        rest.copyMemory(from: bytes)
        return bytes.allSatisfy { $0 >= 0x20 && $0 != 0x7F }
      }
    }
    guard isClean else { return nil }
    secret = joined
  }

  /// What ``writeBase64(to:)`` appends, in bytes.
  var base64ByteCount: Int { (secret.count + 2) / 3 * 4 }

  /// Appends the credentials in Base64 (RFC 4648, section 4). The buffer is the one that goes to the network; it must have
  /// room for them and for all that follows, because one that grows leaves a copy where it was.
  func writeBase64(to buffer: inout ByteBuffer) {
    let alphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8)
    secret.withUnsafeBytes { bytes in
      for start in stride(from: 0, to: bytes.count, by: 3) {
        let group = bytes[start..<min(start + 3, bytes.count)]
        let bits = group.reduce(UInt32(0)) { $0 << 8 | UInt32($1) } << (8 * (3 - UInt32(group.count)))
        for index in 0..<4 {
          let digit = alphabet[Int(bits >> (18 - 6 * UInt32(index)) & 63)]
          buffer.writeInteger(index <= group.count ? digit : UInt8(ascii: "="))
        }
      }
    }
  }
}

/// Why a proxy's answer was of no use.
public enum ProxyFault: Sendable, Hashable {
  case nameNotFound
  case unreachable(reason: String)
  case timedOut
  /// It closed the connection before it had answered.
  case closed
  /// Its answer is not HTTP/1.
  case notHTTP
  /// Its answer has no end within this many bytes.
  case answerTooLong(maximum: Int)

  var explanation: String {
    switch self {
    case .nameNotFound: "its name was not found"
    case .unreachable(let reason): "it cannot be reached: \(reason)"
    case .timedOut: "it did not answer in the time allowed"
    case .closed: "it closed the connection before it had answered"
    case .notHTTP: "what it answered is not HTTP"
    case .answerTooLong(let maximum): "its answer has no end within \(maximum) bytes"
    }
  }
}

/// Asks a proxy for a tunnel before the handlers behind learn that there is a connection.
///
/// The first handler of the pipeline; leaves it once the tunnel stands. Reads no more of an answer than
/// ``ProxyAnswer/maximumByteCount``.
final class ProxyTunnelHandler: ChannelInboundHandler, RemovableChannelHandler {
  typealias InboundIn = ByteBuffer
  typealias InboundOut = ByteBuffer
  typealias OutboundOut = ByteBuffer

  private let proxy: HTTPProxy
  /// Host and port of the server, as they stand in the request.
  private let target: String
  private let timeout: TimeAmount
  private let fail: (TransportError) -> Void
  private var answer = ProxyAnswer()
  private var timer: Scheduled<Void>?
  private var isDone = false

  /// - Parameter fail: told why there is no tunnel; once at most. The channel is closed afterwards.
  init(
    proxy: HTTPProxy, host: String, port: Int, timeout: TimeAmount, fail: @escaping (TransportError) -> Void
  ) {
    self.proxy = proxy
    target = host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)"
    self.timeout = timeout
    self.fail = fail
  }

  func handlerAdded(context: ChannelHandlerContext) {
    if context.channel.isActive { ask(context) }
  }

  /// Not passed on: there is no connection to the server yet.
  func channelActive(context: ChannelHandlerContext) { ask(context) }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    guard !isDone else { return }
    switch answer.receive(unwrapInboundIn(data)) {
    case .incomplete: return
    case .faulty(let fault): refuse(.proxyUnusable(host: proxy.host, port: proxy.port, fault: fault), context)
    case .status(let status) where (200..<300).contains(status): open(context)
    case .status(let status): refuse(.proxy(host: proxy.host, port: proxy.port, status: status), context)
    }
  }

  func channelInactive(context: ChannelHandlerContext) {
    if !isDone { refuse(.proxyUnusable(host: proxy.host, port: proxy.port, fault: .closed), context) }
    context.fireChannelInactive()
  }

  func handlerRemoved(context: ChannelHandlerContext) {
    timer?.cancel()
    timer = nil
  }

  private func ask(_ context: ChannelHandlerContext) {
    guard timer == nil else { return }
    timer = context.eventLoop.assumeIsolated().scheduleTask(in: timeout) {
      let fault = TransportError.proxyUnusable(host: self.proxy.host, port: self.proxy.port, fault: .timedOut)
      self.refuse(fault, context)
    }
    let request = request(context.channel.allocator)
    let written = context.eventLoop.makePromise(of: Void.self)
    if proxy.authorization != nil { written.futureResult.whenComplete { _ in ProxyTunnelHandler.wipe(request) } }
    context.writeAndFlush(wrapOutboundOut(request), promise: written)
  }

  private func request(_ allocator: ByteBufferAllocator) -> ByteBuffer {
    let start = "CONNECT \(target) HTTP/1.1\r\nHost: \(target)\r\n"
    let header = "Proxy-Authorization: Basic "
    let end = "\r\n"
    var count = start.utf8.count + end.utf8.count
    if let authorization = proxy.authorization {
      count += header.utf8.count + authorization.base64ByteCount + end.utf8.count
    }
    var request = allocator.buffer(capacity: count)
    request.writeString(start)
    if let authorization = proxy.authorization {
      request.writeString(header)
      authorization.writeBase64(to: &request)
      request.writeString(end)
    }
    request.writeString(end)
    return request
  }

  /// Overwrites memory that the network is done with, whoever else refers to it: changing a buffer that is shared would
  /// change a copy.
  private static func wipe(_ buffer: ByteBuffer) {
    buffer.withVeryUnsafeBytes { bytes in
      guard let address = bytes.baseAddress else { return }
      OPENSSL_cleanse(UnsafeMutableRawPointer(mutating: address), bytes.count)
    }
  }

  private func open(_ context: ChannelHandlerContext) {
    isDone = true
    timer?.cancel()
    context.fireChannelActive()
    // A server may speak first; what follows the proxy's answer is its.
    if let rest = answer.takeRest() { context.fireChannelRead(wrapInboundOut(rest)) }
    context.pipeline.syncOperations.removeHandler(context: context, promise: nil)
  }

  private func refuse(_ error: TransportError, _ context: ChannelHandlerContext) {
    guard !isDone else { return }
    isDone = true
    timer?.cancel()
    fail(error)
    context.close(promise: nil)
  }
}

/// The answer to a CONNECT request: a status line and headers of which nothing is needed (RFC 9112, section 4).
struct ProxyAnswer {
  enum Step: Hashable {
    case incomplete
    case status(Int)
    case faulty(ProxyFault)
  }

  /// Longest status line with headers that is read, in bytes.
  static let maximumByteCount = 8192

  private var bytes: [UInt8] = []
  private var rest: ByteBuffer?

  mutating func receive(_ received: ByteBuffer) -> Step {
    var buffer = received
    while let byte = buffer.readInteger(as: UInt8.self) {
      guard bytes.count < ProxyAnswer.maximumByteCount else {
        return .faulty(.answerTooLong(maximum: ProxyAnswer.maximumByteCount))
      }
      bytes.append(byte)
      guard ProxyAnswer.canBegin(bytes) else { return .faulty(.notHTTP) }
      guard byte == 0x0A, bytes.suffix(4).elementsEqual([0x0D, 0x0A, 0x0D, 0x0A]) else { continue }
      if buffer.readableBytes > 0 { rest = buffer }
      return ProxyAnswer.status(of: bytes).map { .status($0) } ?? .faulty(.notHTTP)
    }
    return .incomplete
  }

  mutating func takeRest() -> ByteBuffer? { rest.take() }

  private static let version = Array("HTTP/1.".utf8)

  /// Garbage is known by its first bytes, without waiting for the end of it.
  private static func canBegin(_ bytes: [UInt8]) -> Bool {
    bytes.count > version.count || version.starts(with: bytes)
  }

  /// `HTTP/1.x NNN` and either the line's end or a space and a reason.
  private static func status(of bytes: [UInt8]) -> Int? {
    guard bytes.count > 13, bytes[7] == UInt8(ascii: "0") || bytes[7] == UInt8(ascii: "1"), bytes[8] == 0x20,
      bytes[12] == 0x20 || bytes[12] == 0x0D
    else { return nil }
    let digits = bytes[9..<12]
    guard digits.allSatisfy({ (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }) else { return nil }
    let status = digits.reduce(0) { $0 * 10 + Int($1 - UInt8(ascii: "0")) }
    return (100..<600).contains(status) ? status : nil
  }
}
