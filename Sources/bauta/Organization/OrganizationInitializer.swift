import AuditLog
import Cryptography
import Federation
import MutualTLS

/// Makes the directory of a new organisation: keys, policy, log, and the request to be admitted.
enum OrganizationInitializer {
  struct Result: Sendable {
    let directory: OrganizationDirectory
    let request: JoinRequest
    /// The file for the operator. Nothing in it is secret.
    let requestPath: String
    let fingerprint: MemberFingerprint
  }

  /// All or nothing: on any error nothing is left at the path.
  ///
  /// - Parameter path: must not exist, or be an empty directory.
  /// - Throws: `FederationError`, `CredentialError`, `AuditLogError`.
  static func initialize(
    _ name: OrganizationName, at path: String, policy: String = Policy.template
  ) throws -> Result {
    let directory = try OrganizationDirectory.create(at: path, name: name, policy: policy) { staging in
      let new = try OrganizationDirectory(opening: staging)
      let key = try PrivateKey.generate(creatingFile: new.tlsKeyPath)
      let keys = try new.keys()
      let request = try JoinRequest(
        name: name, log: keys.log, witness: keys.witness,
        certificateRequest: CertificateRequest.create(name: name, key: key).pem, signedWith: new.identityKey())
      try request.write(to: requestPath(of: new))
      // The log begins with the keys: it can be verified from the first day.
      try AuthorityRecord.append(.keyChange, to: new)
    }
    let file = requestPath(of: directory)
    let request = try JoinRequest(contentsOf: file)
    let certificateKey = try CertificateRequest(pem: request.certificateRequest).publicKeyHash
    return Result(
      directory: directory, request: request, requestPath: file,
      fingerprint: MemberFingerprint(name: name, keys: request.keys, certificateKey: certificateKey))
  }

  static func requestPath(of directory: OrganizationDirectory) -> String {
    "\(directory.path)/\(directory.name).request.json"
  }
}
