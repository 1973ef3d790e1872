import Cryptography
import Federation
import Foundation
import MutualTLS

/// The federation's own certificate authority in the server's `ca/`: `ca.key` (0600), `ca.crt`, and what it issued.
enum AuthorityFiles {
  /// Certificates of members are valid for a year, or as long as the authority is.
  static let leafDays = 365

  static func keyPath(_ server: ServerDirectory) -> String { "\(server.authorityPath)/ca.key" }
  static func certificatePath(_ server: ServerDirectory) -> String { "\(server.authorityPath)/ca.crt" }

  /// The certificate last issued to an organisation.
  static func issuedPath(_ server: ServerDirectory, _ name: OrganizationName) -> String {
    "\(server.authorityPath)/\(name).crt"
  }

  /// - Throws: `CredentialError`, `CommandError`.
  static func create(
    in server: ServerDirectory, federation: OrganizationName, validity: CertificateValidity
  ) throws -> CertificateAuthority {
    let key = try PrivateKey.generate(creatingFile: keyPath(server))
    let authority = try CertificateAuthority.create(federation: federation.value, key: key, validity: validity)
    try LocalFile.create(certificatePath(server), Array(authority.certificate.pem.utf8))
    return authority
  }

  /// - Throws: `CredentialError`, also for a key that others can read; `CommandError` where the federation uses an
  ///   authority of its own.
  static func load(from server: ServerDirectory) throws -> CertificateAuthority {
    let path = keyPath(server)
    guard LocalFile.exists(path) else {
      throw CommandError.unsuitable(
        path: path, problem: "the certificate authority's key is not here",
        remedy: "Put it back for the time of the command, or issue the certificates with your own authority.")
    }
    return try CertificateAuthority(
      certificate: Certificate(contentsOfFile: certificatePath(server)), key: PrivateKey(loading: .file(path)))
  }

  /// From now for so many days, but no longer than the authority's own certificate.
  static func validity(days: Int, under authority: CertificateAuthority) throws -> CertificateValidity {
    let wanted = try CertificateValidity.days(days)
    return try CertificateValidity(
      notBefore: wanted.notBefore, notAfter: min(wanted.notAfter, authority.certificate.notAfter))
  }
}
