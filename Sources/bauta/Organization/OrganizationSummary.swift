import AuditLog
import Cryptography
import Federation
import Foundation
import MutualTLS
import TransparencyLog

/// What an organisation's directory holds, without anything secret.
struct OrganizationSummary: Sendable {
  static let schema = "bauta/organization/1"

  let path: String
  let name: OrganizationName
  let keys: Manifest.Keys
  let fingerprint: MemberFingerprint
  /// Nil before an invitation was approved.
  let certificate: Certificate?
  let manifest: SignedManifest?
  let policy: Policy
  let logEntries: Int

  /// - Throws: `FederationError`, `CredentialError`, `AuditLogError`; for keys that others can read, too.
  init(_ directory: OrganizationDirectory) throws {
    path = directory.path
    name = directory.name
    keys = try directory.keys()
    // Loading says whether each key is whole and readable by its owner only.
    _ = try directory.identityKey()
    _ = try directory.logKey()
    _ = try directory.witnessKey()
    certificate =
      LocalFile.exists(directory.tlsCertificatePath)
      ? try Certificate(contentsOfFile: directory.tlsCertificatePath) : nil
    manifest = try directory.manifest()
    // By the manifest: the fingerprint by which the others know it stays the same when its certificate key is rotated.
    if let member = manifest?.manifest.organization(named: name), member.keys == keys {
      fingerprint = MemberFingerprint(member)
    } else {
      fingerprint = try Self.requested(directory, keys)
    }
    try Self.requireReadable(.resolve(keyPath: directory.tlsKeyPath))
    policy = try directory.policy()
    logEntries = try LogSize.entries(in: directory.path)
  }

  /// The fingerprint of the request to join, which no manifest answers yet.
  private static func requested(
    _ directory: OrganizationDirectory, _ keys: Manifest.Keys
  ) throws -> MemberFingerprint {
    let path = OrganizationInitializer.requestPath(of: directory)
    let key =
      LocalFile.exists(path)
      ? try CertificateRequest(pem: JoinRequest(contentsOf: path).certificateRequest).publicKeyHash
      : try PrivateKey(loading: .resolve(keyPath: directory.tlsKeyPath)).publicKeyHash
    return MemberFingerprint(name: directory.name, keys: keys, certificateKey: key)
  }

  /// That others can read a key is found out here; one that takes a passphrase is not opened.
  private static func requireReadable(_ source: PrivateKeySource) throws(CredentialError) {
    guard case .file = source else { return }
    do throws(CredentialError) { _ = try PrivateKey(loading: source) } catch {
      guard case .keyAccess(.passphraseMissing) = error else { throw error }
    }
  }

  var json: JSONValue {
    .object([
      "schema": .string(Self.schema), "directory": .string(path), "name": .string(name.value),
      "fingerprint": .string(fingerprint.hexadecimal),
      "keys": .object([
        "identity": .string(NoteVerifierKey(organization: name, key: keys.identity).text),
        "log": .string(NoteVerifierKey(organization: name, key: keys.log).text),
        "witness": .string(NoteVerifierKey(organization: name, key: keys.witness).text),
      ]),
      "certificate": certificate.map { certificate in
        .object([
          "serial": .string(certificate.serial), "notAfter": .string(Moment.text(certificate.notAfter)),
          "publicKeySHA256": .string(certificate.publicKeyHash.hexadecimal),
        ])
      } ?? .null,
      "federation": manifest.map { manifest in
        .object([
          "name": .string(manifest.manifest.federation.value), "version": .count(manifest.manifest.version),
          "manifest": .string(manifest.hash.hexadecimal), "approved": .boolean(manifest.isApproved(by: name)),
        ])
      } ?? .null,
      "policy": .string(policy.hash.hexadecimal), "logEntries": .count(logEntries),
    ])
  }

  func show(_ output: Output) {
    output.line("\(name, .strong) in \(path)")
    output.line("  fingerprint  \(fingerprint)")
    output.line("  identity     \(NoteVerifierKey(organization: name, key: keys.identity).text)")
    output.line("  log          \(NoteVerifierKey(organization: name, key: keys.log).text)")
    output.line("  witness      \(NoteVerifierKey(organization: name, key: keys.witness).text)")
    output.line("  certificate  \(certificate.map { Moment.expiry($0.notAfter) } ?? "none yet")")
    if let manifest {
      let state = manifest.isApproved(by: name) ? "approved here" : "not approved here"
      output.line("  federation   \(manifest.manifest.federation), version \(manifest.manifest.version), \(state)")
    } else {
      output.line("  federation   none yet: send \(name).request.json to its operator")
    }
    output.line("  policy       \(policy.hash.hexadecimal.prefix(16))…")
    output.line("  log          \(Figures.counted(logEntries, "entry", "entries"))")
  }
}

/// How long a log is.
enum LogSize {
  /// Entries in the journal of a directory; zero before there is one. Entries that cannot be read count as well.
  ///
  /// - Throws: `storage`.
  static func entries(in directory: String) throws(AuditLogError) -> Int {
    var reader: AuditLogReader
    do throws(AuditLogError) { reader = try AuditLogReader(directory: directory) } catch {
      guard case .noJournal = error else { throw error }
      return 0
    }
    var count = 0
    while true {
      do throws(AuditLogError) {
        guard try reader.next() != nil else { return count }
      } catch {
        guard case .malformedEntry = error else { throw error }
      }
      count += 1
    }
  }
}

/// Moments as commands print them, in UTC.
enum Moment {
  static func text(_ date: Date) -> String { AuditTime(date)?.description ?? "unknown" }

  static func day(_ date: Date) -> String { String(text(date).prefix(10)) }

  /// Whole days from now on; negative for what is past.
  static func daysLeft(_ date: Date, now: Date = Date()) -> Int {
    Int((date.timeIntervalSince(now) / 86_400).rounded(.down))
  }

  /// The day, or the minute if it is less than two days from now.
  static func end(_ date: Date, now: Date = Date()) -> String {
    let distance = date.timeIntervalSince(now)
    return (0..<172_800).contains(distance) ? "\(text(date).prefix(16))Z" : day(date)
  }

  /// `12 days left`, hours on the last two days, minutes in the last two hours.
  static func left(_ date: Date, now: Date = Date()) -> String {
    let minutes = max(Int((date.timeIntervalSince(now) / 60).rounded(.down)), 0)
    return switch minutes {
    case ..<120: "\(Figures.counted(minutes, "minute")) left"
    case ..<2880: "\(Figures.counted(minutes / 60, "hour")) left"
    case _: "\(Figures.counted(daysLeft(date, now: now), "day")) left"
    }
  }

  /// Until when something is valid, and how long that is.
  static func expiry(_ date: Date, now: Date = Date()) -> String {
    date < now ? "EXPIRED on \(day(date))" : "valid until \(end(date, now: now)), \(left(date, now: now))"
  }
}
