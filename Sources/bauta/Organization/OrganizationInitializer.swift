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
  /// - Parameters:
  ///   - path: must not exist, or be an empty directory.
  ///   - keyURI: the certificate's key in a token or another store; nil to make one in a file.
  ///   - passphrase: opens that key, or encrypts the file.
  /// - Throws: `FederationError`, `CredentialError`, `AuditLogError`.
  static func initialize(
    _ name: OrganizationName, at path: String, policy: String = Policy.template, keyURI: String? = nil,
    passphrase: Passphrase? = nil
  ) throws -> Result {
    var made: JoinRequest?
    let directory = try OrganizationDirectory.create(at: path, name: name, policy: policy) { staging in
      let new = try OrganizationDirectory(opening: staging)
      if let keyURI {
        try new.nameKey(at: new.tlsKeyPath, uri: keyURI)
      } else {
        _ = try PrivateKey.generate(creatingFile: new.tlsKeyPath, passphrase: passphrase)
      }
      made = try request(in: new, passphrase: passphrase)
      // The log begins with the keys: it can be verified from the first day.
      try AuthorityRecord.append(.keyChange, to: new)
    }
    let file = requestPath(of: directory)
    return try result(directory, made ?? JoinRequest(contentsOf: file))
  }

  /// Writes the request to join with the keys that are in the directory.
  ///
  /// - Throws: `FederationError`, `CredentialError`.
  private static func request(
    in directory: OrganizationDirectory, passphrase: Passphrase?
  ) throws -> JoinRequest {
    let key = try PrivateKey(loading: .resolve(keyPath: directory.tlsKeyPath), passphrase: passphrase)
    let keys = try directory.keys()
    let request = try JoinRequest(
      name: directory.name, log: keys.log, witness: keys.witness,
      certificateRequest: CertificateRequest.create(name: directory.name, key: key).pem,
      signedWith: directory.identityKey())
    try request.write(to: requestPath(of: directory))
    return request
  }

  private static func result(_ directory: OrganizationDirectory, _ request: JoinRequest) throws -> Result {
    let certificateKey = try CertificateRequest(pem: request.certificateRequest).publicKeyHash
    return Result(
      directory: directory, request: request, requestPath: requestPath(of: directory),
      fingerprint: MemberFingerprint(name: request.name, keys: request.keys, certificateKey: certificateKey))
  }

  /// Makes a new identity key in the place of one that is lost or in other hands, and the request that asks the others to
  /// accept it. The log goes on under its own key, and records why; certificate, log and witness key stay.
  ///
  /// It can be given again: nobody knows the new key before the operator has the request.
  ///
  /// - Throws: `FederationError`, `CredentialError`, `AuditLogError`, `ControlError`; the old key is there still if it
  ///   could not be recorded.
  static func replaceIdentity(
    in directory: OrganizationDirectory, reason: String, passphrase: Passphrase? = nil
  ) throws -> Result {
    try directory.completeCredentialSwitch()
    // Before anything is destroyed: the request has to be signed with this key, too.
    _ = try PrivateKey(loading: .resolve(keyPath: directory.tlsKeyPath), passphrase: passphrase)
    try AuthorityRecord.append(.keyChange, to: directory, reason: "new identity key: \(reason)")
    _ = try directory.replaceIdentity()
    // It was signed by a key that counts no more; the next one begins anew.
    try directory.discardOwnStatement()
    return try result(directory, request(in: directory, passphrase: passphrase))
  }

  static func requestPath(of directory: OrganizationDirectory) -> String {
    "\(directory.path)/\(directory.name).request.json"
  }
}
