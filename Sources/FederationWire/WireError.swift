import Cryptography

/// Why bytes from the network were not taken as a message. Nothing of a refused message has been acted upon.
public enum WireError: BlamedError, Equatable {
  /// Not a protobuf message of the expected type, or with an unknown or missing body.
  case malformed(what: String)
  /// A field holds more than its stated bound.
  case oversized(field: String, limit: Int)
  /// A field holds a value outside its range.
  case invalid(field: String)
  /// The peer speaks no version of the protocol that this program speaks.
  case version(theirs: [UInt32])

  public var code: String {
    switch self {
    case .malformed: "wire-malformed"
    case .oversized: "wire-oversized"
    case .invalid: "wire-invalid-field"
    case .version: "wire-version"
    }
  }

  public var blame: Blame { .peer }

  public var message: String {
    switch self {
    case .malformed(let what): "the peer sent bytes that are not a valid \(what)"
    case .oversized(let field, let limit): "the peer's message has more than \(limit) bytes or items in '\(field)'"
    case .invalid(let field): "the peer's message has an invalid value in '\(field)'"
    case .version(let theirs):
      "the peer speaks version \(Self.list(theirs)) of the protocol, this program version "
        + Self.list(Array(WireLimits.protocolVersions))
    }
  }

  public var remedy: String {
    switch self {
    case .version(let theirs):
      theirs.contains { $0 > WireLimits.protocolVersions.upperBound }
        ? "this program is the older one: install the release of bauta that the other side runs"
        : "the other side's program is older: ask it to install the release of bauta that runs here"
    case .malformed, .oversized, .invalid:
      "nothing was acted upon; if it repeats, compare the versions of the programs on both sides"
    }
  }

  private static func list(_ versions: [UInt32]) -> String {
    versions.isEmpty ? "none" : versions.map(String.init).joined(separator: ", ")
  }
}
