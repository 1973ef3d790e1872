import Cryptography
import NIOCore
import NIOHPACK
import Synchronization

/// The messages that may be written to a connection and have not been.
final class EgressPermits: Sendable {
  private let messages = Mutex<[PermittedMessage]>([])
  private let refused = Mutex<EgressFault?>(nil)

  /// Why the connection was closed, if something else was about to leave.
  var fault: EgressFault? {
    get { refused.withLock { $0 } }
    set { refused.withLock { $0 = newValue } }
  }

  func add(_ message: PermittedMessage) { messages.withLock { $0.append(message) } }

  /// Whether a message of this length may begin.
  func contains(byteCount: Int) -> Bool { messages.withLock { $0.contains { $0.byteCount == byteCount } } }

  /// Takes the permit for exactly this message; false if there is none.
  func take(_ message: PermittedMessage) -> Bool {
    messages.withLock { messages in
      guard let place = messages.firstIndex(of: message) else { return false }
      messages.remove(at: place)
      return true
    }
  }
}

/// Reads what a client writes to a connection, byte by byte in order, and says whether it may leave.
///
/// Allowed is what gRPC needs for unary calls without metadata, in one form: the preface; one SETTINGS frame of fixed
/// content and acknowledgements; HEADERS in one frame with a fixed list, on the next stream; DATA that is one permitted
/// message, uncompressed; RST_STREAM and WINDOW_UPDATE of 4 bytes; PING of zeros, or the echo of one received; GOAWAY with
/// at most 56 bytes of printable text. No padding, priorities, pushes, continuations, or frames of other types.
///
/// What remains free, and can carry bits, is when and how often WINDOW_UPDATE, RST_STREAM and PING are sent and how a message
/// is cut into frames.
struct EgressAccount {
  static let maximumHeaderBlockByteCount = 512
  static let maximumGoAwayByteCount = 64
  /// Pings received and not answered yet that are remembered.
  static let maximumEchoes = 64

  struct Expectation: Sendable {
    /// The payload of the one SETTINGS frame.
    let settings: [UInt8]
    let authority: String
    let paths: Set<String>
  }

  private struct FrameHead {
    let type: EgressTraffic.FrameType
    let flags: UInt8
    let stream: UInt32
    let byteCount: Int
  }

  private enum Place {
    case preface(Int)
    case head
    case payload(FrameHead, left: Int)
  }

  /// A call whose message is on its way.
  private final class Call {
    var prefix: [UInt8] = []
    var byteCount = 0
    var left = 0
    private var hasher: SHA256Hasher? = SHA256Hasher()

    func hash(_ bytes: UnsafeRawBufferPointer) {
      guard var current = hasher.take() else { return }
      current.update(bytes)
      hasher = consume current
    }

    func finish() -> MessageHash? { hasher.take()?.finish(as: MessageRole.self) }
  }

  private static let preface = Array("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".utf8)

  private(set) var traffic = EgressTraffic()
  private let expectation: Expectation
  let permits: EgressPermits
  private var place = Place.preface(0)
  /// The head of a frame, or the payload of one that is judged as a whole, as far as it has come.
  private var gathered: [UInt8] = []
  private var hasSentSettings = false
  private var lastStream: UInt32 = 0
  private var calls: [UInt32: Call] = [:]
  private var headers = HPACKDecoder(allocator: ByteBufferAllocator())
  private var echoes: [[UInt8]] = []
  /// What this side's own ping held before it was zeroed; its answer is given back with it.
  private var ownPing: [UInt8]?

  init(expectation: Expectation, permits: EgressPermits) {
    self.expectation = expectation
    self.permits = permits
  }

  // MARK: What leaves

  /// Accounts for the readable bytes of a buffer, zeroing this side's pings in place.
  ///
  /// - Throws: ``EgressFault``; then none of the buffer may be written, nor anything after it.
  mutating func account(_ buffer: inout ByteBuffer) throws(EgressFault) {
    var index = buffer.readerIndex
    while index < buffer.writerIndex {
      switch place {
      case .preface(let done):
        guard buffer.getInteger(at: index, as: UInt8.self) == Self.preface[done] else {
          throw .frame(type: 0, flags: 0)
        }
        index += 1
        traffic.plaintextByteCount += 1
        place = done + 1 == Self.preface.count ? .head : .preface(done + 1)
      case .head:
        let count = min(9 - gathered.count, buffer.writerIndex - index)
        gathered += buffer.getBytes(at: index, length: count) ?? []
        index += count
        guard gathered.count == 9 else { return }
        let head = try Self.head(gathered)
        gathered.removeAll(keepingCapacity: true)
        try begin(head)
        traffic.plaintextByteCount += 9 + UInt64(head.byteCount)
        traffic.frames[head.type, default: .init()].frames += 1
        traffic.frames[head.type, default: .init()].bytes += UInt64(head.byteCount)
        place = .payload(head, left: head.byteCount)
        if head.byteCount == 0 { try finish(head) }
      case .payload(let head, let left):
        let count = min(left, buffer.writerIndex - index)
        try take(head, from: &buffer, at: index, count: count)
        index += count
        place = .payload(head, left: left - count)
        if left == count { try finish(head) }
      }
    }
  }

  private static func head(_ bytes: [UInt8]) throws(EgressFault) -> FrameHead {
    let byteCount = Int(bytes[0]) << 16 | Int(bytes[1]) << 8 | Int(bytes[2])
    guard let type = EgressTraffic.FrameType(rawValue: bytes[3]) else {
      throw .frame(type: bytes[3], flags: bytes[4])
    }
    let stream = bytes[5...].reduce(UInt32(0)) { $0 << 8 | UInt32($1) }
    return FrameHead(type: type, flags: bytes[4], stream: stream, byteCount: byteCount)
  }

  /// Judges a frame by its head.
  private mutating func begin(_ head: FrameHead) throws(EgressFault) {
    func require(_ flags: ClosedRange<UInt8>, _ byteCounts: ClosedRange<Int>) throws(EgressFault) {
      guard flags.contains(head.flags) else { throw .frame(type: head.type.rawValue, flags: head.flags) }
      guard byteCounts.contains(head.byteCount) else {
        throw .length(type: head.type.rawValue, byteCount: head.byteCount)
      }
    }
    let isOfConnection = head.stream == 0
    switch head.type {
    case .settings:
      let expected = hasSentSettings ? 0 : expectation.settings.count
      try require(hasSentSettings ? 1...1 : 0...0, expected...expected)
      guard isOfConnection else { throw .stream(head.stream) }
    case .ping:
      try require(0...1, 8...8)
      guard isOfConnection else { throw .stream(head.stream) }
    case .goAway:
      try require(0...0, 8...Self.maximumGoAwayByteCount)
      guard isOfConnection else { throw .stream(head.stream) }
    case .headers:
      // END_HEADERS and nothing else: no padding, no priority, and the message is still to come.
      try require(4...4, 1...Self.maximumHeaderBlockByteCount)
      guard head.stream == (lastStream == 0 ? 1 : lastStream + 2), head.stream <= UInt32(Int32.max) else {
        throw .stream(head.stream)
      }
      lastStream = head.stream
      calls[head.stream] = Call()
    case .data:
      try require(0...1, 0...(1 << 24) - 1)
      guard calls[head.stream] != nil else { throw .stream(head.stream) }
      // An empty frame says nothing but that the message is over.
      guard head.byteCount > 0 || head.flags == 1 else { throw .framing }
    case .rstStream:
      try require(0...0, 4...4)
      guard head.stream <= lastStream, head.stream.isMultiple(of: 2) == false else { throw .stream(head.stream) }
      calls[head.stream] = nil
    case .windowUpdate:
      try require(0...0, 4...4)
      guard isOfConnection || head.stream <= lastStream else { throw .stream(head.stream) }
    }
    guard hasSentSettings || head.type == .settings else { throw .settings }
  }

  private mutating func take(
    _ head: FrameHead, from buffer: inout ByteBuffer, at index: Int, count: Int
  ) throws(EgressFault) {
    guard head.type == .data else {
      gathered += buffer.getBytes(at: index, length: count) ?? []
      if head.type == .ping, head.flags == 0 {
        buffer.setBytes([UInt8](repeating: 0, count: count), at: index)
      }
      return
    }
    guard let call = calls[head.stream] else { throw .stream(head.stream) }
    let fault = buffer.withUnsafeReadableBytes { bytes in
      let start = index - buffer.readerIndex
      return Self.message(UnsafeRawBufferPointer(rebasing: bytes[start..<start + count]), of: call, permits)
    }
    if let fault { throw fault }
  }

  /// Follows one call's message: its prefix, its bytes, and at the last of them whether it is one that may leave.
  private static func message(
    _ bytes: UnsafeRawBufferPointer, of call: Call, _ permits: EgressPermits
  ) -> EgressFault? {
    var rest = bytes[...]
    if call.prefix.count < 5 {
      let part = rest.prefix(5 - call.prefix.count)
      call.prefix += part
      rest = rest.dropFirst(part.count)
      guard call.prefix.count == 5 else { return nil }
      guard call.prefix[0] == 0 else { return .framing }
      call.byteCount = call.prefix[1...].reduce(0) { $0 << 8 | Int($1) }
      call.left = call.byteCount
      guard permits.contains(byteCount: call.byteCount) else { return .notPermitted(byteCount: call.byteCount) }
    } else if call.left == 0 {
      return .framing
    }
    guard rest.count <= call.left else { return .framing }
    call.hash(UnsafeRawBufferPointer(rebasing: rest))
    call.left -= rest.count
    guard call.left == 0 else { return nil }
    guard let hash = call.finish(), permits.take(.init(byteCount: call.byteCount, sha256: hash)) else {
      return .notPermitted(byteCount: call.byteCount)
    }
    return nil
  }

  /// Judges a frame by its payload.
  private mutating func finish(_ head: FrameHead) throws(EgressFault) {
    let payload = gathered
    gathered.removeAll(keepingCapacity: true)
    place = .head
    switch head.type {
    case .settings:
      guard hasSentSettings || payload == expectation.settings else { throw .settings }
      hasSentSettings = true
    case .ping:
      if head.flags == 1 {
        guard let place = echoes.firstIndex(of: payload) else { throw .ping }
        echoes.remove(at: place)
      } else {
        ownPing = payload
      }
    case .goAway:
      guard payload[8...].allSatisfy({ (0x20..<0x7F).contains($0) }) else {
        throw .length(type: head.type.rawValue, byteCount: payload.count)
      }
    case .headers: try check(headerBlock: payload)
    case .data:
      guard head.flags == 1, let call = calls[head.stream] else { return }
      guard call.prefix.count == 5, call.left == 0 else { throw .framing }
      calls[head.stream] = nil
    case .rstStream:
      // The codes of RFC 9113, section 7.
      guard payload.dropLast() == [0, 0, 0], payload[3] <= 0xD else { throw .length(type: 3, byteCount: 4) }
    case .windowUpdate:
      guard payload[0] & 0x80 == 0, payload != [0, 0, 0, 0] else {
        throw .length(type: head.type.rawValue, byteCount: payload.count)
      }
    }
  }

  private mutating func check(headerBlock: [UInt8]) throws(EgressFault) {
    var block = ByteBuffer(bytes: headerBlock)
    let list: HPACKHeaders
    do { list = try headers.decodeHeaders(from: &block) } catch { throw .headerBlock }
    // The scheme is what gRPC writes: it does not know of the TLS below.
    let fixed = [
      (":method", "POST"), (":scheme", "http"), (":path", nil), (":authority", expectation.authority),
      ("content-type", "application/grpc"), ("te", "trailers"),
    ]
    var encoder = CanonicalEncoder("bauta/v1/header-list")
    if let digest = traffic.headerDigest { encoder.append(digest) }
    var position = 0
    for (name, value, _) in list {
      guard position < fixed.count, name == fixed[position].0,
        fixed[position].1.map({ $0 == value }) ?? expectation.paths.contains(value)
      else { throw .header(name) }
      encoder.append(name)
      encoder.append(value)
      position += 1
    }
    guard position == fixed.count else { throw .header(fixed[position].0) }
    traffic.headerListCount += 1
    traffic.headerDigest = SHA256Digest(hashing: encoder.finish())
  }

  // MARK: What arrives

  /// Takes note of pings in a buffer of whole frames, and gives the answer to this side's own what it had sent.
  mutating func receive(_ buffer: inout ByteBuffer) {
    var index = buffer.readerIndex
    while let high = buffer.getInteger(at: index, as: UInt8.self),
      let low = buffer.getInteger(at: index + 1, as: UInt16.self),
      let type = buffer.getInteger(at: index + 3, as: UInt8.self),
      let flags = buffer.getInteger(at: index + 4, as: UInt8.self)
    {
      let byteCount = Int(high) << 16 | Int(low)
      if type == EgressTraffic.FrameType.ping.rawValue, byteCount == 8,
        let payload = buffer.getBytes(at: index + 9, length: 8)
      {
        if flags & 1 == 0 {
          if echoes.count == Self.maximumEchoes { echoes.removeFirst() }
          echoes.append(payload)
        } else if payload.allSatisfy({ $0 == 0 }), let sent = ownPing {
          buffer.setBytes(sent, at: index + 9)
        }
      }
      index += 9 + byteCount
    }
  }
}
