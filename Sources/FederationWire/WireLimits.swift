/// Bounds on everything that arrives, checked before anything is kept.
public enum WireLimits {
  public static let protocolVersion: UInt32 = 1
  /// The gRPC method that carries every message.
  public static let service = "bauta.v1.Federation"
  public static let method = "Exchange"

  /// A masked term up to this length travels with its message; a longer one goes before it, in segments of this length.
  public static let segmentBytes = 512 * 1024

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
