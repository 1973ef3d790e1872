import Cryptography

/// Why a join request or an invitation must not be acted upon.
public enum ExchangeFault: Hashable, Sendable {
  public enum Kind: String, Sendable {
    case joinRequest = "join request"
    case invitation
    case rotation = "rotation file"
    case revocation = "record of a revocation"
  }

  case tooLarge(Kind, limit: Int)
  case notJSON(Kind)
  /// A key that is missing, unknown or of another type.
  case field(Kind, name: String)
  case schema(Kind, found: String)
  /// The request is not signed by the identity key in it.
  case signature(OrganizationName)
  case verifierKey(name: String)
  case certificate(Kind, name: String)

  var code: String {
    switch self {
    case .tooLarge: "exchange-too-large"
    case .notJSON: "exchange-not-json"
    case .field, .schema, .verifierKey: "exchange-malformed"
    case .signature: "exchange-invalid-signature"
    case .certificate: "exchange-certificate-text"
    }
  }

  var message: String {
    switch self {
    case .tooLarge(let kind, let limit): "the \(kind.rawValue) is longer than \(limit) bytes"
    case .notJSON(let kind): "the \(kind.rawValue) is not one JSON object"
    case .field(let kind, let name): "the \(kind.rawValue)'s '\(name)' is missing, unknown or not text"
    case .schema(let kind, let found): "the file is not a \(kind.rawValue) of this version but \(found)"
    case .signature(let name): "the join request is not signed by the identity key of \(name) in it"
    case .verifierKey(let name): "the join request's '\(name)' is not a verifier key of the requesting organisation"
    case .certificate(let kind, let name): "the \(kind.rawValue)'s '\(name)' is not PEM text"
    }
  }

  var remedy: String {
    switch self {
    case .tooLarge, .notJSON, .field, .schema, .verifierKey, .certificate:
      "Check that this is the right file, and ask its author for a new one."
    case .signature: "Do not admit it; ask the organisation for a new request over a channel you trust."
    }
  }
}
