import COpenSSL
import Foundation

/// The system's OpenSSL configuration: `openssl.cnf` in OpenSSL's directory, or the file that `OPENSSL_CONF` names.
///
/// It is honoured as a whole: providers, default properties such as `fips=yes`, engines, and the section for libssl with a
/// stricter security level. By itself OpenSSL passes over what is wrong in that file, and would then work without the
/// provider or the restriction that somebody put there; here that is an error.
public enum OpenSSLConfiguration {
  /// Loads the configuration with every error reported, once a process; later calls give the same answer.
  ///
  /// Best called before anything else uses OpenSSL: once the library has loaded the file by itself, only malformed lines,
  /// bad values in the section for libssl, and what the file's own `config_diagnostics = 1` reports can still be found.
  ///
  /// - Throws: `configuration`.
  public static func check() throws(CredentialError) { try outcome.get() }

  private static let outcome = Result { () throws(CredentialError) in try load() }

  private static func load() throws(CredentialError) {
    guard let pointer = CONF_get1_default_config_file() else { throw failure("unknown") }
    let path = String(cString: pointer)
    CRYPTO_free(pointer, nil, 0)
    // Set to nothing, OPENSSL_CONF means that no file is wanted.
    if !path.isEmpty { try parse(path) }
    guard let settings = OPENSSL_INIT_new() else { throw failure(path) }
    defer { OPENSSL_INIT_free(settings) }
    // The library's own flags without CONF_MFLAGS_IGNORE_RETURN_CODES.
    OPENSSL_INIT_set_config_file_flags(settings, UInt(CONF_MFLAGS_DEFAULT_SECTION | CONF_MFLAGS_IGNORE_MISSING_FILE))
    ERR_clear_error()
    guard OPENSSL_init_crypto(UInt64(OPENSSL_INIT_LOAD_CONFIG), settings) == 1 else { throw failure(path) }
    // libssl applies its section here, and tells of bad values in the error queue alone.
    ERR_clear_error()
    let context = SSL_CTX_new(TLS_method())
    SSL_CTX_free(context)
    guard context != nil, ERR_peek_error() == 0 else { throw failure(path) }
  }

  /// Finds a missing file that was asked for, and malformed lines.
  private static func parse(_ path: String) throws(CredentialError) {
    guard FileManager.default.fileExists(atPath: path) else {
      guard getenv("OPENSSL_CONF") != nil else { return }
      throw .configuration(path: path, detail: "there is no such file")
    }
    ERR_clear_error()
    guard let configuration = NCONF_new(nil) else { throw failure(path) }
    defer { NCONF_free(configuration) }
    var line = 0
    guard NCONF_load(configuration, path, &line) > 0 else {
      let detail = OpenSSLSupport.takeErrorDetail()
      throw .configuration(path: path, detail: line > 0 ? "line \(line): \(detail)" : detail)
    }
  }

  private static func failure(_ path: String) -> CredentialError {
    .configuration(path: path, detail: OpenSSLSupport.takeErrorDetail())
  }
}
