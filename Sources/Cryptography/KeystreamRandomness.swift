/// Secure randomness for what takes numbers one at a time, rounding and noise: a keystream under a fresh seed, or one
/// that was derived, a block at a time.
///
/// A generator of random numbers cannot throw. What goes wrong is kept for ``check()``, which is to be asked before
/// anything that was made of the numbers is used; until then they come from the system's generator.
public final class KeystreamRandomness: RandomNumberGenerator {
  private static let blockWords = 512
  private var stream: MaskStream
  private var block = [UInt64](repeating: 0, count: blockWords)
  private var used = blockWords
  private var failure: CryptographyError?

  /// - Throws: ``CryptographyError`` if there is no randomness or no cipher.
  public init(generator: MaskGenerator) throws(CryptographyError) {
    stream = try MaskStream(seed: try MaskSeed(SecretBytes(randomCount: 32)), generator: generator)
  }

  /// The same numbers whenever the seed is the same, for what has to be made again: noise of which a part was published.
  ///
  /// - Parameter seed: derived for this one use, and kept as secret as what the numbers are to hide.
  /// - Throws: ``CryptographyError`` if there is no cipher.
  public init(seed: borrowing MaskSeed, generator: MaskGenerator) throws(CryptographyError) {
    stream = try MaskStream(seed: seed, generator: generator)
  }

  deinit { for index in block.indices { block[index] = 0 } }

  public func next() -> UInt64 {
    if used == Self.blockWords { refill() }
    used += 1
    return block[used - 1]
  }

  /// - Throws: what went wrong while numbers were drawn; they are to be discarded then.
  public func check() throws(CryptographyError) {
    if let failure { throw failure }
  }

  private func refill() {
    block.withUnsafeMutableBytes { buffer in
      do throws(CryptographyError) { try stream.fill(buffer) } catch { failure = error }
    }
    if failure != nil {
      var system = SystemRandomNumberGenerator()
      for index in block.indices { block[index] = system.next() }
    }
    used = 0
  }
}
