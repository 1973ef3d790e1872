public import Cryptography
public import SecureAggregation

/// What a simulated organisation does wrong, once in a round.
public enum Misbehavior: String, Hashable, Sendable, CaseIterable {
  /// A message whose signature has a bit flipped. Refused; the organisation is lost.
  case wrongSignature = "wrong-signature"
  /// A masked input that is a byte short. Refused; the organisation is lost.
  case wrongLength = "wrong-length"
  /// A masked input with a bit flipped after it was signed. Refused; the organisation is lost.
  case alteredBody = "altered-body"
  /// A share that is off by one, for one owner. In small cohorts refused; in large ones found when the reconstruction
  /// fails, and blamed.
  case wrongShare = "wrong-share"
  /// A ciphertext with a bit flipped under a good signature. Its recipient complains.
  case badCiphertext = "bad-ciphertext"
  /// A second message that differs from the first. Refused; the first one counts.
  case secondMessage = "second-message"
  /// A message of another round before the right one. Refused; the right one counts.
  case otherRound = "other-round"

  /// The stages in which it can be done.
  var stages: [RoundStage] {
    switch self {
    case .wrongSignature, .secondMessage: [.advertiseKeys, .shareKeys, .maskedInputCollection, .consistencyCheck]
    case .wrongLength, .alteredBody: [.maskedInputCollection]
    case .wrongShare: [.unmasking]
    case .badCiphertext: [.shareKeys]
    case .otherRound: [.advertiseKeys, .shareKeys, .maskedInputCollection, .consistencyCheck, .unmasking]
    }
  }
}

/// What one misbehaving organisation is to do, and what came of it.
public struct Injection: Hashable, Sendable {
  public let organization: OrganizationName
  public let misbehavior: Misbehavior
  public let stage: RoundStage
  /// Whether it was sent, and the sum went on for long enough for it to be noticed.
  public internal(set) var wasSent = false
  /// The code under which it was refused, complained of or blamed; nil if nobody noticed.
  public internal(set) var noticed: String?

  /// Sent, and noticed by nobody: the simulation has failed.
  public var slippedThrough: Bool { wasSent && noticed == nil }

  init(organization: OrganizationName, misbehavior: Misbehavior, stage: RoundStage) {
    self.organization = organization
    self.misbehavior = misbehavior
    self.stage = stage
  }
}

/// One message with the bytes that go beside it.
struct Answer: Sendable {
  var message: ClientRoundMessage
  /// Of a masked input; empty for all others.
  var body: [UInt8] = []
}

/// What an organisation sends instead of its answer.
struct Misdeed: Sendable {
  /// In the order in which they are sent.
  var sent: [Answer]
  /// Which of them must be refused at once.
  var mustBeRefused: Set<Int>
  /// Whether the organisation is lost when that one was.
  var isLost = false
  /// False for the honest answer.
  var isMisbehavior = true

  init(sent: [Answer], mustBeRefused: Set<Int> = [], isLost: Bool = false) {
    self.sent = sent
    self.mustBeRefused = mustBeRefused
    self.isLost = isLost
  }

  /// The honest answer and nothing else.
  init(honest answer: Answer) {
    self.init(sent: [answer])
    isMisbehavior = false
  }
}

extension Misbehavior {
  /// Turns an honest answer into what is sent.
  ///
  /// - Parameters:
  ///   - isVictim: whether a bad ciphertext may go to this one: somebody that stays, to complain of it.
  ///   - stray: a message of another round by the same organisation.
  ///   - checksShares: whether the server checks every share when it comes.
  /// - Returns: The honest answer where there is no occasion.
  func misdeed(
    _ answer: Answer, signer: borrowing IdentitySigningKey, isVictim: (OrganizationName) -> Bool,
    stray: ClientRoundMessage?, checksShares: Bool
  ) throws(CryptographyError) -> Misdeed {
    switch self {
    case .wrongSignature:
      return Misdeed(sent: [try answer.withFlippedSignature()], mustBeRefused: [0], isLost: true)
    case .wrongLength:
      return Misdeed(
        sent: [Answer(message: answer.message, body: answer.body.dropLast())], mustBeRefused: [0], isLost: true)
    case .alteredBody:
      var altered = answer
      if !altered.body.isEmpty { altered.body[altered.body.count / 2] ^= 1 }
      return Misdeed(sent: [altered], mustBeRefused: [0], isLost: true)
    case .wrongShare:
      return Misdeed(
        sent: [answer.withWrongShare()], mustBeRefused: checksShares ? [0] : [], isLost: checksShares)
    case .badCiphertext:
      guard let bad = answer.withBadCiphertext(signer: signer, isVictim: isVictim) else {
        return Misdeed(honest: answer)
      }
      return Misdeed(sent: [bad])
    case .secondMessage:
      return Misdeed(sent: [answer, try answer.withFlippedSignature()], mustBeRefused: [1])
    case .otherRound:
      guard let stray else { return Misdeed(honest: answer) }
      return Misdeed(sent: [Answer(message: stray), answer], mustBeRefused: [0])
    }
  }

  /// Whether it is noticed when a later stage is closed, and not when it is sent.
  func isNoticedLater(checksShares: Bool) -> Bool {
    switch self {
    case .badCiphertext: true
    case .wrongShare: !checksShares
    case .wrongSignature, .wrongLength, .alteredBody, .secondMessage, .otherRound: false
    }
  }
}

extension Answer {
  fileprivate func withFlippedSignature() throws(CryptographyError) -> Answer {
    func flipped(_ signature: Signature) throws(CryptographyError) -> Signature {
      var bytes = signature.bytes
      bytes[0] ^= 1
      return try Signature(bytes: bytes)
    }
    var copy = self
    switch message {
    case .advertiseKeys(var message):
      message.signature = try flipped(message.signature)
      copy.message = .advertiseKeys(message)
    case .shareKeys(var message):
      message.signature = try flipped(message.signature)
      copy.message = .shareKeys(message)
    case .maskedInput(var message):
      message.signature = try flipped(message.signature)
      copy.message = .maskedInput(message)
    case .consistencyCheck(var message):
      message.signature = try flipped(message.signature)
      copy.message = .consistencyCheck(message)
    case .beaconReveal, .unmasking:
      // These are not signed.
      break
    }
    return copy
  }

  fileprivate func withWrongShare() -> Answer {
    guard case .unmasking(var message) = message, !message.entries.isEmpty else { return self }
    message.entries[0].share[0] ^= 1
    return Answer(message: .unmasking(message))
  }

  fileprivate func withBadCiphertext(
    signer: borrowing IdentitySigningKey, isVictim: (OrganizationName) -> Bool
  ) -> Answer? {
    guard case .shareKeys(var message) = message,
      let index = message.entries.firstIndex(where: { isVictim($0.recipient) })
    else { return nil }
    // After the nonce.
    message.entries[index].ciphertext[30] ^= 1
    message.signAgain(by: signer)
    return Answer(message: .shareKeys(message))
  }
}
