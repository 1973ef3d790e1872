import Cryptography
import NIOCore
import Testing

@testable import MutualTLS

/// A small deterministic generator (SplitMix64), so that a seed names a case for good.
struct SeededBytes: RandomNumberGenerator {
  private var state: UInt64

  init(seed: UInt64) { state = seed }

  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var mixed = state
    mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
    mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
    return mixed ^ (mixed >> 31)
  }

  mutating func bytes(_ count: Int) -> [UInt8] {
    (0..<count).map { _ in UInt8(truncatingIfNeeded: next()) }
  }

  /// Bytes that differ from `original`: bits turned, parts cut, doubled, swapped for noise or given wrong lengths.
  mutating func mutation(of original: [UInt8]) -> [UInt8] {
    var bytes = original
    repeat {
      let position = bytes.isEmpty ? 0 : Int.random(in: 0..<bytes.count, using: &self)
      switch Int.random(in: 0..<7, using: &self) {
      case 0 where !bytes.isEmpty: bytes[position] ^= 1 << UInt8.random(in: 0..<8, using: &self)
      case 1 where !bytes.isEmpty: bytes[position] = UInt8.random(in: 0...255, using: &self)
      case 2 where !bytes.isEmpty: bytes.removeSubrange(position...)
      case 3: bytes.insert(contentsOf: self.bytes(Int.random(in: 1...300, using: &self)), at: position)
      case 4 where !bytes.isEmpty: bytes.insert(contentsOf: bytes[position...].prefix(400), at: position)
      case 5 where bytes.count > 5:
        // The length of the first record.
        bytes[3] = UInt8.random(in: 0...255, using: &self)
        bytes[4] = UInt8.random(in: 0...255, using: &self)
      case 6 where !bytes.isEmpty:
        bytes.removeSubrange(position..<min(bytes.count, position + Int.random(in: 1...64, using: &self)))
      default: bytes.append(UInt8.random(in: 0...255, using: &self))
      }
    } while bytes == original
    return bytes
  }
}

/// Random and altered bytes in every state of the handler, for both roles. A case is named by its seed: run it alone by
/// giving that seed as the only argument.
@Suite("TLS handler against altered bytes", .timeLimit(.minutes(5)))
struct FuzzTests {
  private static let seeds = 0..<UInt64(150)
  /// A record with its overhead, and a handshake message: more than that nobody need hold.
  private static let maximumHeldByteCount = 256 * 1024

  private let parts: LinkParts

  init() throws { parts = try LinkParts() }

  /// What must be true of an end once its time is up: one event for each connection; closed, or whole and working.
  private func check(_ end: LinkEnd, seed: UInt64, _ place: String, mayLive: Bool = false) {
    let name: Comment = "seed \(seed), \(end.role.rawValue), \(place)"
    #expect(end.events.events.count == 1, name)
    #expect(end.handler.heldByteCount <= Self.maximumHeldByteCount, name)
    switch end.handler.state {
    case .closed: #expect(end.isClosed, name)
    case .active: #expect(mayLive && end.errors.isEmpty, name)
    case .idle, .handshaking, .closing, .lingering: Issue.record("not ended: \(end.handler.state), \(name)")
    }
  }

  /// Enough for the handshake's limit and the wait after it.
  private func letTimePass(_ link: MemoryLink) throws {
    try link.exchange()
    link.loop.advanceTime(by: .seconds(11))
    try link.exchange()
    link.loop.advanceTime(by: .seconds(2))
  }

  @Test("Noise in place of a handshake", arguments: [TLSRole.client, .server])
  func noise(_ role: TLSRole) throws {
    for seed in Self.seeds {
      var random = SeededBytes(seed: seed)
      let link = try MemoryLink(parts)
      let end = link.end(role)
      // Before there is a connection nothing is taken.
      end.channel.pipeline.fireChannelRead(ByteBuffer(bytes: random.bytes(64)))
      #expect(end.events.events.isEmpty && end.handler.heldByteCount == 0, "seed \(seed), idle")
      try end.connect()
      // Half of them look like a record of a handshake at first.
      var first = random.bytes(Int.random(in: 1...2000, using: &random))
      if seed.isMultiple(of: 2) { first = [22, 3, 1, 0, UInt8.random(in: 0...255, using: &random)] + first }
      for piece in stride(from: 0, to: first.count, by: 700) {
        end.deliver(first[piece..<min(piece + 700, first.count)])
      }
      try letTimePass(link)
      check(end, seed: seed, "noise")
      #expect(!end.events.refusals.isEmpty, "seed \(seed)")
      link.finish()
    }
  }

  @Test("One altered flight of a handshake", arguments: [(TLSRole.client, 0), (.client, 1), (.server, 0)])
  func alteredHandshake(_ sender: TLSRole, _ flight: Int) throws {
    for seed in Self.seeds {
      var random = SeededBytes(seed: seed)
      let link = try MemoryLink(parts)
      try link.connect()
      var wasAltered = false
      try link.exchange { from, number, bytes in
        guard from == sender, number == flight, !wasAltered else { return bytes }
        wasAltered = true
        return random.mutation(of: bytes)
      }
      #expect(wasAltered, "seed \(seed)")
      try letTimePass(link)
      // Bytes added after a flight's end may go unnoticed until more comes: then the receiver lives, with an error to
      // come or none.
      let receiver = link.end(sender == .client ? .server : .client)
      check(receiver, seed: seed, "flight \(flight) altered", mayLive: receiver.handler.peer != nil)
      check(link.end(sender), seed: seed, "own flight \(flight) altered", mayLive: receiver.handler.peer != nil)
      link.finish()
    }
  }

  @Test("One altered record of an established connection", arguments: [TLSRole.client, .server])
  func alteredRecords(_ sender: TLSRole) throws {
    for seed in Self.seeds {
      var random = SeededBytes(seed: seed)
      let link = try MemoryLink(parts)
      try link.establish()
      let message = random.bytes(Int.random(in: 1...20_000, using: &random))
      let receiver = link.end(sender == .client ? .server : .client)
      let before = receiver.received.count
      link.end(sender).channel.writeAndFlush(ByteBuffer(bytes: message), promise: nil)
      try link.exchange { from, number, bytes in
        from == sender && number == 0 ? random.mutation(of: bytes) : bytes
      }
      // What is passed on is a part of what was sent, whatever happened on the way.
      #expect(message.starts(with: receiver.received.dropFirst(before)), "seed \(seed)")
      try letTimePass(link)
      check(receiver, seed: seed, "record altered", mayLive: true)
      check(link.end(sender), seed: seed, "own record altered", mayLive: true)
      link.finish()
    }
  }

  @Test("Noise while closing and lingering", arguments: [TLSRole.client, .server])
  func endings(_ role: TLSRole) throws {
    for seed in Self.seeds {
      var random = SeededBytes(seed: seed)
      let link = try MemoryLink(parts)
      let end = link.end(role)
      let isLingering = seed.isMultiple(of: 2)
      if isLingering {
        // A handshake that is refused.
        try end.connect()
        end.deliver(Array("GET / HTTP/1.1\r\n\r\n".utf8))
      } else {
        try link.establish()
        end.channel.close(promise: nil)
      }
      for _ in 0..<20 { end.deliver(random.bytes(Int.random(in: 1...5000, using: &random))) }
      #expect(end.handler.heldByteCount <= Self.maximumHeldByteCount, "seed \(seed)")
      link.loop.advanceTime(by: .seconds(2))
      check(end, seed: seed, isLingering ? "lingering" : "closing")
      link.finish()
    }
  }

  @Test("A recorded handshake is worth nothing a second time", arguments: [TLSRole.client, .server])
  func replay(_ sender: TLSRole) throws {
    var recorded: [[UInt8]] = []
    let original = try MemoryLink(parts)
    try original.connect()
    try original.exchange { from, _, bytes in
      if from == sender { recorded.append(bytes) }
      return bytes
    }
    original.client.channel.writeAndFlush(ByteBuffer(bytes: [1, 2, 3]), promise: nil)
    try original.exchange { from, _, bytes in
      if from == sender { recorded.append(bytes) }
      return bytes
    }
    #expect(original.server.handler.peer != nil && original.server.received == [1, 2, 3])
    original.finish()

    let link = try MemoryLink(parts)
    let receiver = link.end(sender == .client ? .server : .client)
    try receiver.connect()
    for flight in recorded { receiver.deliver(flight) }
    #expect(receiver.handler.peer == nil && receiver.received.isEmpty)
    link.loop.advanceTime(by: .seconds(12))
    check(receiver, seed: 0, "replayed")
    #expect(receiver.events.refusals.count == 1)
    link.finish()
  }

  @Test("A byte at a time gives the same connection")
  func slowButWhole() throws {
    let link = try MemoryLink(parts)
    try link.connect()
    var isQuiet = false
    while !isQuiet {
      isQuiet = true
      for sender in [TLSRole.client, .server] {
        let bytes = try link.end(sender).takeSent()
        for byte in bytes { link.end(sender == .client ? .server : .client).deliver([byte]) }
        isQuiet = isQuiet && bytes.isEmpty
      }
    }
    link.server.channel.writeAndFlush(ByteBuffer(bytes: [42]), promise: nil)
    try link.exchange()
    #expect(link.client.received == [42] && link.client.handler.peer?.name.value == "server.example")
    #expect(link.server.handler.peer?.name.value == "alpha.example")
    link.finish()
  }
}
