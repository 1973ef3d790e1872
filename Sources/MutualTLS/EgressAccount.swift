import Cryptography
import Foundation
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

  /// Those that a message of this length can be.
  func messages(byteCount: Int) -> [PermittedMessage] {
    messages.withLock { $0.filter { $0.bytes.count == byteCount } }
  }

  /// Uses up the permit for exactly this message; false if there is none.
  @discardableResult
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
/// message, uncompressed, each byte compared before it leaves, and none twice under one permit; RST_STREAM and WINDOW_UPDATE of 4 bytes; PING of zeros, or the echo of one received; GOAWAY with
/// at most 56 bytes of printable text. No padding, priorities, pushes, continuations, or frames of other types.
///
/// What remains free, and can carry bits: when and how often WINDOW_UPDATE, RST_STREAM and PING are sent; the increments,
/// codes and stream numbers in WINDOW_UPDATE, RST_STREAM and GOAWAY, and the latter's text; in which of HPACK's forms the
/// fixed list is written; and how a message is cut into frames.
struct EgressAccount {
  static let maximumHeaderBlockByteCount = 512
  static let maximumGoAwayByteCount = 64
  /// Pings received and not answered yet that are remembered: more than the HTTP/2 handler answers before it ends the
  /// connection (200 in 30 seconds), however many arrive at once.
  static let maximumEchoes = 256

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
    /// The permitted messages that begin with what has left.
    var candidates: [PermittedMessage] = []

    /// A message has begun and not ended.
    var isUnderway: Bool { prefix.count == 5 && left > 0 }
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
  /// Streams that the peer has reset, of which nothing leaves any more once the handler behind has seen it.
  private var resetByPeer: [UInt32] = []
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
  /// - Throws: ``EgressFault``; then none of the buffer may be written, nor anything after it, and none of it is counted.
  mutating func account(_ buffer: inout ByteBuffer) throws(EgressFault) {
    let before = traffic
    do throws(EgressFault) { try follow(&buffer) } catch {
      traffic = before
      throw error
    }
  }

  private mutating func follow(_ buffer: inout ByteBuffer) throws(EgressFault) {
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
        traffic.plaintextByteCount += 9
        traffic.frames[head.type, default: .init()].frames += 1
        place = .payload(head, left: head.byteCount)
        if head.byteCount == 0 { try finish(head) }
      case .payload(let head, let left):
        let count = min(left, buffer.writerIndex - index)
        try take(head, from: &buffer, at: index, count: count)
        index += count
        // As it passes: a payload comes in a buffer after that of its head, and may be refused.
        traffic.plaintextByteCount += UInt64(count)
        traffic.frames[head.type, default: .init()].bytes += UInt64(count)
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
      end(head.stream)
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
    let start = index - buffer.readerIndex
    let fault = buffer.withUnsafeReadableBytes { bytes in
      message(UnsafeRawBufferPointer(rebasing: bytes[start..<start + count]), of: call)
    }
    if let fault { throw fault }
  }

  /// Follows one call's message: its prefix and its bytes, each before it leaves.
  private func message(_ bytes: UnsafeRawBufferPointer, of call: Call) -> EgressFault? {
    var rest = bytes[...]
    if call.prefix.count < 5 {
      let part = rest.prefix(5 - call.prefix.count)
      call.prefix += part
      rest = rest.dropFirst(part.count)
      guard call.prefix.count == 5 else { return nil }
      guard call.prefix[0] == 0 else { return .framing }
      call.byteCount = call.prefix[1...].reduce(0) { $0 << 8 | Int($1) }
      // A message on its way has its permit still.
      let underway = calls.values.count { $0.isUnderway && $0.byteCount == call.byteCount }
      call.left = call.byteCount
      call.candidates = permits.messages(byteCount: call.byteCount)
      guard call.candidates.count > underway else { return .notPermitted(byteCount: call.byteCount) }
    } else if call.left == 0 {
      return .framing
    }
    guard rest.count <= call.left else { return .framing }
    let place = call.byteCount - call.left
    call.candidates.removeAll { !$0.has(UnsafeRawBufferPointer(rebasing: rest), at: place) }
    guard let permitted = call.candidates.first else { return .notPermitted(byteCount: call.byteCount) }
    call.left -= rest.count
    guard call.left == 0 else { return nil }
    call.candidates = []
    return permits.take(permitted) ? nil : .notPermitted(byteCount: call.byteCount)
  }

  /// Nothing more comes of a call. A permit of whose message some has left is used up.
  private mutating func end(_ stream: UInt32) {
    guard let call = calls.removeValue(forKey: stream), call.isUnderway, let permitted = call.candidates.first else {
      return
    }
    permits.take(permitted)
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

  /// Takes note of what this side will answer or obey in a buffer of whole frames, and gives the answer to its own ping
  /// what it had sent.
  mutating func receive(_ buffer: inout ByteBuffer) {
    // Those of the buffers before: of this one's, something may be written before the handler behind comes to them.
    for stream in resetByPeer { end(stream) }
    resetByPeer.removeAll(keepingCapacity: true)
    var index = buffer.readerIndex
    while let high = buffer.getInteger(at: index, as: UInt8.self),
      let low = buffer.getInteger(at: index + 1, as: UInt16.self),
      let type = buffer.getInteger(at: index + 3, as: UInt8.self),
      let flags = buffer.getInteger(at: index + 4, as: UInt8.self)
    {
      let byteCount = Int(high) << 16 | Int(low)
      switch EgressTraffic.FrameType(rawValue: type) {
      case .ping where byteCount == 8: receivePing(&buffer, at: index + 9, isAnswer: flags & 1 == 1)
      case .settings where flags & 1 == 0: receiveSettings(buffer, at: index + 9, byteCount: byteCount)
      case .rstStream:
        if let stream = buffer.getInteger(at: index + 5, as: UInt32.self), calls[stream] != nil {
          resetByPeer.append(stream)
        }
      case .ping, .settings, .data, .headers, .goAway, .windowUpdate, nil: break
      }
      index += 9 + byteCount
    }
  }

  private mutating func receivePing(_ buffer: inout ByteBuffer, at index: Int, isAnswer: Bool) {
    guard let payload = buffer.getBytes(at: index, length: 8) else { return }
    if !isAnswer {
      // Those that came first are answered first.
      if echoes.count < Self.maximumEchoes { echoes.append(payload) }
    } else if payload.allSatisfy({ $0 == 0 }), let sent = ownPing {
      buffer.setBytes(sent, at: index)
    }
  }

  /// The size of the table that header lists may use is the peer's to choose (RFC 9113, section 6.5.2).
  private mutating func receiveSettings(_ buffer: ByteBuffer, at index: Int, byteCount: Int) {
    for place in stride(from: index, to: index + byteCount, by: 6) {
      guard buffer.getInteger(at: place, as: UInt16.self) == 1,
        let size = buffer.getInteger(at: place + 2, as: UInt32.self)
      else { continue }
      headers.maxDynamicTableLength = max(headers.maxDynamicTableLength, Int(size))
    }
  }
}
