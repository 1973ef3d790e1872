import SwiftProtobuf

extension ServerMessage {
  /// The version that a server's envelope claims, in bytes that may be of a version this program cannot read; nil where
  /// there is none.
  public static func claimedVersion(of bytes: [UInt8]) -> UInt32? {
    guard let envelope = try? Bauta_V1_ServerEnvelope(serializedBytes: bytes) else { return nil }
    return envelope.protocolVersion == 0 ? nil : envelope.protocolVersion
  }
}
