import Cryptography
import Testing

@testable import SecureAggregation

@Suite("Attempt ledger")
struct AttemptLedgerTests {
  private let first = StatementDigest(hashing: [1])
  private let second = StatementDigest(hashing: [2])

  private func ledger() -> AttemptLedger { AttemptLedger(run: "run-1", round: 3, task: "fit") }

  /// Applies a step; whatever happens, the ledger survives a restart, and a refusal changes nothing.
  private func step(
    _ ledger: inout AttemptLedger, refused fault: AttemptFault? = nil, location: SourceLocation = #_sourceLocation,
    _ body: (inout AttemptLedger) throws -> Void
  ) throws {
    let before = ledger
    if let fault {
      #expect(try failure(location) { try body(&ledger) } == .misuse(.attempt(fault)), sourceLocation: location)
      #expect(ledger == before, sourceLocation: location)
    } else {
      try body(&ledger)
    }
    ledger = try AttemptLedger(decoding: ledger.encoded())
  }

  @Test("Only a higher attempt may be entered")
  func entering() throws {
    var ledger = ledger()
    try step(&ledger, refused: .notHigher) { try $0.enter(attempt: 0) }
    try step(&ledger) { try $0.enter(attempt: 2) }
    try step(&ledger, refused: .notHigher) { try $0.enter(attempt: 2) }
    try step(&ledger, refused: .notHigher) { try $0.enter(attempt: 1) }
    try step(&ledger) { try $0.enter(attempt: 3) }
    #expect(ledger.highestAttempt == 3)
  }

  @Test("One statement an attempt, and only in the attempt entered last")
  func statements() throws {
    var ledger = ledger()
    try step(&ledger, refused: .notCurrent) { try $0.recordStatement(attempt: 1, statement: first) }
    try step(&ledger) { try $0.enter(attempt: 1) }
    try step(&ledger) { try $0.recordStatement(attempt: 1, statement: first) }
    try step(&ledger) { try $0.recordStatement(attempt: 1, statement: first) }
    try step(&ledger, refused: .otherStatement) { try $0.recordStatement(attempt: 1, statement: second) }
    #expect(ledger.statement?.attempt == 1 && ledger.statement?.digest == first)
    #expect(ledger.reply(for: first) == nil)
    // Signed but not released: a higher attempt is free, the lower one is spent.
    try step(&ledger) { try $0.enter(attempt: 2) }
    try step(&ledger, refused: .notCurrent) { try $0.recordRelease(attempt: 1, statement: first, reply: [1]) }
    try step(&ledger, refused: .noStatement) { try $0.recordRelease(attempt: 2, statement: first, reply: [1]) }
    try step(&ledger) { try $0.recordStatement(attempt: 2, statement: second) }
    #expect(ledger.statement?.attempt == 2 && ledger.statement?.digest == second)
  }

  @Test("Shares are released once; afterwards only the identical bytes for the identical statement")
  func releases() throws {
    var ledger = ledger()
    try step(&ledger) { try $0.enter(attempt: 1) }
    try step(&ledger, refused: .noStatement) { try $0.recordRelease(attempt: 1, statement: first, reply: [1]) }
    try step(&ledger) { try $0.recordStatement(attempt: 1, statement: first) }
    try step(&ledger, refused: .otherStatement) { try $0.recordRelease(attempt: 1, statement: second, reply: [1]) }
    #expect(!ledger.hasReleased)
    try step(&ledger) { try $0.recordRelease(attempt: 1, statement: first, reply: [1, 2]) }
    #expect(ledger.hasReleased)
    try step(&ledger) { try $0.recordRelease(attempt: 1, statement: first, reply: [1, 2]) }
    try step(&ledger, refused: .otherReply) { try $0.recordRelease(attempt: 1, statement: first, reply: [1, 3]) }
    try step(&ledger, refused: .alreadyReleased) { try $0.enter(attempt: 2) }
    #expect(ledger.reply(for: first) == [1, 2])
    #expect(ledger.reply(for: second) == nil)
  }

  @Test("A reply beyond its bound is not kept")
  func longReply() throws {
    var ledger = ledger()
    try step(&ledger) { try $0.enter(attempt: 1) }
    try step(&ledger) { try $0.recordStatement(attempt: 1, statement: first) }
    let long = [UInt8](repeating: 0, count: AttemptLedger.maximumReplyByteCount + 1)
    try step(&ledger, refused: .otherReply) { try $0.recordRelease(attempt: 1, statement: first, reply: long) }
  }

  @Test("At most eight attempts at an opening")
  func manyAttempts() throws {
    var ledger = ledger()
    try step(&ledger, refused: .tooMany) { try $0.enter(attempt: 9) }
    for attempt in 1...AttemptLedger.maximumAttempt { try step(&ledger) { try $0.enter(attempt: attempt) } }
    try step(&ledger, refused: .tooMany) { try $0.enter(attempt: 9) }
    #expect(AttemptLedger.maximumAttempt == 8)
  }

  @Test("On a k-regular graph no attempt follows one whose statement was signed")
  func spentBySigning() throws {
    var ledger = ledger()
    try step(&ledger) { try $0.enter(attempt: 1, isSpentBySigning: true) }
    try step(&ledger) { try $0.enter(attempt: 2, isSpentBySigning: true) }
    try step(&ledger) { try $0.recordStatement(attempt: 2, statement: first) }
    try step(&ledger, refused: .alreadySigned) { try $0.enter(attempt: 3, isSpentBySigning: true) }
    try step(&ledger) { try $0.enter(attempt: 3) }
  }

  @Test("A reply for five thousand owners is kept; one that is forgotten still spends the opening")
  func largeAndForgotten() throws {
    var ledger = ledger()
    try step(&ledger) { try $0.enter(attempt: 1) }
    try step(&ledger) { try $0.recordStatement(attempt: 1, statement: first) }
    try step(&ledger, refused: .otherReply) { try $0.recordRelease(attempt: 1, statement: first, reply: []) }
    let reply = [UInt8](repeating: 7, count: 5000 * 100)
    try step(&ledger) { try $0.recordRelease(attempt: 1, statement: first, reply: reply) }
    #expect(ledger.reply(for: first) == reply)
    try step(&ledger) { $0.forgetReply() }
    #expect(ledger.hasReleased)
    #expect(ledger.reply(for: first) == nil)
    try step(&ledger, refused: .alreadyReleased) { try $0.enter(attempt: 2) }
    try step(&ledger, refused: .otherReply) { try $0.recordRelease(attempt: 1, statement: first, reply: reply) }
  }

  @Test("A damaged or contradictory ledger is refused")
  func damage() throws {
    var ledger = ledger()
    try ledger.enter(attempt: 1)
    try ledger.recordStatement(attempt: 1, statement: first)
    try ledger.recordRelease(attempt: 1, statement: first, reply: [9, 9])
    let bytes = ledger.encoded()
    #expect(try AttemptLedger(decoding: bytes) == ledger)
    for count in 0..<bytes.count {
      #expect(throws: AggregationError.misuse(.attempt(.corruptLedger))) {
        try AttemptLedger(decoding: Array(bytes.prefix(count)))
      }
    }
    func encoded(highest: UInt64, signed: UInt64?, reply: [UInt8]?) -> [UInt8] {
      var encoder = CanonicalEncoder("bauta/v1/attempt-ledger")
      encoder.append("run-1")
      encoder.append(UInt64(3))
      encoder.append("fit")
      encoder.append(highest)
      encoder.append(signed != nil)
      if let signed {
        encoder.append(signed)
        encoder.append(first)
      }
      encoder.append(reply != nil)
      if let reply { encoder.append(reply) }
      return encoder.finish()
    }
    #expect(try AttemptLedger(decoding: encoded(highest: 1, signed: 1, reply: [9, 9])) == ledger)
    for bad in [
      bytes + [0], encoded(highest: 1, signed: 2, reply: nil), encoded(highest: 0, signed: 0, reply: nil),
      encoded(highest: 1, signed: nil, reply: [9]), encoded(highest: 2, signed: 1, reply: [9]),
    ] {
      #expect(throws: AggregationError.misuse(.attempt(.corruptLedger))) { try AttemptLedger(decoding: bad) }
    }
  }

  @Test("The replies of a real round fit into the ledger")
  func realReply() throws {
    let exchange = try Exchange(count: 3)
    try exchange.advance(to: .consistencyCheck)
    var ledger = ledger()
    try ledger.enter(attempt: 1)
    let statement = try exchange.consistencyCheckMessage(0).statement
    try ledger.recordStatement(attempt: 1, statement: statement.digest)
    try exchange.send(
      .consistencyCheck(
        ConsistencyCheckMessage(
          context: exchange.context.digest, organization: exchange.members[0].name, statement: statement,
          signature: statement.payload.signature(by: exchange.members[0].identity.key))),
      from: exchange.members[0].name)
    try exchange.consistencyChecks([1, 2])
    let reply = ClientRoundMessage.unmasking(try exchange.unmaskingMessage(0)).encoded()
    try ledger.recordRelease(attempt: 1, statement: statement.digest, reply: reply)
    let restored = try AttemptLedger(decoding: ledger.encoded())
    #expect(restored.reply(for: statement.digest) == reply)
  }
}
