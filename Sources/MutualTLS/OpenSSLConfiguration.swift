import COpenSSL
import Foundation

/// The system's OpenSSL configuration: `openssl.cnf` in OpenSSL's directory, or the file that `OPENSSL_CONF` names.
///
/// It is honoured as a whole: providers, default properties such as `fips=yes`, engines, and the section for libssl with a
/// stricter security level. By itself OpenSSL passes over what is wrong in that file, and would then work without the
/// provider or the restriction that somebody put there; here that is an error.
public enum OpenSSLConfiguration {
  /// Loads the configuration once a process; later calls give the same answer.
  ///
  /// Finds: a file that `OPENSSL_CONF` names and that is missing; malformed lines; modules (such as engines) that cannot be
  /// set up, if this is called before anything else uses OpenSSL; providers that were to be activated and are not there;
  /// settings for libssl that it does not know or whose value it does not take; a configuration that leaves no cipher.
  ///
  /// - Throws: `configuration`.
  public static func check() throws(CredentialError) { try outcome.get() }

  private static let outcome = Result { () throws(CredentialError) in try load() }

  private static func load() throws(CredentialError) {
    guard let pointer = CONF_get1_default_config_file() else { throw failure("unknown") }
    let path = String(cString: pointer)
    CRYPTO_free(pointer, nil, 0)
    // Set to nothing, OPENSSL_CONF means that no file is wanted.
    let file = path.isEmpty ? nil : try ConfigurationFile(path: path)
    guard let settings = OPENSSL_INIT_new() else { throw failure(path) }
    defer { OPENSSL_INIT_free(settings) }
    // The library's own flags without CONF_MFLAGS_IGNORE_RETURN_CODES.
    OPENSSL_INIT_set_config_file_flags(settings, UInt(CONF_MFLAGS_DEFAULT_SECTION | CONF_MFLAGS_IGNORE_MISSING_FILE))
    ERR_clear_error()
    guard OPENSSL_init_crypto(UInt64(OPENSSL_INIT_LOAD_CONFIG), settings) == 1 else { throw failure(path) }
    ERR_clear_error()
    guard let context = SSL_CTX_new(TLS_method()) else { throw failure(path) }
    defer { SSL_CTX_free(context) }
    ERR_clear_error()
    try file?.requireProviders()
    try file?.requireSettings(of: context)
  }

  fileprivate static func failure(_ path: String) -> CredentialError {
    .configuration(path: path, detail: OpenSSLSupport.takeErrorDetail())
  }
}

/// The file as it stands, for what OpenSSL does not report when it acts on it.
private final class ConfigurationFile {
  private let path: String
  private let handle: UnsafeMutablePointer<CONF>
  /// The section that `openssl_conf` names.
  private let modules: String?

  init?(path: String) throws(CredentialError) {
    guard FileManager.default.fileExists(atPath: path) else {
      guard getenv("OPENSSL_CONF") != nil else { return nil }
      throw .configuration(path: path, detail: "there is no such file")
    }
    ERR_clear_error()
    guard let handle = NCONF_new(nil) else { throw OpenSSLConfiguration.failure(path) }
    var line = 0
    guard NCONF_load(handle, path, &line) > 0 else {
      NCONF_free(handle)
      let detail = OpenSSLSupport.takeErrorDetail()
      throw .configuration(path: path, detail: line > 0 ? "line \(line): \(detail)" : detail)
    }
    self.path = path
    self.handle = handle
    modules = ConfigurationFile.value("openssl_conf", of: nil, in: handle)
  }

  deinit { NCONF_free(handle) }

  /// A provider that cannot be loaded is no error to the library.
  func requireProviders() throws(CredentialError) {
    guard let section = value("providers", of: modules) else { return }
    for (name, settings) in entries(of: section) {
      let isActivated = entries(of: settings).contains { $0.name == "activate" && !Self.isNegative($0.value) }
      let identity = value("identity", of: settings) ?? name
      guard !isActivated || OSSL_PROVIDER_available(nil, identity) == 1 else {
        throw .configuration(path: path, detail: "the provider \(identity) is not available")
      }
    }
    ERR_clear_error()
  }

  /// Nor is a setting for libssl that it cannot follow.
  func requireSettings(of context: OpaquePointer) throws(CredentialError) {
    guard let libssl = value("ssl_conf", of: modules), let section = value("system_default", of: libssl) else { return }
    guard let commands = SSL_CONF_CTX_new() else { throw OpenSSLConfiguration.failure(path) }
    defer { SSL_CONF_CTX_free(commands) }
    SSL_CONF_CTX_set_flags(commands, UInt32(SSL_CONF_FLAG_FILE | SSL_CONF_FLAG_CLIENT | SSL_CONF_FLAG_SERVER))
    SSL_CONF_CTX_set_ssl_ctx(commands, context)
    for (name, value) in entries(of: section) {
      // What is before a point only makes the name unique.
      let command = name.split(separator: ".", maxSplits: 1).last.map(String.init) ?? name
      let isAccepted = SSL_CONF_cmd(commands, command, value) > 0
      ERR_clear_error()
      guard isAccepted else {
        throw .configuration(path: path, detail: "libssl does not take \(command) = \(value)")
      }
    }
  }

  private func value(_ name: String, of section: String?) -> String? {
    section.flatMap { ConfigurationFile.value(name, of: $0, in: handle) }
  }

  private static func value(_ name: String, of section: String?, in handle: UnsafeMutablePointer<CONF>) -> String? {
    defer { ERR_clear_error() }
    return NCONF_get_string(handle, section, name).map { String(cString: $0) }
  }

  private func entries(of section: String) -> [(name: String, value: String)] {
    let values = NCONF_get_section(handle, section)
    ERR_clear_error()
    return (0..<max(0, OPENSSL_sk_num(values))).compactMap { index in
      guard let entry = OPENSSL_sk_value(values, index)?.assumingMemoryBound(to: CONF_VALUE.self),
        let name = entry.pointee.name, let value = entry.pointee.value
      else { return nil }
      return (String(cString: name), String(cString: value))
    }
  }

  private static func isNegative(_ value: String) -> Bool {
    ["0", "no", "false", "off"].contains(value.lowercased())
  }
}
