public import Cryptography

/// What an organisation must remember about the attempts of one opening (run, round, task), across restarts.
///
/// Implements rule 1 of §Reopening. A pure value: the shell stores ``encoded()`` in the transaction that persists
/// the step, before anything is sent.
///
/// - Only a higher attempt than every earlier one may be entered, and none above ``maximumAttempt``.
/// - One statement an attempt.
/// - Shares are released in at most one attempt; afterwards only the identical bytes are given out, for the
///   identical statement, and no attempt may be entered.
/// - An attempt whose statement was signed but not released may be followed by a higher one: its keys and shares
///   are gone then, so nothing can be released for it any more. On a k-regular graph the signature already spends the
///   opening: there each member sees its neighbours' part of U3 only.
///
/// It does not judge survivor sets: that is the rule about near sets.
public struct AttemptLedger: Hashable, Sendable {
  private struct Signed: Hashable, Sendable {
    var attempt: UInt64
    var statement: StatementDigest
  }

  /// Longest reply that is kept: about 200 bytes for each of 5,000 owners.
  public static let maximumReplyByteCount = 1 << 22

  /// Highest attempt at an opening: what an attempt reveals by chance is bounded for so many.
  public static let maximumAttempt: UInt64 = 8

  public let run: String
  public let round: UInt64
  public let task: String
  /// Highest attempt entered; attempts count from 1.
  public private(set) var highestAttempt: UInt64?
  private var signed: Signed?
  private var reply: [UInt8]?

  public init(run: String, round: UInt64, task: String) {
    self.run = run
    self.round = round
    self.task = task
  }

  /// The statement signed last, with its attempt.
  public var statement: (attempt: UInt64, digest: StatementDigest)? { signed.map { ($0.attempt, $0.statement) } }

  /// Whether shares were released: the opening is spent.
  public var hasReleased: Bool { reply != nil }

  /// Before AdvertiseKeys. Keys and shares of lower attempts must be gone.
  /// - Parameter isSpentBySigning: on a k-regular graph, where no attempt may follow one whose statement was signed.
  /// - Throws: ``AttemptFault/alreadyReleased``, ``AttemptFault/alreadySigned``, ``AttemptFault/notHigher``,
  ///   ``AttemptFault/tooMany``.
  public mutating func enter(attempt: UInt64, isSpentBySigning: Bool = false) throws(AggregationError) {
    guard reply == nil else { throw .misuse(.attempt(.alreadyReleased)) }
    guard !isSpentBySigning || signed == nil else { throw .misuse(.attempt(.alreadySigned)) }
    guard attempt > highestAttempt ?? 0 else { throw .misuse(.attempt(.notHigher)) }
    guard attempt <= Self.maximumAttempt else { throw .misuse(.attempt(.tooMany)) }
    highestAttempt = attempt
  }

  /// Before ConsistencyCheck is sent. Recording the same statement again changes nothing.
  /// - Throws: ``AttemptFault/notCurrent``, ``AttemptFault/otherStatement``.
  public mutating func recordStatement(attempt: UInt64, statement: StatementDigest) throws(AggregationError) {
    guard attempt == highestAttempt else { throw .misuse(.attempt(.notCurrent)) }
    let new = Signed(attempt: attempt, statement: statement)
    if let signed, signed.attempt == attempt {
      guard signed == new else { throw .misuse(.attempt(.otherStatement)) }
      return
    }
    signed = new
  }

  /// Before the unmasking reply is sent. Recording the same reply again changes nothing.
  /// - Throws: ``AttemptFault/notCurrent``, ``AttemptFault/noStatement``, ``AttemptFault/otherStatement``,
  ///   ``AttemptFault/otherReply``.
  public mutating func recordRelease(
    attempt: UInt64, statement: StatementDigest, reply bytes: [UInt8]
  ) throws(AggregationError) {
    guard attempt == highestAttempt else { throw .misuse(.attempt(.notCurrent)) }
    guard let signed, signed.attempt == attempt else { throw .misuse(.attempt(.noStatement)) }
    guard signed.statement == statement else { throw .misuse(.attempt(.otherStatement)) }
    guard (1...Self.maximumReplyByteCount).contains(bytes.count), reply == nil || reply == bytes else {
      throw .misuse(.attempt(.otherReply))
    }
    reply = bytes
  }

  /// The bytes to resend for exactly this statement, if they were released and are still kept.
  public func reply(for statement: StatementDigest) -> [UInt8]? {
    guard let signed, signed.statement == statement, let reply, !reply.isEmpty else { return nil }
    return reply
  }

  /// Once the sum is published: the released shares are not kept, that they were released is.
  public mutating func forgetReply() {
    if reply != nil { reply = [] }
  }

  public func encoded() -> [UInt8] {
    var encoder = CanonicalEncoder("bauta/v1/attempt-ledger")
    encoder.append(run)
    encoder.append(round)
    encoder.append(task)
    encoder.append(highestAttempt ?? 0)
    encoder.append(signed != nil)
    if let signed {
      encoder.append(signed.attempt)
      encoder.append(signed.statement)
    }
    encoder.append(reply != nil)
    if let reply { encoder.append(reply) }
    return encoder.finish()
  }

  /// A stored ledger, refused if it contradicts the rules.
  /// - Throws: ``AttemptFault/corruptLedger``.
  public init(decoding bytes: [UInt8]) throws(AggregationError) {
    do throws(CryptographyError) {
      var decoder = try CanonicalDecoder(bytes, label: "bauta/v1/attempt-ledger")
      self.init(
        run: try decoder.string(maximum: 1024), round: try decoder.uint64(), task: try decoder.string(maximum: 1024))
      let highest = try decoder.uint64()
      highestAttempt = highest == 0 ? nil : highest
      if try decoder.flag() { signed = Signed(attempt: try decoder.uint64(), statement: try decoder.digest()) }
      if try decoder.flag() { reply = try decoder.bytes(maximum: Self.maximumReplyByteCount) }
      try decoder.finish()
    } catch {
      throw .misuse(.attempt(.corruptLedger))
    }
    // A signed attempt was entered; a reply belongs to the statement of the highest attempt.
    let attempt = signed?.attempt ?? 0
    let entered = highestAttempt ?? 0
    guard signed == nil || attempt >= 1, attempt <= entered, reply == nil || (signed != nil && attempt == entered)
    else { throw .misuse(.attempt(.corruptLedger)) }
  }
}
