import Cryptography
import Federation
import FederationServer
import Foundation
import MutualTLS
import ServiceControl

/// A federation as one directory knows it: versions, members, keys and certificates, and whether a service runs.
struct FederationStatus {
  static let schema = "bauta/federation/2"

  struct Member: Sendable {
    let member: Manifest.Member
    let isServer: Bool
    let approval: Approval
    /// Number of its latest statement of pins that is known here; 0 while the manifest's pins count.
    let statement: Int
    let pins: Manifest.Pins
    /// As far as it is at hand.
    let certificate: Certificate?
    let revocation: Revocation?
    /// Whether it has the server's statement, as a running server says; nil where that is not known or not needed.
    let hasServerPins: Bool?
    let isConnected: Bool?

    var name: OrganizationName { member.name }
  }

  enum Approval: Sendable { case given, missing, invalid }

  /// Where the owner's own rotation stands.
  enum OwnRotation: Sendable {
    case known(OwnKeys.Rotation)
    /// The change to the next key has begun and was interrupted. Whatever uses the keys next goes on with it.
    case interrupted
    /// The keys could not be opened, or it cannot be told what was said of them.
    case unknown(Failure)

    /// A word for scripts; nil where it is not known.
    var word: String? {
      switch self {
      case .known(let rotation): rotation.rawValue
      case .interrupted: "interrupted"
      case .unknown: nil
      }
    }
  }

  let directory: String
  let owner: OrganizationName
  let isServer: Bool
  /// The latest version here, with the approvals known here.
  let latest: SignedManifest
  let inForce: SignedManifest?
  /// At an organisation: what the server has shown, and was not approved here.
  let proposed: SignedManifest?
  let members: [Member]
  /// Revoked names that the latest version does not list.
  let former: [Revocation]
  let authorities: [Certificate]
  let ownRotation: OwnRotation
  let isServiceRunning: Bool
  /// What the running server says; nil where none runs, or where its answer is another release's.
  let service: ServerStatus?

  /// Reads; changes nothing.
  ///
  /// - Parameter passphrase: opens the owner's keys. What fails there alone is in ``ownRotation``.
  /// - Throws: `FederationError`, `CredentialError`, `CommandError` if there is no manifest yet.
  init(_ participant: Participant, passphrase: Passphrase? = nil) throws {
    let owner = participant.directory
    directory = owner.path
    self.owner = owner.name
    guard let latest = try owner.manifest() else {
      throw CommandError.unsuitable(
        path: owner.path, problem: "there is no manifest yet",
        remedy: "Approve the operator's invitation: bauta federation approve INVITATION --directory \(owner.path)")
    }
    self.latest = latest
    inForce = try owner.manifestInForce()
    proposed = try owner.proposedManifest()
    let pins = try owner.pins(under: latest.manifest)
    var revocations: [Revocation] = []
    var server: ServerDirectory?
    switch participant {
    case .server(let directory):
      server = directory
      revocations = try directory.revocations()
    case .organization: break
    }
    isServer = server != nil
    service = server.flatMap { (try? RunningService.status(of: $0)) ?? nil }
    let (service, approvals) = (service, latest.approvals)
    members = try latest.manifest.members.map { member in
      let isServer = member.name == latest.manifest.server.name
      return Member(
        member: member, isServer: isServer,
        approval: approvals.approved.contains(member.name)
          ? .given : approvals.invalid.contains(member.name) ? .invalid : .missing,
        statement: pins.statements[member.name]?.sequence ?? 0, pins: pins.pins(of: member.name) ?? member.pins,
        certificate: try Self.certificate(of: member.name, owner: owner, server, pins),
        revocation: revocations.first { $0.revokes(member) },
        hasServerPins: isServer
          ? nil : Self.hasServerPins(member.name, pins.statements[latest.manifest.server.name], service),
        isConnected: isServer ? nil : service?.connected.contains(member.name.value))
    }
    former = revocations.filter { revocation in !latest.manifest.organizations.contains { revocation.revokes($0) } }
    authorities =
      LocalFile.exists(owner.certificateAuthorityPath) ? try AuthorityFiles.trusted(by: owner).certificates : []
    ownRotation = Self.rotation(of: owner, passphrase)
    isServiceRunning = ControlClient.isRunning(in: owner.path)
  }

  private static func rotation(of owner: any ParticipantDirectory, _ passphrase: Passphrase?) -> OwnRotation {
    // In the middle of the change there need not be a key in use.
    guard !owner.isCredentialSwitchPending else { return .interrupted }
    do { return .known(try OwnKeys(reading: owner, passphrase: passphrase).rotation()) } catch {
      return .unknown(Failure(error))
    }
  }

  private static func certificate(
    of name: OrganizationName, owner: any ParticipantDirectory, _ server: ServerDirectory?, _ pins: PinSet
  ) throws -> Certificate? {
    if name == owner.name { return try AuthorityFiles.chain(at: owner.tlsCertificatePath)?.first }
    guard let server else { return nil }
    return try AuthorityFiles.presentChain(of: name, pins, in: server)?.first
  }

  private static func hasServerPins(
    _ name: OrganizationName, _ statement: SignedPins?, _ service: ServerStatus?
  ) -> Bool? {
    guard let statement, let service else { return nil }
    return service.hasTaken(statement.sequence, name.value)
  }

  /// Who has to approve the latest version still.
  var missing: [OrganizationName] { members.filter { $0.approval != .given }.map(\.name) }
}

extension FederationStatus {
  var json: JSONValue {
    let manifest = latest.manifest
    func member(_ member: Member) -> JSONValue {
      .object([
        "name": .string(member.name.value), "fingerprint": .string(MemberFingerprint(member.member).hexadecimal),
        "approved": .boolean(member.approval == .given),
        "pins": .object([
          "current": .string(member.pins.current.hexadecimal), "next": .optional(member.pins.next?.hexadecimal),
          "statement": .count(member.statement),
        ]),
        "rotationPending": .boolean(member.pins.next != nil),
        "certificateNotAfter": .optional(member.certificate.map { Moment.text($0.notAfter) }),
        "certificateDaysLeft": member.certificate.map { .count(Moment.daysLeft($0.notAfter)) } ?? .null,
        "certificateState": .optional(member.certificate.map { CertificateState($0).rawValue }),
        "revoked": .optional(member.revocation?.reason), "revokedAt": .optional(member.revocation?.time),
        "hasServerPins": member.hasServerPins.map { .boolean($0) } ?? .null,
        "connected": member.isConnected.map { .boolean($0) } ?? .null,
      ])
    }
    return .object([
      "schema": .string(Self.schema), "federation": .string(manifest.federation.value),
      "directory": .string(directory), "owner": .string(owner.value), "version": .count(manifest.version),
      "manifest": .string(latest.hash.hexadecimal), "previous": .optional(manifest.previous?.hexadecimal),
      "versionInForce": inForce.map { .count($0.manifest.version) } ?? .null,
      "versionProposed": proposed.map { .count($0.manifest.version) } ?? .null,
      "assumedCorrupt": .count(manifest.assumedCorrupt), "minimumCohort": .count(manifest.minimumCohort),
      "witnessQuorum": .count(manifest.witnessQuorum),
      "addresses": .strings(manifest.server.addresses.map(\.description)),
      "server": members.first { $0.isServer }.map(member) ?? .null,
      "organizations": .array(members.filter { !$0.isServer }.map(member)),
      "former": .array(
        former.map {
          .object([
            "name": .string($0.name.value), "revoked": .string($0.reason), "revokedAt": .string($0.time),
          ])
        }),
      "missing": .strings(missing.map(\.value)), "approvedByAll": .boolean(missing.isEmpty),
      "authorityNotAfter": .optional(authorities.map(\.notAfter).min().map(Moment.text)),
      "rotation": .optional(ownRotation.word), "rotationError": ownRotation.error,
      "serviceRunning": .boolean(isServiceRunning),
      "serviceState": .optional(service?.state), "run": .optional(service?.run),
    ])
  }
}

extension FederationStatus.OwnRotation {
  fileprivate var error: JSONValue {
    switch self {
    case .known, .interrupted: .null
    case .unknown(let failure):
      .object([
        "code": .string(failure.code), "message": .string(failure.message), "remedy": .string(failure.remedy),
      ])
    }
  }
}

/// How a certificate stands, in a word for scripts.
enum CertificateState: String, Sendable {
  case valid
  case expiresSoon = "expires-soon"
  case expired
  case notYetValid = "not-yet-valid"

  init(_ certificate: Certificate, at now: Date = Date()) {
    self =
      switch certificate.expiry(at: now) {
      case .valid: .valid
      case .expiresSoon: .expiresSoon
      case .expired: .expired
      case .notYetValid: .notYetValid
      }
  }
}
