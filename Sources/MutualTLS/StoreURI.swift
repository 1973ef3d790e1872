import Foundation

/// URIs of keys, checked before any library sees them.
enum StoreURI {
  /// Refuses control characters, spaces, lengths over the bound, and a PIN in the text: a URI stands in files, arguments
  /// and logs, where no secret belongs.
  static func requirePlain(_ uri: String) throws(CredentialError) {
    let source = description(of: uri)
    guard uri.utf8.count <= PrivateKeySource.maximumURIByteCount else {
      throw .keyAccess(.uriMalformed(source: source, reason: "it is too long"))
    }
    guard uri.utf8.allSatisfy({ (0x21...0x7E).contains($0) }) else {
      throw .keyAccess(.uriMalformed(source: source, reason: "it holds a space or a character that is not ASCII"))
    }
    try requireNoPIN(in: uri)
  }

  static func requireNoPIN(in uri: String) throws(CredentialError) {
    // Percent-encoded too: a loader may be more lenient than RFC 7512 is.
    let decoded = (uri.removingPercentEncoding ?? uri).lowercased()
    guard !decoded.contains("pin-value"), !uri.lowercased().contains("pin-value") else {
      throw .keyAccess(.pinInURI(source: description(of: uri)))
    }
  }

  /// The scheme, and for `pkcs11:` the attributes `token` and `object`, which are labels. Printable ASCII.
  static func description(of uri: String) -> String {
    guard let scheme = PrivateKeySource.scheme(of: uri) else { return "a URI" }
    guard scheme == TokenURI.scheme else { return "\(scheme):…" }
    let labels = TokenURI.pathAttributes(of: uri).filter { attribute in
      ["token=", "object="].contains { attribute.hasPrefix($0) }
        && attribute.utf8.allSatisfy { (0x21...0x7E).contains($0) }
    }
    return labels.isEmpty ? "\(scheme):…" : "\(scheme):\(labels.joined(separator: ";"))"
  }
}

/// The URI of an object in a token (RFC 7512).
struct TokenURI {
  static let scheme = "pkcs11"

  private static let knownAttributes: Set<String> = [
    "token", "manufacturer", "serial", "model", "library-manufacturer", "library-version", "library-description",
    "object", "type", "id", "slot-description", "slot-manufacturer", "slot-id",
  ]

  /// Scheme and path attributes: what says which object is meant. The query stays here.
  let object: String
  /// The file that `pin-source` names.
  let pinFile: String?

  /// - Throws: ``CredentialError/keyAccess(_:)`` with `uriMalformed` or `pinInURI`.
  init(_ uri: String) throws(CredentialError) {
    try StoreURI.requirePlain(uri)
    let attributes = TokenURI.pathAttributes(of: uri)
    for attribute in attributes {
      let parts = attribute.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
      guard parts.count == 2, TokenURI.knownAttributes.contains(String(parts[0])) else {
        throw TokenURI.malformed(uri, "it holds an attribute that RFC 7512 does not have")
      }
    }
    object = "\(TokenURI.scheme):\(attributes.joined(separator: ";"))"
    pinFile = try TokenURI.pinFile(of: uri)
  }

  static func pathAttributes(of uri: String) -> [Substring] {
    uri.dropFirst(scheme.count + 1).prefix { $0 != "?" }.split(separator: ";")
  }

  private static func pinFile(of uri: String) throws(CredentialError) -> String? {
    guard let start = uri.firstIndex(of: "?") else { return nil }
    let query = uri[uri.index(after: start)...].split(separator: "&")
    guard let only = query.first else { return nil }
    // The module is the system administrator's choice, in the configuration of OpenSSL or p11-kit.
    guard query.count == 1, only.hasPrefix("pin-source=") else {
      throw malformed(uri, "after the question mark only pin-source=file: is taken")
    }
    let value = only.dropFirst("pin-source=".count)
    guard value.hasPrefix("file:") || value.hasPrefix("/"), case .file(let path) = PrivateKeySource(String(value)),
      path.hasPrefix("/")
    else { throw malformed(uri, "its pin-source is not file: with an absolute path") }
    return path
  }

  private static func malformed(_ uri: String, _ reason: String) -> CredentialError {
    .keyAccess(.uriMalformed(source: StoreURI.description(of: uri), reason: reason))
  }
}
