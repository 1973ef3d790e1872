import Cryptography
import Testing

@testable import SecureAggregation

/// Masked inputs in a spool: at the server a body that is read twice, at the client one that is written in pieces.
@Suite("Spooled masked inputs")
struct SpooledInputTests {
  /// What a file could do between two readings.
  private enum Reading {
    case whole, altered, shorter, longer, failing
  }

  private struct DiskFault: Error {}

  /// A body that hands out pieces of `piece` bytes, another reading each time.
  private final class Spool: MaskedInputBody {
    static var canChange: Bool { true }
    let bytes: [UInt8]
    private let piece: Int
    private let readings: [Reading]
    private(set) var count = 0

    init(_ bytes: [UInt8], piece: Int = 11, _ readings: [Reading] = []) {
      self.bytes = bytes
      self.piece = piece
      self.readings = readings
    }

    var byteCount: Int { bytes.count }

    func forEachChunk(_ body: (UnsafeRawBufferPointer) throws -> Void) throws {
      let reading = count < readings.count ? readings[count] : .whole
      count += 1
      var bytes = bytes
      switch reading {
      case .whole: break
      case .altered: bytes[bytes.count / 2] ^= 1
      case .shorter: bytes.removeLast()
      case .longer: bytes += [UInt8](repeating: 1, count: 1000)
      case .failing: bytes.removeLast(bytes.count / 2)
      }
      for start in stride(from: 0, to: bytes.count, by: piece) {
        try bytes[start..<min(start + piece, bytes.count)].withUnsafeBytes(body)
      }
      if reading == .failing { throw DiskFault() }
    }
  }

  private func ready(tensorCount: Int = 37) throws -> Exchange {
    let exchange = try TestGraph.complete.exchange(tensorCount: tensorCount)
    try exchange.advance(to: .maskedInputCollection)
    return exchange
  }

  /// Member `index`'s message with the bytes it masked.
  private func input(_ exchange: Exchange, _ index: Int) throws -> (ClientRoundMessage, [UInt8]) {
    let message = try exchange.answer(index)
    return (message, try #require(exchange.bodies[exchange.members[index].name]))
  }

  @Test("A body that is another one when it is added ends the round: the sum is spoilt", arguments: 0..<4)
  func secondReading(_ number: Int) throws {
    let second = [Reading.altered, .shorter, .longer, .failing][number]
    let exchange = try ready()
    let name = exchange.members[0].name
    let (message, bytes) = try input(exchange, 0)
    let spool = Spool(bytes, [.whole, second])
    let error = try failure { try exchange.server.receive(message, body: spool, from: name) }
    #expect(error == .spool(second == .failing ? .unreadable : .changed))
    #expect(error.blame == .local)
    #expect(spool.count == 2)
    #expect(exchange.server.stage == .failed)
    #expect(exchange.server.result == nil && exchange.server.participants.isEmpty)
    #expect(
      try failure { try exchange.server.receive(message, body: bytes, from: name) }
        == exchange.blames(.outOfOrder(.maskedInput, stage: .failed), 0))
  }

  @Test("A body that cannot be read, or is not what was signed, before it is added changes nothing")
  func firstReading() throws {
    let exchange = try ready()
    let name = exchange.members[0].name
    let (message, bytes) = try input(exchange, 0)
    let length = bytes.count
    for (spool, error) in [
      (Spool(bytes, [.failing]), AggregationError.spool(.unreadable)), (Spool(bytes, [.shorter]), .spool(.changed)),
      (Spool(bytes, [.longer]), .spool(.changed)), (Spool(bytes, [.altered]), exchange.blames(.maskedInputAltered, 0)),
      (Spool(bytes + [0]), exchange.blames(.wrongLength(expected: length, actual: length + 1), 0)),
      (Spool(Array(bytes.dropLast())), exchange.blames(.wrongLength(expected: length, actual: length - 1), 0)),
      (Spool([]), exchange.blames(.wrongLength(expected: length, actual: 0), 0)),
    ] {
      #expect(try failure { try exchange.server.receive(message, body: spool, from: name) } == error)
      #expect(spool.count <= 1)
      #expect(exchange.server.stage == .maskedInputCollection && exchange.server.answered.isEmpty)
    }
    // Of a resend nothing is read.
    try exchange.server.receive(message, body: Spool(bytes), from: name)
    let again = Spool(bytes, [.failing])
    try exchange.server.receive(message, body: again, from: name)
    #expect(again.count == 0)
    try exchange.play(1..<12)
    while !exchange.isOver { try exchange.play(0..<12) }
    try exchange.expectExactSum(of: Array(0..<12))
  }

  @Test("Pieces of any size give the same sum")
  func pieces() throws {
    let exchange = try ready(tensorCount: 1021)
    for (index, piece) in [1, 2, 3, 5, 7, 8, 19, 20, 64, 999, 4096, 1 << 20].enumerated() {
      let (message, bytes) = try input(exchange, index)
      try exchange.server.receive(
        message, body: Spool(bytes, piece: piece), from: exchange.members[index].name)
    }
    try exchange.close()
    while !exchange.isOver { try exchange.play(0..<12) }
    try exchange.expectExactSum(of: Array(0..<12))
  }

  @Test("A spool that fails leaves the client where it was; the next try gives the same bytes, in memory too")
  func failingSpool() throws {
    // Three chunks of coordinates and one of counters.
    let exchange = try ready(tensorCount: 150_000)
    for (index, lanes) in [Lanes.one, Lanes(count: 3)].enumerated() {
      let member = exchange.members[index]
      let delivery = try exchange.delivery(for: index)
      func write(failingAt last: Int) throws -> (message: MaskedInputMessage?, bytes: [UInt8]) {
        var bytes: [UInt8] = []
        var chunks = 0
        do {
          let message = try member.round.receive(
            delivery, term: member.term, lanes: lanes, signer: member.identity.key
          ) { chunk in
            chunks += 1
            bytes += chunk
            if chunks == last { throw DiskFault() }
          }
          return (message, bytes)
        } catch is DiskFault {
          #expect(chunks == last)
          return (nil, bytes)
        }
      }
      let length = exchange.context.maskedInputByteCount
      var earlier: [[UInt8]] = []
      for last in 1...4 {
        let attempt = try write(failingAt: last)
        #expect(attempt.message == nil)
        #expect(member.round.stage == .awaitingShares)
        earlier.append(attempt.bytes)
      }
      #expect(earlier[3].count == length)
      if index == 0 {
        let input = try member.round.receive(
          delivery, term: member.term, lanes: lanes, signer: member.identity.key)
        #expect(input.body == earlier[3])
        exchange.bodies[member.name] = input.body
        try exchange.send(.maskedInput(input.message), from: member.name)
      } else {
        let whole = try write(failingAt: 0)
        #expect(whole.bytes == earlier[3])
        exchange.bodies[member.name] = whole.bytes
        try exchange.send(.maskedInput(try #require(whole.message)), from: member.name)
      }
      for bytes in earlier { #expect(earlier[3].starts(with: bytes)) }
      #expect(member.round.stage == .awaitingSurvivors)
    }
    try exchange.play(2..<12)
    while !exchange.isOver { try exchange.play(0..<12) }
    try exchange.expectExactSum(of: Array(0..<12))
  }
}
