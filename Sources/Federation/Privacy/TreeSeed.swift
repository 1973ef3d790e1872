public import Cryptography
import DifferentialPrivacy

/// The secret from which a server makes the noise of a run's trees: 32 random bytes, drawn when the run begins.
///
/// A node's noise is added in one round and taken off in a later one, and a server may be started again in between: so it
/// has to be made again, exactly: drawn afresh it would not be that which was added. It is made from a key that
/// HKDF derives for run, pass and node, as a keystream; nodes of different places share nothing.
///
/// **Whoever has it can take the noise off everything that the run has published.** It is in the run's directory as long as
/// the run goes on, and nowhere afterwards; a copy of the disk from that time still has it.
public struct TreeSeed: ~Copyable, Sendable {
  public static let byteCount = 32
  private static let maximumFileBytes = 512

  private let secret: SecretBytes

  /// A fresh one.
  public init() { secret = SecretBytes(randomCount: Self.byteCount) }

  /// - Throws: ``FederationError/cryptography(_:)`` unless there are exactly 32 bytes.
  public init(_ secret: consuming SecretBytes) throws(FederationError) {
    guard secret.count == Self.byteCount else {
      throw .cryptography(.wrongLength(of: .maskSeed, expected: Self.byteCount, actual: secret.count))
    }
    self.secret = secret
  }

  /// The number of bytes and nothing else.
  public var description: String { "TreeSeed(redacted)" }

  /// The noise of a node: the same whenever it is asked for.
  ///
  /// - Parameters:
  ///   - pass: from 1.
  ///   - count: coordinates.
  /// - Throws: `CryptographyError`; there is no noise then.
  borrowing func noise(
    _ noise: CentralGaussian, of node: TreeAggregation.Node, pass: Int, run: RunIdentifier, count: Int,
    generator: MaskGenerator
  ) throws(CryptographyError) -> [Int64] {
    var encoder = CanonicalEncoder("bauta/v1/tree-node")
    encoder.append(run.text)
    encoder.append(UInt64(clamping: pass))
    encoder.append(UInt64(clamping: node.level))
    encoder.append(UInt64(clamping: node.first))
    let key = try deriveKey(from: secret, salt: [], info: encoder.finish(), count: MaskSeed.byteCount)
    var randomness = try KeystreamRandomness(seed: MaskSeed(key), generator: generator)
    let samples = noise.samples(count: count, using: &randomness)
    try randomness.check()
    return samples
  }

  // MARK: - The file

  /// One line `bauta/tree-seed/1 RUN SECRET`, the bytes in base64.
  private static func header(_ run: RunIdentifier) -> String { "bauta/tree-seed/1 \(run.text) " }

  /// Writes it to a new file of mode 0600, whole or not at all, and brings that to disk.
  ///
  /// - Throws: ``FederationError/file(_:)``; an existing file is not overwritten.
  public borrowing func store(_ path: String, run: RunIdentifier) throws(FederationError) {
    guard !FileAccess.exists(path) else { throw .file(.exists(path: path)) }
    let staged = "\(path).new"
    // Of a server that ended while it wrote: nothing was made from it.
    try FileAccess.remove(staged)
    try secret.withUnsafeBytes { (bytes) throws(FederationError) in
      try SecretLineFile.create(staged, prefix: Self.header(run), secret: bytes)
    }
    try FileAccess.rename(staged, to: path)
  }

  /// Reads the file of a run's seed.
  ///
  /// - Throws: ``FederationError/file(_:)`` if it is missing, malformed, another run's, or can be read by others.
  public init(contentsOf path: String, run: RunIdentifier) throws(FederationError) {
    guard let secret = try SecretLineFile.load(path, prefix: Self.header(run), maximum: Self.maximumFileBytes) else {
      throw .file(.treeSeed(path: path))
    }
    self.secret = secret
  }

  /// Whether there is anything where the file of a seed would be.
  public static func isStored(at path: String) -> Bool { FileAccess.exists(path) }

  /// Removes the file of a seed, if it is there, and what a server that ended may have left of one.
  ///
  /// - Throws: ``FederationError/file(_:)``.
  public static func remove(_ path: String) throws(FederationError) {
    for path in [path, "\(path).new"] where FileAccess.exists(path) { try FileAccess.remove(path) }
  }
}
