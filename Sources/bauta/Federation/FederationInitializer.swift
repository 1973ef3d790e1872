import Cryptography
import Federation
import MutualTLS

/// Makes the directory of a new federation's server: keys, certificate authority, certificate, manifest version 1.
enum FederationInitializer {
  struct Settings: Sendable {
    let federation: OrganizationName
    let serverName: OrganizationName
    /// Where clients connect, in the order to try.
    let addresses: [NetworkAddress]
    var assumedCorrupt = 1
    var minimumCohort = 3
    /// Days that the authority's certificate is valid; the server's own is valid for a year at most.
    var authorityDays = 3650

    init(federation: OrganizationName, serverName: OrganizationName, addresses: [NetworkAddress]) {
      self.federation = federation
      self.serverName = serverName
      self.addresses = addresses
    }
  }

  struct Result: Sendable {
    let directory: ServerDirectory
    /// Version 1: the server, and no organisation yet.
    let manifest: SignedManifest
    let fingerprint: MemberFingerprint
  }

  /// All or nothing: on any error nothing is left at the path.
  ///
  /// - Parameter path: must not exist, or be an empty directory.
  /// - Throws: `FederationError`, `CredentialError`, `CommandError`, `AuditLogError`.
  static func initialize(_ settings: Settings, at path: String) throws -> Result {
    var founded: SignedManifest?
    let directory = try ServerDirectory.create(at: path, name: settings.serverName) { staging in
      founded = try fill(ServerDirectory(opening: staging), settings)
    }
    guard let manifest = try founded ?? directory.manifest() else {
      throw CommandError.missing(path: directory.manifestPath, what: "file")
    }
    return Result(
      directory: directory, manifest: manifest,
      fingerprint: MemberFingerprint(manifest.manifest.server.member))
  }

  private static func fill(_ server: ServerDirectory, _ settings: Settings) throws -> SignedManifest {
    let authority = try AuthorityFiles.create(
      in: server, federation: settings.federation, validity: .days(settings.authorityDays))
    let key = try PrivateKey.generate(creatingFile: server.tlsKeyPath)
    let request = try CertificateRequest.create(name: server.name, key: key)
    let certificate = try authority.issue(
      request, name: server.name, profile: ServerRotation.profile(settings.addresses),
      validity: AuthorityFiles.validity(.standard, under: authority))
    try server.storeCertificate(chain: certificate.pem, authority: authority.certificate.pem)
    let member = Manifest.Member(
      name: server.name, keys: try server.keys(), pins: Manifest.Pins(current: certificate.publicKeyHash))
    var manifest = try SignedManifest(
      Manifest.founding(
        federation: settings.federation,
        server: Manifest.Server(member: member, addresses: settings.addresses),
        assumedCorrupt: settings.assumedCorrupt, minimumCohort: settings.minimumCohort))
    try manifest.approve(as: server.name, with: server.identityKey())
    try server.store(manifest)
    try AuthorityRecord.append(.manifestChange, to: server, manifest: manifest)
    return manifest
  }
}
