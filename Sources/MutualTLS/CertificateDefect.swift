import Cryptography
import Foundation

/// Why a certificate that somebody else issued does not serve the member for whom it is meant.
public enum CertificateDefect: Sendable, Hashable {
  /// It was issued for another key than that of the request.
  case otherKey(expected: CertificateKeyHash, found: CertificateKeyHash)
  /// The subject alternative name lacks the member's name.
  case nameMissing(expected: OrganizationName, found: [String])
  /// Basic constraints or key usage make it an authority's.
  case isAuthority
  /// The key usage, which is there, lacks digitalSignature.
  case keyUsageLacksSignature
  /// The extended key usage is missing, or lacks `wanted`: clientAuth or serverAuth.
  case extendedKeyUsageLacks(wanted: String)
  case notYetValid(until: Date)
  case expired(since: Date)
  /// None of the authorities, nor an intermediate that came along, issued it.
  case unknownIssuer(issuer: String)
  /// Signed with the wrong key, or altered.
  case signatureInvalid(subject: String)
  /// A signature with SHA-1 or weaker, or a key below 112 bits of security, in the certificate of `subject`.
  case tooWeak(subject: String, detail: String)
  /// An issuer's certificate of the chain has expired or is not valid yet.
  case issuerOutOfDate(subject: String, detail: String)
  /// Anything else that the library finds in the chain, such as a path length or a name constraint.
  case chain(subject: String, detail: String)
}

extension CertificateDefect {
  var code: String {
    switch self {
    case .otherKey: "certificate-for-another-key"
    case .nameMissing: "certificate-name-missing"
    case .isAuthority: "certificate-is-an-authority"
    case .keyUsageLacksSignature: "certificate-key-usage"
    case .extendedKeyUsageLacks: "certificate-extended-key-usage"
    case .notYetValid: "certificate-not-yet-valid"
    case .expired: "certificate-expired"
    case .unknownIssuer: "certificate-issuer-unknown"
    case .signatureInvalid: "certificate-signature-invalid"
    case .tooWeak: "certificate-too-weak"
    case .issuerOutOfDate: "certificate-issuer-out-of-date"
    case .chain: "certificate-chain-invalid"
    }
  }

  var message: String {
    switch self {
    case .otherKey(let expected, let found):
      "The certificate is for the key \(found.hexadecimal), but the request holds \(expected.hexadecimal)."
    case .nameMissing(let expected, let found):
      "The subject alternative name of the certificate should hold DNS:\(expected), but it "
        + (found.isEmpty ? "holds no DNS name." : "holds \(found.joined(separator: ", ")).")
    case .isAuthority:
      "The basic constraints or the key usage of the certificate make it an authority's, which could issue others."
    case .keyUsageLacksSignature: "The key usage of the certificate lacks digitalSignature."
    case .extendedKeyUsageLacks(let wanted): "The extended key usage of the certificate is missing or lacks \(wanted)."
    case .notYetValid(let date): "The certificate is not valid before \(CertificateExpiry.text(of: date))."
    case .expired(let date): "The certificate expired on \(CertificateExpiry.text(of: date))."
    case .unknownIssuer(let issuer):
      "None of the authorities given issued the certificate; it names \(issuer.isEmpty ? "nobody" : issuer) as its issuer."
    case .signatureInvalid(let subject): "The signature in the certificate of \(subject) is not its issuer's."
    case .tooWeak(let subject, let detail): "The certificate of \(subject) is too weak: \(detail)."
    case .issuerOutOfDate(let subject, let detail): "The issuer's certificate of \(subject) cannot be used: \(detail)."
    case .chain(let subject, let detail):
      "The chain of the certificate is not accepted at the certificate of \(subject): \(detail)."
    }
  }

  var remedy: String {
    switch self {
    case .otherKey: "Have it issued from this very request, or give the request it was issued from."
    case .nameMissing(let expected, _): "Have it issued again with subjectAltName = DNS:\(expected)."
    case .isAuthority: "Have it issued again with basicConstraints = critical, CA:FALSE and without keyCertSign."
    case .keyUsageLacksSignature: "Have it issued again with keyUsage = critical, digitalSignature."
    case .extendedKeyUsageLacks(let wanted): "Have it issued again with extendedKeyUsage = \(wanted)."
    case .notYetValid: "Check the clocks of this machine and of the authority, or wait."
    case .expired: "Check this machine's clock; if it is right, have the certificate issued again."
    case .unknownIssuer:
      "Give the certificate of the authority that issued it, and append any intermediate's to the certificate's file."
    case .signatureInvalid:
      "Fetch the certificate and the authority's again; one of them was altered or belongs elsewhere."
    case .tooWeak: "Have it issued again with SHA-256 or better, for EC P-256 or RSA of at least 2048 bits."
    case .issuerOutOfDate:
      "Check this machine's clock; if it is right, the authority's own certificate must be renewed."
    case .chain: "Show this to whoever runs the authority; `openssl verify -show_chain` says more."
    }
  }
}
