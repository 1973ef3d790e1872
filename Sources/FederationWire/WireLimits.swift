import Federation

/// Bounds on everything that arrives, checked before anything is kept.
public enum WireLimits {
  /// Versions of the protocol that this program speaks.
  public static let protocolVersions: ClosedRange<UInt32> = 1...1
  static var protocolVersion: UInt32 { protocolVersions.upperBound }
  static let greetedVersions = 16
  /// The gRPC method that carries every message.
  public static let service = "bauta.v1.Federation"
  public static let method = "Exchange"

  /// A masked term up to this length travels with its message; a longer one goes before it, in segments of this length.
  public static let segmentBytes = 512 * 1024

  /// An instruction up to this length is sent whole; of a longer one a part of this length at a time is fetched.
  public static let partBytes = 512 * 1024
  /// The longest instruction that a client takes, put together from its parts.
  public static let instructionBytes = 64 * 1024 * 1024

  /// A checkpoint with its log's own signatures.
  static let checkpoint = 4096
  /// The server's, with the cosignatures that it has: less than what a witness takes.
  public static let cosignedCheckpoint = 32 * 1024
  static let proofHashes = 64
  /// Sizes from which others want a proof, in either direction.
  public static let wantedProofs = 64
  public static let cosignatures = 128
  /// Receipts whose inclusion is proved at a time.
  public static let receipts = 64
  /// As many as a federation has organisations.
  public static let witnessedPeers = Manifest.maximumOrganizations
  /// Other members' checkpoints in one answer. With everything else at its limit an answer is shorter than ``partBytes``.
  public static let answeredPeers = 32

  static let messageIdentifier = 32
  static let runIdentifier = 64
  static let features = 4096
  static let featureName = 256
  static let cohort = 10_000
  static let organizationName = 253
  static let planText = 256 * 1024
  static let manifestText = 4 * 1024 * 1024
  static let refusalText = 4096

  /// Upper bound on the bytes of one message either way, given the largest payload the run needs: masked input from a
  /// client, model or aggregate from the server.
  public static func messageBytes(largestPayload: Int) -> Int {
    max(1024 * 1024, largestPayload + 256 * 1024)
  }
}
