import Cryptography
import Federation
import Foundation
import MutualTLS

/// The replacement of the server's certificate key: first every organisation takes the statement that names the next key,
/// then the server changes to it.
enum ServerRotation {
  struct Begun: Sendable {
    let statement: SignedPins
    let wasPending: Bool
    /// The next key's certificate; nil where the owner's authority is still to issue it.
    let certificate: Certificate?
    let service: RunningService.Outcome
  }

  /// Makes the next key, states both, and issues the next certificate. If a rotation is pending, goes on with it.
  ///
  /// - Parameter certificate: for `tls-next.csr`, from the owner's authority, leaf first; nil to issue it here if the
  ///   authority's key is here.
  /// - Throws: `FederationError`, `CredentialError`, `CommandError`, `AuditLogError`, `ControlError`.
  static func begin(
    in server: ServerDirectory, reason: String? = nil, keyURI: String? = nil, certificate: [Certificate]? = nil,
    lifetime: Lifetime = .standard, passphrase: Passphrase? = nil
  ) throws -> Begun {
    let start = try Rotation.start(in: server, keyURI: keyURI, passphrase: passphrase)
    let request = try CertificateRequest.create(name: server.name, key: start.next)
    try AtomicFile.replace(server.nextCertificateRequestPath, bytes: Array(request.pem.utf8))
    let chain = try self.certificate(for: request, start.own, given: certificate, in: server, lifetime: lifetime)
    let statement = try start.announce(reason: reason)
    if let chain { try AuthorityFiles.store(chain, of: server.name, isNext: true, in: server) }
    // Whoever joins from now on has to accept both.
    _ = try Invitations.write(in: server)
    return Begun(
      statement: statement, wasPending: start.isPending, certificate: chain?.first,
      service: RunningService.reload(server))
  }

  struct Finished: Sendable {
    let statement: SignedPins
    let service: RunningService.Outcome
  }

  /// Changes to the next key and states it alone.
  ///
  /// - Parameter force: although organisations have not taken the statement, or nobody can say whether they have.
  /// - Throws: `CommandError` where none is pending, where the certificate is missing, or where organisations would be
  ///   shut out; `FederationError`, `CredentialError`, `AuditLogError`, `ControlError`.
  static func finish(
    in server: ServerDirectory, force: Bool = false, certificate: [Certificate]? = nil, passphrase: Passphrase? = nil
  ) throws -> Finished {
    let own = try OwnKeys(server, passphrase: passphrase)
    switch try own.rotation() {
    case .none, .keyMade:
      throw CommandError.usage(
        "no rotation of the server's key is pending",
        remedy: "Begin one: bauta federation rotate-server --directory \(server.path)")
    case .lost, .unpinned: throw Rotation.misfit(own)
    case .switched: return try end(try Rotation.complete(own), in: server)
    case .announced: break
    }
    guard let next = own.next, let statement = own.statement else { throw Rotation.misfit(own) }
    let request = try CertificateRequest.create(name: server.name, key: next)
    guard let chain = try certificate ?? AuthorityFiles.chain(for: next.publicKeyHash, of: server.name, in: server)
    else {
      throw CommandError.unsuitable(
        path: server.nextCertificateRequestPath, problem: "the next key has no certificate yet",
        remedy: "Have one issued for this request, and give it: --certificate FILE")
    }
    try IssuedCertificate.check(
      chain, for: request, name: server.name, profile: profile(own.manifest.server.addresses), in: server)
    if !force { try requireAcknowledged(statement, own.manifest, in: server) }
    try own.record(Rotation.inUse(next.publicKeyHash))
    try server.switchCredentials(toChain: AuthorityFiles.pem(chain))
    let changed = try OwnKeys(server, passphrase: passphrase)
    return try end(Rotation.complete(changed, isRecorded: true), in: server)
  }

  /// Withdraws the next key.
  ///
  /// - Returns: nil if nothing was pending.
  /// - Throws: as ``finish(in:force:certificate:passphrase:)``.
  static func cancel(
    in server: ServerDirectory, reason: String? = nil, passphrase: Passphrase? = nil
  ) throws -> Finished? {
    try Rotation.withdraw(in: server, reason: reason, passphrase: passphrase).map { try end($0, in: server) }
  }

  /// Names under which clients reach the server: in its certificate beside its own.
  static func profile(_ addresses: [NetworkAddress]) -> CertificateProfile {
    func isAddress(_ host: String) -> Bool {
      host.contains(":") || host.split(separator: ".").allSatisfy { UInt8($0) != nil }
    }
    let hosts = Set(addresses.map(\.host))
    return .server(hostNames: hosts.filter { !isAddress($0) }.sorted(), addresses: hosts.filter(isAddress).sorted())
  }

  /// Organisations that are not known to accept the next key.
  ///
  /// - Returns: nil where no server runs to say so.
  /// - Throws: `ControlError` where one runs that does not say so; `FederationError`.
  static func missing(
    _ statement: SignedPins, _ manifest: Manifest, in server: ServerDirectory
  ) throws -> [OrganizationName]? {
    guard let status = try RunningService.status(of: server) else { return nil }
    return try NextVersion.remaining(of: manifest, in: server).map(\.name).filter {
      !status.hasTaken(statement.sequence, $0.value)
    }
  }

  private static func requireAcknowledged(
    _ statement: SignedPins, _ latest: Manifest, in server: ServerDirectory
  ) throws {
    let manifest = try server.manifestInForce()?.manifest ?? latest
    guard let missing = try missing(statement, manifest, in: server) else {
      throw CommandError.unsuitable(
        path: server.path,
        problem: "no server runs here, so nobody can say which organisations have taken the next key",
        remedy: "Start it, and wait until 'bauta federation status' shows all; or give --force.")
    }
    guard missing.isEmpty else {
      throw CommandError.unsuitable(
        path: server.path,
        problem: "these organisations have not taken the next key: \(missing.map(\.value).joined(separator: ", "))",
        remedy:
          "Wait, or hand them \(server.pinsPath(of: server.name)); with --force they are shut out until they have it.")
    }
  }

  private static func end(_ statement: SignedPins, in server: ServerDirectory) throws -> Finished {
    let path = AuthorityFiles.nextIssuedPath(server, server.name)
    guard unlink(path) == 0 || errno == ENOENT else {
      throw CommandError.unwritable(path: path, reason: String(cString: strerror(errno)))
    }
    _ = try Invitations.write(in: server)
    return Finished(statement: statement, service: RunningService.reload(server))
  }

  private static func certificate(
    for request: CertificateRequest, _ own: OwnKeys, given: [Certificate]?, in server: ServerDirectory,
    lifetime: Lifetime
  ) throws -> [Certificate]? {
    let profile = profile(own.manifest.server.addresses)
    var chain = given
    if chain == nil, let issued = try AuthorityFiles.chain(for: request.publicKeyHash, of: server.name, in: server) {
      return issued
    }
    if chain == nil, LocalFile.exists(AuthorityFiles.keyPath(server)) {
      let authority = try AuthorityFiles.load(from: server)
      chain = [
        try authority.issue(
          request, name: server.name, profile: profile,
          validity: AuthorityFiles.validity(lifetime, under: authority))
      ]
    }
    guard let chain else { return nil }
    try IssuedCertificate.check(chain, for: request, name: server.name, profile: profile, in: server)
    return chain
  }
}
