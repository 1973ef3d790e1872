import Cryptography
import Federation
import MutualTLS

/// Certificates before they are handed on or put in place: whoever issued them, they are held against the request, the
/// use, the dates and the federation's authority, as every peer will do.
enum IssuedCertificate {
  /// - Parameter chain: leaf first.
  /// - Throws: `CredentialError`.
  static func check(
    _ chain: [Certificate], for request: CertificateRequest, name: OrganizationName,
    profile: CertificateProfile = .organization, authorities: [Certificate]
  ) throws {
    guard let leaf = chain.first else { throw CredentialError.notACertificate(detail: "no certificate found") }
    try leaf.check(
      issuedFor: request, name: name, profile: profile, authorities: authorities,
      intermediates: Array(chain.dropFirst()))
  }

  /// Holds one against the authorities that the server trusts.
  ///
  /// - Throws: `CredentialError`, `CommandError`.
  static func check(
    _ chain: [Certificate], for request: CertificateRequest, name: OrganizationName,
    profile: CertificateProfile = .organization, in server: ServerDirectory
  ) throws {
    try check(
      chain, for: request, name: name, profile: profile, authorities: AuthorityFiles.trusted(by: server).certificates)
  }
}
