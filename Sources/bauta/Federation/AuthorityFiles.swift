import Cryptography
import Federation
import Foundation
import MutualTLS

/// For how long a certificate is issued.
enum Lifetime: Sendable, Equatable {
  case days(Int)
  case hours(Int)

  /// A year.
  static let standard = Lifetime.days(365)
}

/// The federation's own certificate authority in the server's `ca/`, and the certificates of its members.
///
/// | file | what |
/// |---|---|
/// | `ca/ca.key` `ca/ca.crt` | the authority's key (0600) and certificate |
/// | `ca/NAME.crt` | a member's certificate, its chain if another authority issued it |
/// | `ca/next/NAME.crt` | that of the key which is to replace the member's |
enum AuthorityFiles {
  static func keyPath(_ server: ServerDirectory) -> String { "\(server.authorityPath)/ca.key" }
  static func certificatePath(_ server: ServerDirectory) -> String { "\(server.authorityPath)/ca.crt" }

  /// The certificate last issued to a member for the key that it uses.
  static func issuedPath(_ server: ServerDirectory, _ name: OrganizationName) -> String {
    "\(server.authorityPath)/\(name).crt"
  }

  private static func nextFolder(_ server: ServerDirectory) -> String { "\(server.authorityPath)/next" }

  /// The certificate issued for the key that a member has announced.
  static func nextIssuedPath(_ server: ServerDirectory, _ name: OrganizationName) -> String {
    "\(nextFolder(server))/\(name).crt"
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
        remedy: "Put it back for the time of the command, or issue with your own authority and give --certificate FILE."
      )
    }
    return try CertificateAuthority(
      certificate: Certificate(contentsOfFile: certificatePath(server)), key: PrivateKey(loading: .file(path)))
  }

  /// From now on, but no longer than the authority's own certificate.
  static func validity(_ lifetime: Lifetime, under authority: CertificateAuthority) throws -> CertificateValidity {
    let wanted =
      switch lifetime {
      case .days(let days): try CertificateValidity.days(days)
      case .hours(let hours): try CertificateValidity.hours(hours)
      }
    return try CertificateValidity(
      notBefore: wanted.notBefore, notAfter: min(wanted.notAfter, authority.certificate.notAfter))
  }

  /// The authorities that members trust: the server's own `ca.crt`.
  ///
  /// - Throws: as ``read(_:)``.
  static func trusted(by directory: some ParticipantDirectory) throws -> (pem: String, certificates: [Certificate]) {
    try read(directory.certificateAuthorityPath)
  }

  /// A file of certificates; of a leaf's, the leaf first.
  ///
  /// - Throws: `CommandError` that names the file.
  static func read(_ path: String) throws(CommandError) -> (pem: String, certificates: [Certificate]) {
    let pem = String(decoding: try LocalFile.read(path, maximum: Certificate.maximumByteCount), as: UTF8.self)
    do throws(CredentialError) { return (pem, try Certificate.all(inPEM: pem)) } catch { throw .about(path, error) }
  }

  // MARK: - Certificates of members

  /// A file of certificates, leaf first; nil where there is none.
  ///
  /// - Throws: `CommandError` that names the file.
  static func chain(at path: String) throws -> [Certificate]? {
    LocalFile.exists(path) ? try read(path).certificates : nil
  }

  /// The certificate of a member's key, wherever it is kept.
  ///
  /// - Throws: `CredentialError`, `CommandError`.
  static func chain(
    for key: CertificateKeyHash, of name: OrganizationName, in server: ServerDirectory
  ) throws -> [Certificate]? {
    for path in [issuedPath(server, name), nextIssuedPath(server, name)] {
      if let chain = try chain(at: path), chain.first?.publicKeyHash == key { return chain }
    }
    return nil
  }

  /// The certificate for a member to install: that of the next key if it was issued, because it completes the rotation;
  /// otherwise that of the key in use.
  ///
  /// - Throws: `CredentialError`, `CommandError`.
  static func presentChain(
    of name: OrganizationName, _ pins: PinSet, in server: ServerDirectory
  ) throws -> [Certificate]? {
    guard let pins = pins.pins(of: name) else { return nil }
    if let next = pins.next, let chain = try chain(for: next, of: name, in: server) { return chain }
    return try chain(for: pins.current, of: name, in: server)
  }

  /// Keeps a certificate for a member's key.
  ///
  /// - Throws: `FederationError`, `CommandError`.
  static func store(
    _ chain: [Certificate], of name: OrganizationName, isNext: Bool, in server: ServerDirectory
  ) throws {
    if isNext { try LocalFile.makeDirectory(nextFolder(server)) }
    let path = isNext ? nextIssuedPath(server, name) : issuedPath(server, name)
    try AtomicFile.replace(path, bytes: Array(pem(chain).utf8))
  }

  /// Moves the certificate of a next key to its place once the member uses that key; drops that of one it has withdrawn.
  ///
  /// - Throws: `CredentialError`, `CommandError`.
  static func settle(_ name: OrganizationName, pins: Manifest.Pins, in server: ServerDirectory) throws {
    let path = nextIssuedPath(server, name)
    guard let next = try chain(at: path), let key = next.first?.publicKeyHash, key != pins.next else { return }
    let isDone = key == pins.current ? rename(path, issuedPath(server, name)) : unlink(path)
    guard isDone == 0 else { throw CommandError.unwritable(path: path, reason: String(cString: strerror(errno))) }
  }

  static func pem(_ chain: [Certificate]) -> String { chain.map(\.pem).joined() }
}
