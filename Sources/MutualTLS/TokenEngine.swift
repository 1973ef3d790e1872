import COpenSSL
import Synchronization

/// Keys in tokens through the engine `pkcs11` of libp11, for systems without a provider for them.
///
/// The engine finds the module through p11-kit, the environment variable `PKCS11_MODULE_PATH`, or an engine section of
/// OpenSSL's configuration. It keeps the PIN for as long as the process lives, and logs in once a token.
enum TokenEngine {
  private struct State {
    /// The engine's address. Opened once and never closed: keys hold pointers into it.
    var engine: UInt?
    /// Whether a login has succeeded, after which no PIN is asked for.
    var hasLoggedIn = false
  }

  private static let state = Mutex(State())

  /// - Throws: ``CredentialError/keyAccess(_:)``, `keyNotFound`.
  static func load(_ uri: String, source: String, pin: Passphrase?) throws(CredentialError) -> OpaquePointer {
    try state.withLock { (state) throws(CredentialError) in try load(uri, source: source, pin: pin, &state) }
  }

  private static func load(
    _ uri: String, source: String, pin: Passphrase?, _ state: inout State
  ) throws(CredentialError) -> OpaquePointer {
    ERR_clear_error()
    if state.engine == nil { state.engine = mutual_tls_open_engine(TokenURI.scheme).map { UInt(bitPattern: $0) } }
    guard let engine = state.engine.flatMap({ UnsafeMutableRawPointer(bitPattern: $0) }) else {
      ERR_clear_error()
      throw .keyAccess(.noLoader(scheme: TokenURI.scheme))
    }
    ERR_clear_error()
    let prompt = PassphrasePrompt(pin)
    let key = try prompt.withMethod { (method, data) throws(CredentialError) in
      mutual_tls_load_engine_key(engine, uri, method, data)
    }
    if let key {
      ERR_clear_error()
      state.hasLoggedIn = true
      return key
    }
    throw problem(prompt, source: source, hasPIN: pin != nil, &state)
  }

  /// The engine says "object not found" for most failures; whether it came to ask for a PIN tells them apart.
  private static func problem(
    _ prompt: PassphrasePrompt, source: String, hasPIN: Bool, _ state: inout State
  ) -> CredentialError {
    let failure = TokenFailure.take { code in
      ERR_lib_error_string(code).map { String(cString: $0) } == "PKCS#11 module"
    }
    switch failure {
    case .pinLocked: return .keyAccess(.pinLocked(source: source))
    case .pinWrong: return .keyAccess(.pinWrong(source: source))
    case .other(let detail): return .keyNotFound(source: source, detail: detail)
    case .notFound:
      if prompt.wasAsked && !hasPIN { return .keyAccess(.pinMissing(source: source)) }
      if prompt.didNotFit { return .keyAccess(.pinWrong(source: source)) }
      if prompt.wasAsked { state.hasLoggedIn = true }
      return .keyAccess(
        prompt.wasAsked || state.hasLoggedIn ? .keyNotInToken(source: source) : .tokenAbsent(source: source))
    }
  }
}
