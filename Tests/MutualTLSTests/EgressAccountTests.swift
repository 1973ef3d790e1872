import Cryptography
import NIOCore
import NIOHPACK
import Testing

@testable import MutualTLS

/// What a client writes, frame by frame: what may leave is counted exactly, everything else is refused.
@Suite struct EgressAccountTests {
  private static let limits = TransportLimits()
  private static let authority = "hub.example:7443"
  private static let path = "/test.Echo/Echo"
  private static let preface = Array("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".utf8)
  private static let message = Array("what is on the record".utf8)

  private static func frame(
    _ type: UInt8, flags: UInt8 = 0, stream: UInt32 = 0, _ payload: [UInt8] = []
  ) -> [UInt8] {
    RawHTTP2Client.frame(type: type, flags: flags, stream: stream, payload)
  }

  private static let list: [(String, String)] = [
    (":method", "POST"), (":scheme", "http"), (":path", path), (":authority", authority),
    ("content-type", "application/grpc"), ("te", "trailers"),
  ]

  private static func block(_ list: [(String, String)]) throws -> [UInt8] {
    var encoder = HPACKEncoder(allocator: ByteBufferAllocator(), useHuffmanEncoding: true)
    var buffer = ByteBuffer()
    try encoder.encode(headers: HPACKHeaders(list), to: &buffer)
    return Array(buffer.readableBytesView)
  }

  private static let start = preface + frame(4, limits.clientSettings) + frame(4, flags: 1)

  private static func call(
    _ message: [UInt8] = message, stream: UInt32 = 1, list: [(String, String)] = list
  ) throws -> [UInt8] {
    frame(1, flags: 4, stream: stream, try block(list)) + frame(0, stream: stream, prefixed(message))
      + frame(0, flags: 1, stream: stream)
  }

  private static func prefixed(_ message: [UInt8], compressed: UInt8 = 0) -> [UInt8] {
    [compressed] + withUnsafeBytes(of: UInt32(message.count).bigEndian, Array.init) + message
  }

  private static func account(permitting messages: [[UInt8]] = [message]) -> EgressAccount {
    let permits = EgressPermits()
    for message in messages {
      permits.add(PermittedMessage(message))
    }
    return EgressAccount(
      expectation: .init(settings: limits.clientSettings, authority: authority, paths: [path]), permits: permits)
  }

  /// Everything that a connection of ours may write, once.
  private static func conversation() throws -> [UInt8] {
    start + (try call()) + frame(8, [0, 0, 1, 0]) + frame(8, stream: 1, [0, 0, 1, 0])
      + frame(3, stream: 1, [0, 0, 0, 8])
      + frame(6, [UInt8](repeating: 0, count: 8)) + frame(7, [0, 0, 0, 0, 0, 0, 0, 0] + Array("idle".utf8))
  }

  @Test func everyByteIsCountedHoweverItIsCut() throws {
    let bytes = try Self.conversation()
    var totals: Set<EgressTraffic> = []
    for size in [bytes.count, 1, 2, 7, 9, 64] {
      var account = Self.account()
      var written: [UInt8] = []
      for start in stride(from: 0, to: bytes.count, by: size) {
        var buffer = ByteBuffer(bytes: bytes[start..<min(start + size, bytes.count)])
        try account.account(&buffer)
        written += buffer.readableBytesView
      }
      #expect(written == bytes)
      totals.insert(account.traffic)
    }
    let traffic = try #require(totals.first)
    #expect(totals.count == 1)
    #expect(traffic.plaintextByteCount == UInt64(bytes.count))
    #expect(
      traffic.plaintextByteCount == 24 + traffic.frames.values.reduce(0) { $0 + 9 * $1.frames + $1.bytes })
    #expect(traffic.frames[.data] == .init(frames: 2, bytes: UInt64(5 + Self.message.count)))
    #expect(traffic.frames[.windowUpdate] == .init(frames: 2, bytes: 8))
    #expect(traffic.frames[.goAway] == .init(frames: 1, bytes: 12))
    #expect(traffic.headerListCount == 1)
  }

  @Test func headerListsAreChained() throws {
    func digest(_ lists: Int) throws -> SHA256Digest? {
      var account = Self.account(permitting: Array(repeating: Self.message, count: lists))
      var buffer = ByteBuffer(bytes: Self.start)
      try account.account(&buffer)
      for list in 0..<lists {
        var call = ByteBuffer(bytes: try Self.call(stream: UInt32(2 * list + 1)))
        try account.account(&call)
      }
      #expect(account.traffic.headerListCount == UInt64(lists))
      return account.traffic.headerDigest
    }
    #expect(try digest(0) == nil)
    #expect(try digest(1) != digest(2))
  }

  struct Hostile: Sendable, CustomTestStringConvertible {
    let testDescription: String
    let bytes: [UInt8]
    let fault: EgressFault

    init(_ description: String, _ bytes: [UInt8], _ fault: EgressFault) {
      testDescription = description
      self.bytes = bytes
      self.fault = fault
    }
  }

  static let hostile: [Hostile] = {
    let open = start + ((try? frame(1, flags: 4, stream: 1, block(list))) ?? [])
    let sent = start + ((try? call()) ?? [])
    func withList(_ change: (inout [(String, String)]) -> Void) -> [UInt8] {
      var list = list
      change(&list)
      return start + ((try? call(list: list)) ?? [])
    }
    let zeros = [UInt8](repeating: 0, count: 8)
    return [
      Hostile("another preface", Array("PRI * HTTP/2.1".utf8), .frame(type: 0, flags: 0)),
      Hostile("no settings first", preface + frame(8, [0, 0, 1, 0]), .settings),
      Hostile("another setting", preface + frame(4, limits.clientSettings.dropLast() + [1]), .settings),
      Hostile(
        "one setting more", preface + frame(4, limits.clientSettings + [0, 9, 0, 0, 0, 1]),
        .length(type: 4, byteCount: 30)),
      Hostile("settings again", start + frame(4, limits.clientSettings), .frame(type: 4, flags: 0)),
      Hostile(
        "an acknowledgement with a payload", start + frame(4, flags: 1, [0, 9, 0, 0, 0, 1]),
        .length(type: 4, byteCount: 6)),
      Hostile("settings on a stream", preface + frame(4, stream: 1, limits.clientSettings), .stream(1)),
      Hostile("PRIORITY", start + frame(2, stream: 1, [0, 0, 0, 0, 1]), .frame(type: 2, flags: 0)),
      Hostile("PUSH_PROMISE", start + frame(5, flags: 4, stream: 1, zeros), .frame(type: 5, flags: 4)),
      Hostile("CONTINUATION", open + frame(9, flags: 4, stream: 1, [0x82]), .frame(type: 9, flags: 4)),
      Hostile("an unknown type", start + frame(0xBA, Array("secret".utf8)), .frame(type: 0xBA, flags: 0)),
      Hostile("ALTSVC", start + frame(0xA, zeros), .frame(type: 0xA, flags: 0)),
      Hostile("padded headers", start + frame(1, flags: 0xC, stream: 1, zeros), .frame(type: 1, flags: 0xC)),
      Hostile("headers with a priority", start + frame(1, flags: 0x24, stream: 1, zeros), .frame(type: 1, flags: 0x24)),
      Hostile("headers that go on", start + frame(1, flags: 0, stream: 1, zeros), .frame(type: 1, flags: 0)),
      Hostile("headers without a message", start + frame(1, flags: 5, stream: 1, zeros), .frame(type: 1, flags: 5)),
      Hostile(
        "a long header block", start + frame(1, flags: 4, stream: 1, [UInt8](repeating: 0, count: 513)),
        .length(type: 1, byteCount: 513)),
      Hostile("a stream that is skipped", start + frame(1, flags: 4, stream: 3, zeros), .stream(3)),
      Hostile("a stream of the server", start + frame(1, flags: 4, stream: 2, zeros), .stream(2)),
      Hostile("trailers", open + frame(1, flags: 4, stream: 1, zeros), .stream(1)),
      Hostile(
        "a header block that is none",
        start + frame(1, flags: 4, stream: 1, [0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF]),
        .headerBlock),
      Hostile("metadata", withList { $0.append(("note", "secret")) }, .header("note")),
      Hostile("another path", withList { $0[2].1 = "/test.Echo/Other" }, .header(":path")),
      Hostile("another authority", withList { $0[3].1 = "secret.example" }, .header(":authority")),
      Hostile("another order", withList { $0.swapAt(4, 5) }, .header("te")),
      Hostile("a header less", withList { $0.removeLast() }, .header("te")),
      Hostile("padded data", open + frame(0, flags: 8, stream: 1, prefixed(message)), .frame(type: 0, flags: 8)),
      Hostile("data on no stream", start + frame(0, stream: 1, prefixed(message)), .stream(1)),
      Hostile("data on the connection", start + frame(0, prefixed(message)), .stream(0)),
      Hostile("an empty frame of data", open + frame(0, stream: 1), .framing),
      Hostile("a compressed message", open + frame(0, stream: 1, prefixed(message, compressed: 1)), .framing),
      Hostile(
        "another length", open + frame(0, stream: 1, prefixed(message + [0])),
        .notPermitted(byteCount: message.count + 1)),
      Hostile(
        "other bytes", open + frame(0, stream: 1, prefixed(message.dropLast() + [0])),
        .notPermitted(byteCount: message.count)),
      Hostile("bytes after the message", open + frame(0, stream: 1, prefixed(message) + [0]), .framing),
      Hostile(
        "a frame after the message", open + frame(0, stream: 1, prefixed(message)) + frame(0, stream: 1, [0]), .framing),
      Hostile("half a message", open + frame(0, flags: 1, stream: 1, prefixed(message).dropLast()), .framing),
      Hostile("no message", open + frame(0, flags: 1, stream: 1), .framing),
      Hostile("the message again", sent + ((try? call(stream: 3)) ?? []), .notPermitted(byteCount: message.count)),
      Hostile("data after the end", sent + frame(0, flags: 1, stream: 1), .stream(1)),
      Hostile("an answer to no ping", start + frame(6, flags: 1, zeros), .ping),
      Hostile("a long ping", start + frame(6, zeros + [1]), .length(type: 6, byteCount: 9)),
      Hostile("a long GOAWAY", start + frame(7, [UInt8](repeating: 0, count: 65)), .length(type: 7, byteCount: 65)),
      Hostile("a GOAWAY of bytes", start + frame(7, zeros + [0xFF, 0x00]), .length(type: 7, byteCount: 10)),
      Hostile("a reset of no stream", start + frame(3, stream: 1, [0, 0, 0, 8]), .stream(1)),
      Hostile(
        "a reset with a code of nobody's", open + frame(3, stream: 1, [1, 2, 3, 4]), .length(type: 3, byteCount: 4)),
      Hostile("a window of nothing", start + frame(8, [0, 0, 0, 0]), .length(type: 8, byteCount: 4)),
      Hostile("a window with the reserved bit", start + frame(8, [0x80, 0, 0, 1]), .length(type: 8, byteCount: 4)),
      Hostile("a window of a stream to come", start + frame(8, stream: 5, [0, 0, 0, 1]), .stream(5)),
      Hostile("a reserved bit", start + frame(8, stream: 0x8000_0000, [0, 0, 0, 1]), .stream(0x8000_0000)),
    ]
  }()

  @Test(arguments: hostile) func whatNoCallNeedsIsRefused(_ hostile: Hostile) {
    // In one piece and byte by byte: the fault is found, and the last byte that shows it does not pass.
    for size in [hostile.bytes.count, 1] {
      var account = Self.account()
      var found: EgressFault?
      for start in stride(from: 0, to: hostile.bytes.count, by: size) where found == nil {
        var buffer = ByteBuffer(bytes: hostile.bytes[start..<min(start + size, hostile.bytes.count)])
        do throws(EgressFault) { try account.account(&buffer) } catch { found = error }
      }
      #expect(found == hostile.fault)
    }
  }

  @Test func pingsSayNothing() throws {
    var account = Self.account()
    var buffer = ByteBuffer(bytes: Self.start)
    try account.account(&buffer)
    let mine: [UInt8] = [1, 2, 3, 4, 5, 6, 7, 8]
    var ping = ByteBuffer(bytes: Self.frame(6, mine))
    try account.account(&ping)
    #expect(Array(ping.readableBytesView) == Self.frame(6, [UInt8](repeating: 0, count: 8)))
    // The answer finds what was sent, though the server saw zeros.
    var answer = ByteBuffer(
      bytes: Self.frame(8, [0, 0, 0, 1]) + Self.frame(6, flags: 1, [UInt8](repeating: 0, count: 8)))
    account.receive(&answer)
    #expect(Array(answer.readableBytesView) == Self.frame(8, [0, 0, 0, 1]) + Self.frame(6, flags: 1, mine))
    // The server's own is echoed, once.
    let theirs: [UInt8] = [9, 9, 9, 9, 9, 9, 9, 9]
    var received = ByteBuffer(bytes: Self.frame(6, theirs))
    account.receive(&received)
    #expect(Array(received.readableBytesView) == Self.frame(6, theirs))
    var echo = ByteBuffer(bytes: Self.frame(6, flags: 1, theirs))
    try account.account(&echo)
    #expect(throws: EgressFault.ping) { try account.account(&echo) }
  }

  @Test func aMessageIsPermittedOnce() {
    let permits = EgressPermits()
    let message = PermittedMessage([1, 2, 3])
    permits.add(message)
    #expect(permits.messages(byteCount: 3) == [message] && permits.messages(byteCount: 4).isEmpty)
    #expect(!permits.take(PermittedMessage([1, 2, 4])))
    #expect(permits.take(message))
    #expect(!permits.take(message))
  }

  /// What a connection has written so far, and the first fault.
  private static func fault(_ account: inout EgressAccount, _ bytes: [UInt8]) -> EgressFault? {
    var buffer = ByteBuffer(bytes: bytes)
    do throws(EgressFault) { try account.account(&buffer) } catch { return error }
    return nil
  }

  private static func open(stream: UInt32) throws -> [UInt8] { frame(1, flags: 4, stream: stream, try block(list)) }

  @Test func noByteLeavesThatIsNotPermitted() throws {
    for place in Self.message.indices {
      var account = Self.account()
      var other = Self.message
      other[place] ^= 1
      #expect(Self.fault(&account, Self.start + (try Self.open(stream: 1))) == nil)
      // Byte by byte: it stops where the message is another.
      let pieces = Self.prefixed(other).map { Self.frame(0, stream: 1, [$0]) }
      let passed = pieces.prefix { Self.fault(&account, $0) == nil }.count
      #expect(passed == 5 + place)
      #expect(account.traffic.frames[.data]?.bytes == UInt64(passed))
    }
  }

  @Test func onePermitIsForOneMessageOnItsWay() throws {
    let half = Self.prefixed(Self.message).prefix(12)
    for reset in [true, false] {
      var account = Self.account()
      #expect(Self.fault(&account, Self.start + (try Self.open(stream: 1))) == nil)
      #expect(Self.fault(&account, Self.frame(0, stream: 1, Array(half))) == nil)
      // Part of it has left on the first stream, whether that goes on or not.
      if reset { #expect(Self.fault(&account, Self.frame(3, stream: 1, [0, 0, 0, 8])) == nil) }
      #expect(Self.fault(&account, try Self.open(stream: 3)) == nil)
      #expect(
        Self.fault(&account, Self.frame(0, stream: 3, Array(half))) == .notPermitted(byteCount: Self.message.count))
    }
  }

  @Test func messagesOfOneLengthMayGoSideBySide() throws {
    let other = Self.message.map { $0 ^ 1 }
    var account = Self.account(permitting: [Self.message, other])
    #expect(Self.fault(&account, Self.start + (try Self.open(stream: 1)) + (try Self.open(stream: 3))) == nil)
    for place in 0..<Self.message.count + 5 {
      #expect(Self.fault(&account, Self.frame(0, stream: 1, [Self.prefixed(other)[place]])) == nil)
      #expect(Self.fault(&account, Self.frame(0, stream: 3, [Self.prefixed(Self.message)[place]])) == nil)
    }
    #expect(account.permits.messages(byteCount: other.count).isEmpty)
  }

  @Test func aCallThatThePeerResetLeavesNothingBehind() throws {
    var account = Self.account()
    #expect(Self.fault(&account, Self.start + (try Self.open(stream: 1))) == nil)
    #expect(Self.fault(&account, Self.frame(0, stream: 1, Array(Self.prefixed(Self.message).prefix(12)))) == nil)
    var reset = ByteBuffer(bytes: Self.frame(3, stream: 1, [0, 0, 0, 8]))
    account.receive(&reset)
    // The handler behind has not seen it yet.
    #expect(Self.fault(&account, Self.frame(0, stream: 1, [Self.prefixed(Self.message)[12]])) == nil)
    var later = ByteBuffer(bytes: Self.frame(8, [0, 0, 0, 1]))
    account.receive(&later)
    #expect(account.permits.messages(byteCount: Self.message.count).isEmpty)
    #expect(Self.fault(&account, Self.frame(0, stream: 1, [Self.prefixed(Self.message)[13]])) == .stream(1))
  }

  /// A refusal in a buffer of its own after the head of the frame, as the HTTP/2 handler writes DATA.
  @Test func whatIsRefusedIsNotCounted() throws {
    var account = Self.account()
    #expect(Self.fault(&account, Self.start + (try Self.open(stream: 1))) == nil)
    let data = Self.frame(0, stream: 1, Self.prefixed(Self.message.dropLast() + [0]))
    #expect(Self.fault(&account, Array(data.prefix(9))) == nil)
    let before = account.traffic
    #expect(Self.fault(&account, Array(data.dropFirst(9))) == .notPermitted(byteCount: Self.message.count))
    #expect(account.traffic == before)
    #expect(account.traffic.frames[.data] == .init(frames: 1, bytes: 0))
  }

  /// The HTTP/2 handler answers 200 pings before it ends a connection; they may all come at once, and more.
  @Test(arguments: [65, 200, 1000]) func manyPingsAtOnceAreAnswered(_ count: Int) throws {
    var account = Self.account()
    #expect(Self.fault(&account, Self.start) == nil)
    let pings = (0..<count).map { number in [UInt8(number >> 8), UInt8(number & 0xFF), 0, 0, 0, 0, 0, 1] }
    var received = ByteBuffer(bytes: pings.flatMap { Self.frame(6, $0) })
    account.receive(&received)
    for ping in pings.prefix(200) { #expect(Self.fault(&account, Self.frame(6, flags: 1, ping)) == nil) }
  }

  /// The peer says how large the table of headers may be, and this side's encoder obeys.
  @Test(arguments: [[0], [65_536], [65_536, 100], [0, 8192]] as [[UInt32]])
  func thePeerMayChangeTheTableOfHeaders(_ sizes: [UInt32]) throws {
    var account = Self.account(permitting: [Self.message, Self.message])
    #expect(Self.fault(&account, Self.start) == nil)
    var encoder = HPACKEncoder(allocator: ByteBufferAllocator(), useHuffmanEncoding: true)
    for size in sizes {
      let value = withUnsafeBytes(of: size.bigEndian, Array.init)
      var settings = ByteBuffer(bytes: Self.frame(4, [0, 3, 0, 0, 0, 100, 0, 1] + value))
      account.receive(&settings)
      try encoder.setDynamicTableSize(Int(size))
    }
    for stream in [UInt32(1), 3] {
      var block = ByteBuffer()
      try encoder.encode(headers: HPACKHeaders(Self.list), to: &block)
      #expect(Self.fault(&account, Self.frame(1, flags: 4, stream: stream, Array(block.readableBytesView))) == nil)
    }
    #expect(account.traffic.headerListCount == 2)
  }
}
