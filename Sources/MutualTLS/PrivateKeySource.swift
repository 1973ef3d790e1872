import Foundation

/// Where a private key is kept.
public enum PrivateKeySource: Sendable, Hashable, CustomStringConvertible {
  /// A PEM file with mode 0600 (or stricter).
  case file(String)
  /// A URI for OpenSSL's store loaders, such as `pkcs11:` (RFC 7512) for a key in a token.
  case store(String)

  /// Longest URI, and largest file that holds one, in bytes.
  public static let maximumURIByteCount = 4096

  /// A path, or a URI if the text starts with a scheme of at least two characters and a colon. A `file:` URI is a path.
  public init(_ text: String) {
    guard let scheme = PrivateKeySource.scheme(of: text) else {
      self = .file(text)
      return
    }
    guard scheme == "file" else {
      self = .store(text)
      return
    }
    var path = text.dropFirst(scheme.count + 1)
    // An authority, which RFC 8089 allows to be empty or this machine.
    if path.hasPrefix("//localhost/") { path = path.dropFirst("//localhost".count) }
    if path.hasPrefix("//") { path = path.dropFirst(2) }
    self = .file(path.removingPercentEncoding ?? String(path))
  }

  /// The key of a directory: what `keyPath` followed by `.uri` says, if that file exists, and the file `keyPath` otherwise.
  ///
  /// The `.uri` file holds one line, a URI of at most 4 KiB, and may be written by nobody but its owner: whoever writes it
  /// decides which key is used. Whether the key exists is found out when it is loaded.
  ///
  /// - Throws: ``CredentialError/keyAccess(_:)`` with `keyNamedTwice`, `uriFileWritable`, `uriMalformed` or `pinInURI`;
  ///   `fileUnreadable`; `fileTooLarge`.
  public static func resolve(keyPath: String) throws(CredentialError) -> PrivateKeySource {
    let uriPath = keyPath + ".uri"
    var information = stat()
    guard lstat(uriPath, &information) == 0 else {
      guard errno == ENOENT || errno == ENOTDIR else {
        throw .fileUnreadable(path: uriPath, reason: OpenSSLSupport.systemReason(errno))
      }
      return .file(keyPath)
    }
    guard lstat(keyPath, &information) != 0 else {
      throw .keyAccess(.keyNamedTwice(path: keyPath, uriPath: uriPath))
    }
    let source = PrivateKeySource(try readURI(uriPath))
    if case .store(let uri) = source { try StoreURI.requireNoPIN(in: uri) }
    return source
  }

  private static func readURI(_ path: String) throws(CredentialError) -> String {
    let (descriptor, mode) = try RegularFile.open(path, maximum: maximumURIByteCount)
    defer { close(descriptor) }
    guard mode & 0o022 == 0 else { throw .keyAccess(.uriFileWritable(path: path, mode: mode)) }
    let bytes = try RegularFile.read(descriptor, path: path, maximum: maximumURIByteCount)
    let text = String(decoding: bytes, as: UTF8.self).trimmingCharacters(in: .whitespacesAndNewlines)
    guard scheme(of: text) != nil else {
      throw .keyAccess(.uriMalformed(source: path, reason: "it does not start with a scheme such as pkcs11:"))
    }
    return text
  }

  /// The URI's scheme in lower case (RFC 3986, section 3.1), or `nil` for a path.
  static func scheme(of text: String) -> String? {
    let scheme = text.prefix { $0.isASCII && ($0.isLetter || $0.isNumber || "+-.".contains($0)) }
    let isURI = scheme.count > 1 && scheme.first?.isLetter == true && text.dropFirst(scheme.count).hasPrefix(":")
    return isURI ? scheme.lowercased() : nil
  }

  /// The path; or the URI's scheme, followed for a token by the labels of token and object alone. Everything else in a
  /// URI may be, or may by mistake hold, a secret.
  public var description: String {
    switch self {
    case .file(let path): path
    case .store(let uri): StoreURI.description(of: uri)
    }
  }
}
