import Cryptography

/// What can be wrong with a key, a certificate, a request or a configuration made of them.
///
/// Messages name files and public facts; they never hold key material.
public enum CredentialError: BlamedError, Hashable {
  case fileUnreadable(path: String, reason: String)
  case fileTooLarge(path: String, maximum: Int)
  /// A private key that its group or others may read, write or execute. `mode` is the file's permission bits.
  case keyExposed(path: String, mode: UInt16)
  case keyFileExists(path: String)
  case keyFileUnwritable(path: String, reason: String)
  /// A ``KeyLog``.
  case keyLogUnwritable(path: String, reason: String)
  /// The way to the key: a passphrase, a PIN, a token, a URI.
  case keyAccess(KeyAccessProblem)
  case keyNotFound(source: String, detail: String)
  case keyTooWeak(securityBits: Int)
  case keyDoesNotMatchCertificate
  case inputTooLarge(what: String, maximum: Int)
  case tooManyCertificates(maximum: Int)
  case notACertificate(detail: String)
  case notARequest(detail: String)
  case requestSignatureInvalid
  case nameMismatch(expected: String, found: [String])
  case notAnAuthority(subject: String)
  /// A certificate of somebody else's authority that does not serve.
  case defect(CertificateDefect)
  case invalidAddress(String)
  case invalidValidity(detail: String)
  /// OpenSSL's own configuration file.
  case configuration(path: String, detail: String)
  case library(operation: String, detail: String)

  public var code: String {
    switch self {
    case .fileUnreadable: "credential-file-unreadable"
    case .fileTooLarge: "credential-file-too-large"
    case .keyExposed: "private-key-exposed"
    case .keyFileExists: "private-key-exists"
    case .keyFileUnwritable: "private-key-unwritable"
    case .keyLogUnwritable: "key-log-unwritable"
    case .keyAccess(let problem): problem.code
    case .keyNotFound: "private-key-not-found"
    case .keyTooWeak: "key-too-weak"
    case .keyDoesNotMatchCertificate: "key-certificate-mismatch"
    case .inputTooLarge: "credential-too-large"
    case .tooManyCertificates: "certificates-too-many"
    case .notACertificate: "certificate-malformed"
    case .notARequest: "certificate-request-malformed"
    case .requestSignatureInvalid: "certificate-request-signature-invalid"
    case .nameMismatch: "certificate-name-mismatch"
    case .notAnAuthority: "certificate-not-an-authority"
    case .defect(let defect): defect.code
    case .invalidAddress: "certificate-address-invalid"
    case .invalidValidity: "certificate-validity-invalid"
    case .configuration: "openssl-configuration-invalid"
    case .library: "openssl-failure"
    }
  }

  public var blame: Blame {
    switch self {
    case .fileUnreadable, .fileTooLarge, .keyExposed, .keyFileExists, .keyFileUnwritable, .keyLogUnwritable,
      .keyAccess, .keyNotFound, .keyDoesNotMatchCertificate, .configuration, .library:
      .local
    case .keyTooWeak, .inputTooLarge, .tooManyCertificates, .notACertificate, .notARequest, .requestSignatureInvalid,
      .nameMismatch, .defect:
      .peer
    case .notAnAuthority, .invalidAddress, .invalidValidity: .caller
    }
  }

  public var message: String {
    switch self {
    case .fileUnreadable(let path, let reason): "\(path) cannot be read: \(reason)."
    case .fileTooLarge(let path, let maximum): "\(path) is larger than the \(maximum) bytes allowed here."
    case .keyExposed(let path, let mode):
      "The private key \(path) has mode 0\(String(mode, radix: 8)): others than its owner have access to it."
    case .keyFileExists(let path): "\(path) exists already; a private key is never overwritten."
    case .keyFileUnwritable(let path, let reason): "The private key \(path) cannot be written: \(reason)."
    case .keyLogUnwritable(let path, let reason):
      "The file \(path) for the secrets of TLS connections cannot be created: \(reason)."
    case .keyAccess(let problem): problem.message
    case .keyNotFound(let source, let detail): "No private key could be loaded from \(source): \(detail)."
    case .keyTooWeak(let bits): "The public key has a strength of \(bits) bits; at least 112 are required."
    case .keyDoesNotMatchCertificate: "The private key does not belong to the certificate."
    case .inputTooLarge(let what, let maximum): "The \(what) is larger than the \(maximum) bytes allowed."
    case .tooManyCertificates(let maximum): "There are more than the \(maximum) certificates allowed here."
    case .notACertificate(let detail): "This is not an X.509 certificate in PEM form: \(detail)."
    case .notARequest(let detail): "This is not a PKCS #10 certificate request in PEM form: \(detail)."
    case .requestSignatureInvalid: "The certificate request is not signed by the key that it holds."
    case .nameMismatch(let expected, let found):
      "The name should be \(expected), but it is \(found.isEmpty ? "missing" : found.joined(separator: ", "))."
    case .notAnAuthority(let subject): "The certificate of \(subject) is not that of a certificate authority."
    case .defect(let defect): defect.message
    case .invalidAddress(let text): "\(text) is not an IP address."
    case .invalidValidity(let detail): "The validity is impossible: \(detail)."
    case .configuration(let path, let detail): "OpenSSL's configuration \(path) cannot be used: \(detail)."
    case .library(let operation, let detail): "OpenSSL could not \(operation): \(detail)."
    }
  }

  public var remedy: String {
    switch self {
    case .fileUnreadable: "Check that the path is right and that this user may read it."
    case .fileTooLarge, .inputTooLarge: "Check that this is the file you meant."
    case .keyExposed(let path, _): "Run `chmod 600 \(path)`; if others may have read it, replace the key."
    case .keyFileExists: "Choose another path, or move the old key away first."
    case .keyFileUnwritable: "Check the directory's permissions and the space left."
    case .keyLogUnwritable: "Choose a path where there is no file yet, in a directory of your own."
    case .keyAccess(let problem): problem.remedy
    case .keyNotFound: "Give a PEM file with one private key, or the URI of a store that OpenSSL has a loader for."
    case .keyTooWeak: "Generate an EC P-256 key, or RSA of at least 2048 bits."
    case .keyDoesNotMatchCertificate: "Give the key with which the certificate was requested."
    case .tooManyCertificates: "Leave only those that are needed: a certificate and its intermediates, or authorities."
    case .notACertificate: "Give the file that starts with -----BEGIN CERTIFICATE-----."
    case .notARequest: "Give the file that starts with -----BEGIN CERTIFICATE REQUEST-----."
    case .requestSignatureInvalid: "Ask for the request again: it was damaged or altered on its way."
    case .nameMismatch: "Make the request or certificate again with the name under which the federation knows it."
    case .notAnAuthority: "Give the certificate of the federation's certificate authority."
    case .defect(let defect): defect.remedy
    case .invalidAddress: "Give IPv4 or IPv6 addresses such as 192.0.2.7 or 2001:db8::7."
    case .invalidValidity: "Choose dates within the authority's own validity."
    case .configuration:
      "Mend the file, or name another one in the environment variable OPENSSL_CONF; nothing is done without what it asks for."
    case .library: "Check the OpenSSL installation and its configuration file."
    }
  }
}
