import Cryptography
import Learning

/// What coins, rounding and noise of an audit are drawn from.
enum AuditRandomness: RandomNumberGenerator {
  /// As an organisation draws them.
  case secure(KeystreamRandomness)
  /// The same every time.
  case seeded(Xoshiro256StarStar)

  /// - Throws: `CryptographyError` if there is no randomness.
  init(seed: UInt64?, generator: MaskGenerator) throws {
    if let seed {
      self = .seeded(Xoshiro256StarStar(seed: seed))
    } else {
      self = .secure(try KeystreamRandomness(generator: generator))
    }
  }

  mutating func next() -> UInt64 {
    switch self {
    case .secure(let source): return source.next()
    case .seeded(var source):
      let word = source.next()
      self = .seeded(source)
      return word
    }
  }

  /// - Throws: `CryptographyError` if something went wrong while numbers were drawn.
  func check() throws {
    switch self {
    case .secure(let source): try source.check()
    case .seeded: break
    }
  }
}
