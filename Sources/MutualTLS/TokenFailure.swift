import COpenSSL

/// Why a token gave no key, as far as OpenSSL's error queue tells.
enum TokenFailure {
  case pinWrong, pinLocked, notFound
  case other(String)

  /// Empties this thread's error queue. What is said of a PIN goes before everything else: more errors follow from it.
  ///
  /// - Parameter isTokens: whether an error's library gives reasons of PKCS #11 (section 6.3, the values CKR_…).
  static func take(where isTokens: (UInt) -> Bool) -> TokenFailure {
    var failure = TokenFailure.notFound
    while true {
      let code = ERR_get_error()
      if code == 0 { return failure }
      failure = failure.followed(by: reason(of: code, isTokens: isTokens(code)))
    }
  }

  private static func reason(of code: UInt, isTokens: Bool) -> TokenFailure {
    let reason = ERR_GET_REASON(code)
    if ERR_GET_LIB(code) == ERR_LIB_UI {
      // The user interface refuses what is shorter than four bytes before the token sees it.
      return reason == UI_R_RESULT_TOO_SMALL || reason == UI_R_RESULT_TOO_LARGE ? .pinWrong : .notFound
    }
    guard isTokens else { return .notFound }
    return switch reason {
    // CKR_PIN_INCORRECT, CKR_PIN_INVALID, CKR_PIN_LEN_RANGE
    case 0xA0...0xA2: .pinWrong
    // CKR_PIN_EXPIRED, CKR_PIN_LOCKED
    case 0xA3...0xA4: .pinLocked
    default: .other(OpenSSLSupport.reason(of: code))
    }
  }

  private func followed(by next: TokenFailure) -> TokenFailure {
    switch (self, next) {
    case (.pinLocked, _), (_, .pinLocked): .pinLocked
    case (.pinWrong, _), (_, .pinWrong): .pinWrong
    case (_, .notFound): self
    case (.notFound, .other), (.other, .other): next
    }
  }
}
