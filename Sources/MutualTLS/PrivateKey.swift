import COpenSSL
import Cryptography
import Foundation

/// Where a private key is kept.
public enum PrivateKeySource: Sendable, Hashable, CustomStringConvertible {
  /// A PEM file with mode 0600 (or stricter).
  case file(String)
  /// A URI for OpenSSL's store loaders, such as `pkcs11:` or `file:`.
  case store(String)

  /// A path, or a URI if the text starts with a scheme of at least two characters and a colon.
  public init(_ text: String) {
    let scheme = text.prefix { $0.isASCII && ($0.isLetter || $0.isNumber || "+-.".contains($0)) }
    let isURI = scheme.count > 1 && scheme.first?.isLetter == true && text.dropFirst(scheme.count).hasPrefix(":")
    if isURI && scheme.lowercased() == "file" {
      var path = text.dropFirst(scheme.count + 1)
      if path.hasPrefix("//") { path = path.dropFirst(2) }
      self = .file(String(path))
    } else {
      self = isURI ? .store(text) : .file(text)
    }
  }

  /// The path, or the URI up to its attributes, which may hold a PIN.
  public var description: String {
    switch self {
    case .file(let path): path
    case .store(let uri): String(uri.prefix { $0 != "?" })
    }
  }
}

/// A private key for TLS or a certificate authority. The key itself stays inside libcrypto.
public final class PrivateKey: Sendable {
  /// Largest key file that is read, in bytes.
  public static let maximumFileByteCount = 64 * 1024

  // An EVP_PKEY is reference counted atomically and is not altered after this object is made.
  nonisolated(unsafe) let handle: OpaquePointer

  /// Takes over one reference.
  init(adopting handle: OpaquePointer) { self.handle = handle }

  deinit { EVP_PKEY_free(handle) }

  /// Generates an EC key on P-256.
  public static func generate() throws(CredentialError) -> PrivateKey {
    ERR_clear_error()
    guard let context = EVP_PKEY_CTX_new_from_name(nil, "EC", nil) else { throw failure("prepare key generation") }
    defer { EVP_PKEY_CTX_free(context) }
    var key: OpaquePointer?
    guard EVP_PKEY_keygen_init(context) == 1, EVP_PKEY_CTX_set_group_name(context, "P-256") == 1,
      EVP_PKEY_generate(context, &key) == 1, let key
    else { throw failure("generate a key") }
    return PrivateKey(adopting: key)
  }

  /// Generates an EC P-256 key and writes it to a new PEM file with mode 0600.
  ///
  /// The file appears complete or not at all, and an existing file is never replaced.
  public static func generate(creatingFile path: String) throws(CredentialError) -> PrivateKey {
    let key = try generate()
    try key.write(creatingFile: path)
    return key
  }

  /// Loads a key. Throws `keyExposed` when others than the owner have any access to the file.
  public init(loading source: PrivateKeySource) throws(CredentialError) {
    switch source {
    case .file(let path): handle = try PrivateKey.load(file: path)
    case .store(let uri): handle = try PrivateKey.load(store: uri, described: source.description)
    }
  }

  /// SHA-256 of the public key's SubjectPublicKeyInfo: the value that a manifest pins.
  public var publicKeyHash: CertificateKeyHash {
    get throws(CredentialError) { try SubjectPublicKey.hash(ofKey: handle) }
  }

  private static func failure(_ operation: String) -> CredentialError {
    .library(operation: operation, detail: OpenSSLSupport.takeErrorDetail())
  }
}

// MARK: - Loading

extension PrivateKey {
  private static func load(file path: String) throws(CredentialError) -> OpaquePointer {
    let descriptor = open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else {
      throw .fileUnreadable(path: path, reason: OpenSSLSupport.systemReason(errno))
    }
    defer { close(descriptor) }
    // Judged on the open file, so that it cannot be exchanged between check and use.
    var information = stat()
    guard fstat(descriptor, &information) == 0 else {
      throw .fileUnreadable(path: path, reason: OpenSSLSupport.systemReason(errno))
    }
    guard information.st_mode & S_IFMT == S_IFREG else {
      throw .fileUnreadable(path: path, reason: "not a regular file")
    }
    guard information.st_mode & 0o077 == 0 else {
      throw .keyExposed(path: path, mode: UInt16(truncatingIfNeeded: information.st_mode & 0o7777))
    }
    guard information.st_size <= maximumFileByteCount else {
      throw .fileTooLarge(path: path, maximum: maximumFileByteCount)
    }
    ERR_clear_error()
    guard let bio = BIO_new_fd(descriptor, BIO_NOCLOSE) else { throw failure("read \(path)") }
    defer { BIO_free(bio) }
    return try withoutPassphrase(source: path) { method, asked in
      OSSL_STORE_attach(bio, "file", nil, nil, method, asked, nil, nil, nil)
    }
  }

  private static func load(store uri: String, described source: String) throws(CredentialError) -> OpaquePointer {
    ERR_clear_error()
    return try withoutPassphrase(source: source) { method, asked in
      OSSL_STORE_open_ex(uri, nil, nil, method, asked, nil, nil, nil)
    }
  }

  /// Opens a store with a passphrase callback that always declines: a service has no terminal to ask at.
  private static func withoutPassphrase(
    source: String, _ open: (OpaquePointer?, UnsafeMutableRawPointer?) -> OpaquePointer?
  ) throws(CredentialError) -> OpaquePointer {
    let decliningMethod = UI_UTIL_wrap_read_pem_callback(
      { _, _, _, asked in
        asked?.assumingMemoryBound(to: Bool.self).pointee = true
        return -1
      }, 0)
    guard let method = decliningMethod else { throw failure("prepare loading a key") }
    defer { UI_destroy_method(method) }
    let asked = UnsafeMutablePointer<Bool>.allocate(capacity: 1)
    asked.initialize(to: false)
    defer { asked.deallocate() }

    var key: OpaquePointer?
    if let store = open(method, asked) {
      _ = OSSL_STORE_expect(store, OSSL_STORE_INFO_PKEY)
      while key == nil && OSSL_STORE_eof(store) == 0 {
        guard let information = OSSL_STORE_load(store) else { break }
        if OSSL_STORE_INFO_get_type(information) == OSSL_STORE_INFO_PKEY {
          key = OSSL_STORE_INFO_get1_PKEY(information)
        }
        OSSL_STORE_INFO_free(information)
      }
      OSSL_STORE_close(store)
    }
    let detail = OpenSSLSupport.takeErrorDetail()
    if let key { return key }
    throw asked.pointee ? .keyEncrypted(source: source) : .keyNotFound(source: source, detail: detail)
  }
}

// MARK: - Writing

extension PrivateKey {
  /// Writes the key as unencrypted PKCS #8 PEM to a new file with mode 0600.
  func write(creatingFile path: String) throws(CredentialError) {
    ERR_clear_error()
    // Memory of this BIO is cleared when it is freed.
    guard let bio = BIO_new(BIO_s_secmem()) else { throw PrivateKey.failure("encode the key") }
    defer { BIO_free(bio) }
    guard PEM_write_bio_PKCS8PrivateKey(bio, handle, nil, nil, 0, nil, nil) == 1 else {
      throw PrivateKey.failure("encode the key")
    }
    let count = BIO_ctrl_pending(bio)
    var pem = SecretBytes(count: count)
    let read = pem.withUnsafeMutableBytes { BIO_read(bio, $0.baseAddress, Int32($0.count)) }
    guard Int(read) == count else { throw PrivateKey.failure("encode the key") }
    try pem.withUnsafeBytes { (bytes) throws(CredentialError) in
      try NewFile.create(path, contents: bytes)
    }
  }
}

/// Creation of a private file that appears complete or not at all.
enum NewFile {
  /// Writes to an exclusive temporary file beside `path`, syncs it, and links it into place.
  static func create(_ path: String, contents: UnsafeRawBufferPointer) throws(CredentialError) {
    let suffix = randomBytes(8).map { String($0, radix: 16) }.joined()
    let temporary = "\(path).\(suffix).new"
    let descriptor = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0o600)
    guard descriptor >= 0 else { throw unwritable(path) }
    defer { unlink(temporary) }
    var written = 0
    while written < contents.count {
      let count = write(descriptor, contents.baseAddress! + written, contents.count - written)
      if count < 0 && errno == EINTR { continue }
      guard count > 0 else {
        let error = unwritable(path)
        close(descriptor)
        throw error
      }
      written += count
    }
    let synced = fsync(descriptor) == 0
    guard close(descriptor) == 0, synced else { throw unwritable(path) }
    // Unlike rename, link fails when the name is taken.
    guard link(temporary, path) == 0 else {
      throw errno == EEXIST ? .keyFileExists(path: path) : unwritable(path)
    }
    let directory = open((path as NSString).deletingLastPathComponent.nonEmpty ?? ".", O_RDONLY | O_DIRECTORY)
    if directory >= 0 {
      fsync(directory)
      close(directory)
    }
  }

  private static func unwritable(_ path: String) -> CredentialError {
    .keyFileUnwritable(path: path, reason: OpenSSLSupport.systemReason(errno))
  }
}

extension String {
  fileprivate var nonEmpty: String? { isEmpty ? nil : self }
}
