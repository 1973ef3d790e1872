import COpenSSL
import Cryptography
import Foundation

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
    try OpenSSLConfiguration.check()
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
  ///
  /// - Parameter passphrase: encrypts the file: PKCS #8 with PBES2, a key from PBKDF2-HMAC-SHA-256, and AES-256-CBC.
  public static func generate(
    creatingFile path: String, passphrase: Passphrase? = nil
  ) throws(CredentialError) -> PrivateKey {
    let key = try generate()
    try key.write(creatingFile: path, passphrase: passphrase)
    return key
  }

  /// Loads a key.
  ///
  /// A `pkcs11:` URI goes to a provider that has a store for it, where OpenSSL's configuration loads one, and to the
  /// engine `pkcs11` otherwise. A key in a token stays there: every signature asks the token, and blocks its thread for
  /// as long as that takes.
  ///
  /// - Parameter passphrase: opens an encrypted file; is the PIN of a token, before a file that the URI's `pin-source`
  ///   names. Not used if the key needs none.
  /// - Throws: `keyExposed` when others than the owner have any access to the file;
  ///   ``CredentialError/keyAccess(_:)`` when passphrase, token or key in it are missing or wrong; `keyNotFound`.
  public init(loading source: PrivateKeySource, passphrase: Passphrase? = nil) throws(CredentialError) {
    try OpenSSLConfiguration.check()
    switch source {
    case .file(let path): handle = try PrivateKey.load(file: path, passphrase: passphrase)
    case .store(let uri): handle = try PrivateKey.load(store: uri, passphrase: passphrase)
    }
  }

  /// SHA-256 of the public key's SubjectPublicKeyInfo: the value that a manifest pins.
  public var publicKeyHash: CertificateKeyHash {
    get throws(CredentialError) { try SubjectPublicKey.hash(ofKey: handle) }
  }

  static func failure(_ operation: String) -> CredentialError {
    .library(operation: operation, detail: OpenSSLSupport.takeErrorDetail())
  }
}

// MARK: - Loading

extension PrivateKey {
  private static func load(file path: String, passphrase: Passphrase?) throws(CredentialError) -> OpaquePointer {
    let (descriptor, mode) = try RegularFile.open(path, maximum: maximumFileByteCount)
    defer { close(descriptor) }
    guard mode & 0o077 == 0 else { throw .keyExposed(path: path, mode: mode) }
    ERR_clear_error()
    guard let bio = BIO_new_fd(descriptor, BIO_NOCLOSE) else { throw failure("read \(path)") }
    defer { BIO_free(bio) }
    let prompt = PassphrasePrompt(passphrase)
    let key = try firstKey(prompt) { OSSL_STORE_attach(bio, "file", nil, nil, $0, $1, nil, nil, nil) }
    let detail = OpenSSLSupport.takeErrorDetail()
    if let key { return key }
    guard prompt.wasAsked else { throw .keyNotFound(source: path, detail: detail) }
    throw .keyAccess(passphrase == nil ? .passphraseMissing(path: path) : .passphraseWrong(path: path))
  }

  private static func load(store uri: String, passphrase: Passphrase?) throws(CredentialError) -> OpaquePointer {
    // What says `file:` in any way is judged as a file.
    if case .file(let path) = PrivateKeySource(uri) { return try load(file: path, passphrase: passphrase) }
    let source = PrivateKeySource.store(uri).description
    let scheme = PrivateKeySource.scheme(of: uri) ?? ""
    guard scheme == TokenURI.scheme else {
      try StoreURI.requirePlain(uri)
      guard hasStoreLoader(for: scheme) else { throw .keyAccess(.noLoader(scheme: scheme)) }
      return try load(fromProviderStore: uri, source: source, passphrase: passphrase)
    }
    let token = try TokenURI(uri)
    var pin = passphrase
    if pin == nil, let path = token.pinFile { pin = try Passphrase.read(fromFile: path) }
    if hasStoreLoader(for: scheme) {
      return try load(fromProviderStore: token.object, source: source, passphrase: pin)
    }
    return try TokenEngine.load(token.object, source: source, pin: pin)
  }

  private static func hasStoreLoader(for scheme: String) -> Bool {
    let loader = OSSL_STORE_LOADER_fetch(nil, scheme, nil)
    ERR_clear_error()
    OSSL_STORE_LOADER_free(loader)
    return loader != nil
  }

  private static func load(
    fromProviderStore uri: String, source: String, passphrase: Passphrase?
  ) throws(CredentialError) -> OpaquePointer {
    ERR_clear_error()
    let prompt = PassphrasePrompt(passphrase)
    let key = try firstKey(prompt) { OSSL_STORE_open_ex(uri, nil, nil, $0, $1, nil, nil, nil) }
    let detail = OpenSSLSupport.reason(of: ERR_peek_error())
    // A provider's errors have its own library, with reasons of PKCS #11 if it is one for tokens.
    let isToken = PrivateKeySource.scheme(of: uri) == TokenURI.scheme
    let failure = TokenFailure.take { isToken && ERR_GET_LIB($0) >= ERR_LIB_USER }
    if let key { return key }
    if prompt.wasAsked && passphrase == nil { throw .keyAccess(.pinMissing(source: source)) }
    if prompt.didNotFit { throw .keyAccess(.pinWrong(source: source)) }
    switch failure {
    case .pinLocked: throw .keyAccess(.pinLocked(source: source))
    case .pinWrong: throw .keyAccess(.pinWrong(source: source))
    case .notFound, .other: throw .keyNotFound(source: source, detail: detail)
    }
  }

  /// The first private key of a store that `open` opens with a user interface method and its data.
  private static func firstKey(
    _ prompt: PassphrasePrompt, _ open: (OpaquePointer, UnsafeMutableRawPointer) -> OpaquePointer?
  ) throws(CredentialError) -> OpaquePointer? {
    try prompt.withMethod { (method, data) throws(CredentialError) in
      guard let store = open(method, data) else { return nil }
      defer { OSSL_STORE_close(store) }
      _ = OSSL_STORE_expect(store, OSSL_STORE_INFO_PKEY)
      while OSSL_STORE_eof(store) == 0, let information = OSSL_STORE_load(store) {
        defer { OSSL_STORE_INFO_free(information) }
        if OSSL_STORE_INFO_get_type(information) == OSSL_STORE_INFO_PKEY {
          return OSSL_STORE_INFO_get1_PKEY(information)
        }
      }
      return nil
    }
  }
}

// MARK: - Writing

extension PrivateKey {
  /// Rounds of PBKDF2-HMAC-SHA-256: what OWASP asked for in 2023; about a quarter of a second.
  static let derivationRounds: Int32 = 600_000
  /// Bytes of salt: what NIST SP 800-132 asks for.
  private static let saltByteCount: Int32 = 16

  /// Writes the key as PKCS #8 PEM to a new file with mode 0600, encrypted if there is a passphrase.
  func write(creatingFile path: String, passphrase: Passphrase? = nil) throws(CredentialError) {
    ERR_clear_error()
    // Memory of this BIO is cleared when it is freed.
    guard let bio = BIO_new(BIO_s_secmem()) else { throw PrivateKey.failure("encode the key") }
    defer { BIO_free(bio) }
    let isEncoded =
      if let passphrase { encode(into: bio, passphrase: passphrase) } else {
        PEM_write_bio_PKCS8PrivateKey(bio, handle, nil, nil, 0, nil, nil) == 1
      }
    guard isEncoded else { throw PrivateKey.failure("encode the key") }
    let count = BIO_ctrl_pending(bio)
    var pem = SecretBytes(count: count)
    let read = pem.withUnsafeMutableBytes { BIO_read(bio, $0.baseAddress, Int32($0.count)) }
    guard Int(read) == count else { throw PrivateKey.failure("encode the key") }
    try pem.withUnsafeBytes { (bytes) throws(CredentialError) in
      try NewFile.create(path, contents: bytes)
    }
  }

  /// PEM_write_bio_PKCS8PrivateKey would derive the encryption key with 2,048 rounds.
  private func encode(into bio: OpaquePointer, passphrase: Passphrase) -> Bool {
    guard let plain = EVP_PKEY2PKCS8(handle) else { return false }
    defer { PKCS8_PRIV_KEY_INFO_free(plain) }
    let scheme = PKCS5_pbe2_set_iv(
      EVP_aes_256_cbc(), PrivateKey.derivationRounds, nil, PrivateKey.saltByteCount, nil, NID_hmacWithSHA256)
    guard let scheme else { return false }
    let encrypted = passphrase.withUnsafeBytes { bytes in
      PKCS8_set0_pbe(bytes.bindMemory(to: CChar.self).baseAddress, Int32(bytes.count), plain, scheme)
    }
    guard let encrypted else {
      // Taken over only on success.
      X509_ALGOR_free(scheme)
      return false
    }
    defer { X509_SIG_free(encrypted) }
    return PEM_write_bio_PKCS8(bio, encrypted) == 1
  }
}
