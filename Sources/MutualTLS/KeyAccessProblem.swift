/// What can stand between this program and a private key that is encrypted or in a token.
///
/// Sources are paths, or URIs with nothing but a scheme and labels. No passphrase or PIN is ever in one.
public enum KeyAccessProblem: Sendable, Hashable {
  case passphraseMissing(path: String)
  case passphraseWrong(path: String)
  /// `source` names the descriptor or file that the passphrase was to come from.
  case passphraseUnreadable(source: String, reason: String)
  case passphraseEmpty(source: String)
  case passphraseTooLong(maximum: Int)
  /// A file with a PIN that others than its owner may access.
  case passphraseExposed(path: String, mode: UInt16)
  case pinMissing(source: String)
  case pinWrong(source: String)
  case pinLocked(source: String)
  case pinInURI(source: String)
  case tokenAbsent(source: String)
  case keyNotInToken(source: String)
  case noLoader(scheme: String)
  case uriMalformed(source: String, reason: String)
  case uriFileWritable(path: String, mode: UInt16)
  case keyNamedTwice(path: String, uriPath: String)
}

extension KeyAccessProblem {
  var code: String {
    switch self {
    case .passphraseMissing: "passphrase-missing"
    case .passphraseWrong: "passphrase-wrong"
    case .passphraseUnreadable: "passphrase-unreadable"
    case .passphraseEmpty: "passphrase-empty"
    case .passphraseTooLong: "passphrase-too-long"
    case .passphraseExposed: "passphrase-exposed"
    case .pinMissing: "pin-missing"
    case .pinWrong: "pin-wrong"
    case .pinLocked: "pin-locked"
    case .pinInURI: "pin-in-uri"
    case .tokenAbsent: "token-absent"
    case .keyNotInToken: "key-not-in-token"
    case .noLoader: "key-store-unsupported"
    case .uriMalformed: "key-uri-malformed"
    case .uriFileWritable: "key-uri-writable"
    case .keyNamedTwice: "private-key-named-twice"
    }
  }

  var message: String {
    switch self {
    case .passphraseMissing(let path): "The private key \(path) is encrypted, and no passphrase was given."
    case .passphraseWrong(let path): "The passphrase does not open the private key \(path)."
    case .passphraseUnreadable(let source, let reason): "The passphrase cannot be read from \(source): \(reason)."
    case .passphraseEmpty(let source): "The first line of \(source), which should be a passphrase, is empty."
    case .passphraseTooLong(let maximum): "The passphrase is longer than \(maximum) bytes."
    case .passphraseExposed(let path, let mode):
      "\(path), which holds a PIN, has mode 0\(String(mode, radix: 8)): others than its owner have access to it."
    case .pinMissing(let source): "The private key \(source) is in a token, and no PIN was given."
    case .pinWrong(let source): "The token with the private key \(source) does not accept the PIN."
    case .pinLocked(let source): "The PIN of the token with the private key \(source) is locked or has expired."
    case .pinInURI(let source): "The URI of the private key \(source) holds a PIN, where others can read it."
    case .tokenAbsent(let source): "No token that fits the URI of the private key \(source) is present."
    case .keyNotInToken(let source): "The token holds no private key that fits the URI \(source)."
    case .noLoader(let scheme):
      "This OpenSSL has neither provider nor engine that loads private keys from \(scheme): URIs."
    case .uriMalformed(let source, let reason): "The URI of a private key in \(source) is malformed: \(reason)."
    case .uriFileWritable(let path, let mode):
      "\(path), which names the private key, has mode 0\(String(mode, radix: 8)): others than its owner may change it."
    case .keyNamedTwice(let path, let uriPath): "Both \(path) and \(uriPath) exist; only one can be the private key."
    }
  }

  var remedy: String {
    switch self {
    case .passphraseMissing, .pinMissing:
      "Give it on a file descriptor: `--passphrase-fd 3 3<FILE`, or `--passphrase-fd 0` with the other end of a pipe."
    case .passphraseWrong: "Check which passphrase belongs to this file, and that its line holds nothing else."
    case .passphraseUnreadable: "Open the descriptor for reading, for example `--passphrase-fd 3 3<FILE`."
    case .passphraseEmpty: "Put the passphrase on the first line."
    case .passphraseTooLong: "Check that this is the descriptor you meant; the passphrase is its first line."
    case .passphraseExposed(let path, _): "Run `chmod 600 \(path)`; if others may have read it, change the PIN."
    case .pinWrong: "Check the PIN before you try again: most tokens lock themselves after a few wrong ones."
    case .pinLocked: "Unlock or set it with the token's own tool, as its security officer."
    case .pinInURI:
      "Take pin-value out and change the PIN. Give it with `--passphrase-fd`, or name a private file: ?pin-source=file:/PATH."
    case .tokenAbsent:
      "Connect the token; check its label with `p11tool --list-tokens` or `pkcs11-tool -L`, and that p11-kit or OpenSSL's "
        + "configuration names its module."
    case .keyNotInToken:
      "Check label and id with `pkcs11-tool --login --list-objects`; the URI takes them as object= and id=."
    case .noLoader(let scheme):
      scheme == TokenURI.scheme
        ? "Install libengine-pkcs11-openssl (Debian 12), or pkcs11-provider and load it in OpenSSL's configuration."
        : "Load a provider with a store for it in OpenSSL's configuration, or keep the key elsewhere."
    case .uriMalformed: "Write one URI on one line, such as pkcs11:token=LABEL;object=LABEL;type=private."
    case .uriFileWritable(let path, _): "Run `chmod 600 \(path)` after checking what it says."
    case .keyNamedTwice: "Keep the one whose certificate is pinned, and move the other away."
    }
  }
}
