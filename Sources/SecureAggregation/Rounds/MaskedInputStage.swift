import Cryptography

// R2 at the server: masked inputs are checked, added and forgotten.

/// The bytes of one masked input, in memory or where the shell has spooled them until the upload was complete.
public protocol MaskedInputBody {
  /// Whether the bytes can be other ones when they are read again. Those of a file can.
  static var canChange: Bool { get }
  var byteCount: Int { get }
  /// Hands out all bytes in order, in chunks of any size.
  func forEachChunk(_ body: (UnsafeRawBufferPointer) throws -> Void) throws
}

extension [UInt8]: MaskedInputBody {
  public static var canChange: Bool { false }
  public var byteCount: Int { count }
  public func forEachChunk(_ body: (UnsafeRawBufferPointer) throws -> Void) throws { try withUnsafeBytes(body) }
}

/// Server in R2: those whose masked input was added before the stage closes form U3.
struct MaskedInputStage: Sendable {
  let relay: ShareRelay
  let shareSurvivors: SurvivorsHash
  private(set) var received: Answers<MaskedInputMessage>

  /// U2.
  var members: MemberSet { relay.members }

  init(closing stage: ShareKeysStage, context: AggregationContext) {
    relay = ShareRelay(closing: stage)
    shareSurvivors = Transcript.survivors(relay.members)
    received = Answers(cohortCount: context.cohort.count)
  }

  /// Checks everything about a masked input, its bytes included.
  /// - Returns: Whether it is new and has to be added; a resend of the same message is not.
  func check(
    _ message: MaskedInputMessage, body: some MaskedInputBody, at position: Int, context: AggregationContext
  ) throws(AggregationError) -> Bool {
    let sender = message.organization
    let party = Party.organization(sender)
    guard members.contains(position) else {
      throw .misbehaviour(.notInEarlierSet(sender, stage: .shareKeys), by: party)
    }
    guard try received.isNew(message, from: sender, at: position, .maskedInput) else { return false }
    guard message.transcript == relay.roster.transcript else {
      throw .misbehaviour(.transcriptMismatch(.maskedInput), by: party)
    }
    guard message.shareSurvivors == shareSurvivors else {
      throw .misbehaviour(.survivorsMismatch(.maskedInput), by: party)
    }
    let identity = context.cohort[position].identity
    let payload = MaskedInputMessage.payload(
      transcript: relay.roster.transcript, organization: sender, shareSurvivors: shareSurvivors,
      hash: message.maskedInputHash)
    guard payload.isSigned(message.signature, by: identity) else {
      throw .misbehaviour(.invalidSignature(of: party, .maskedInput), by: party)
    }
    try check(message.complaints, by: position, context: context)
    try check(body, of: message, party: party, context: context)
    return true
  }

  mutating func note(_ message: MaskedInputMessage, at position: Int) { received[position] = message }

  /// Complaints about each member, by its position.
  private func complaintCounts(context: AggregationContext) -> [Int] {
    var counts = [Int](repeating: 0, count: context.cohort.count)
    for complainant in received.members.positions {
      for complaint in received[complainant]?.complaints ?? [] {
        if let accused = context.position(of: complaint.accused) { counts[accused] += 1 }
      }
    }
    return counts
  }

  /// Those about whom more complain than are assumed corrupt: one of them is honest.
  func wrongDealers(context: AggregationContext) -> [OrganizationName] {
    let counts = complaintCounts(context: context)
    return members.positions.filter { counts[$0] > context.parameters.assumedCorrupt }.map { context.cohort[$0].name }
  }

  /// Whether members of U3 hold t shares of every member of U2. Asked before anybody signs: another attempt is free yet.
  ///
  /// - Throws: ``AggregationError/tooFewParticipants(_:)``; missing are those who are lost or complained.
  func requireRecoverable(context: AggregationContext) throws(AggregationError) {
    let survivors = received.members
    let counts = complaintCounts(context: context)
    for owner in members.positions {
      let peers = relay.peers(of: owner)
      let holdsOwn = context.regularGraph == nil && survivors.contains(owner)
      let present = peers.count { survivors.contains($0) } + (holdsOwn ? 1 : 0) - counts[owner]
      guard present < context.threshold else { continue }
      let name = context.cohort[owner].name
      throw .tooFewParticipants(
        Shortage(
          stage: .maskedInputCollection, present: present, required: context.threshold,
          missing: peers.filter { peer in received[peer]?.complaints.contains { $0.accused == name } ?? true }
            .map { context.cohort[$0].name }))
    }
  }

  private func check(
    _ body: some MaskedInputBody, of message: MaskedInputMessage, party: Party, context: AggregationContext
  ) throws(AggregationError) {
    let expected = context.maskedInputByteCount
    guard body.byteCount == expected else {
      throw .misbehaviour(.wrongLength(expected: expected, actual: body.byteCount), by: party)
    }
    var check = MaskedInputCheck(context: context)
    do { try body.forEachChunk { check.update($0) } } catch { throw .spool(.unreadable) }
    guard let hash = check.finish() else { throw .spool(.changed) }
    guard hash.value == message.maskedInputHash else { throw .misbehaviour(.maskedInputAltered, by: party) }
    guard hash.unusedBitsAreZero else { throw .misbehaviour(.unusedBitsSet, by: party) }
  }

  private func check(
    _ complaints: [Complaint], by complainant: Int, context: AggregationContext
  ) throws(AggregationError) {
    let sender = context.cohort[complainant]
    var accused = Set<OrganizationName>()
    for complaint in complaints {
      let payload = Complaint.payload(
        transcript: relay.roster.transcript, complainant: sender.name, accused: complaint.accused,
        reason: complaint.reason, ciphertextHash: complaint.ciphertextHash)
      guard let position = context.position(of: complaint.accused), members.contains(position),
        let ciphertext = relay.ciphertext(from: position, to: complainant),
        complaint.ciphertextHash == SHA256Digest(hashing: ciphertext), accused.insert(complaint.accused).inserted,
        payload.isSigned(complaint.signature, by: sender.identity)
      else { throw .misbehaviour(.invalidComplaint(about: complaint.accused), by: .organization(sender.name)) }
    }
  }
}

/// Hashes a masked input and looks at the bits after its last coordinate.
private struct MaskedInputCheck: ~Copyable {
  /// Taken when the hash is.
  private var hasher: MaskedInputHasher?
  private let expected: Int
  private let packedCount: Int
  private let usedBits: Int
  private var offset = 0
  private var lastPacked: UInt8 = 0

  init(context: AggregationContext) {
    let parameters = context.parameters
    expected = context.maskedInputByteCount
    packedCount = BitPacking.byteCount(words: parameters.tensorCount, bits: parameters.bits)
    usedBits = parameters.tensorCount * parameters.bits % 8
    hasher = MaskedInputHasher(byteCount: expected)
  }

  mutating func update(_ chunk: UnsafeRawBufferPointer) {
    let last = packedCount - 1 - offset
    if chunk.indices.contains(last) { lastPacked = chunk[last] }
    offset += chunk.count
    hasher?.update(chunk)
  }

  /// Nil if there were more or fewer bytes than the body had said.
  mutating func finish() -> (value: MaskedInputHash, unusedBitsAreZero: Bool)? {
    guard offset == expected, let hash = hasher.take()?.finish() else { return nil }
    return (hash, usedBits == 0 || lastPacked >> UInt8(usedBits) == 0)
  }
}

extension Accumulator {
  /// Adds a masked input that was checked.
  ///
  /// - Throws: ``AggregationError/spool(_:)`` if the bytes cannot be read or are not those that were checked. The sum
  ///   is of no use then.
  mutating func add(
    _ body: some MaskedInputBody, of message: MaskedInputMessage, context: AggregationContext
  ) throws(AggregationError) {
    try Self.add(body, of: message, context: context, to: &self)
  }

  private static func add<Body: MaskedInputBody>(
    _ body: Body, of message: MaskedInputMessage, context: AggregationContext, to accumulator: inout Accumulator
  ) throws(AggregationError) {
    var adder = PackedAdder(parameters: context.parameters)
    var check = MaskedInputCheck(context: context)
    do {
      try body.forEachChunk { chunk in
        adder.add(chunk, to: &accumulator)
        if Body.canChange { check.update(chunk) }
      }
    } catch { throw .spool(.unreadable) }
    guard adder.isComplete, !Body.canChange || check.finish()?.value == message.maskedInputHash else {
      throw .spool(.changed)
    }
  }
}
