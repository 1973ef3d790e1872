import Cryptography
import Federation
import Foundation
import MutualTLS

/// The certificate keys of a directory's owner: which one is used, which one is to replace it, and what was said of them.
struct OwnKeys {
  let directory: any ParticipantDirectory
  /// The manifest under which the owner's statements count.
  let manifest: Manifest
  /// The owner's latest statement; nil while the manifest's pins count.
  let statement: SignedPins?
  /// The keys that count.
  let pins: Manifest.Pins
  /// The key in `tls.key`.
  let current: PrivateKey
  /// The key in `tls-next.key`; nil where there is none.
  let next: PrivateKey?

  /// Where a rotation stands.
  enum Rotation: String, Sendable, Equatable {
    /// One key, and no other in sight.
    case none
    /// A next key was made, and nothing said of it yet: the command that makes it was interrupted, or it was withdrawn.
    case keyMade = "key-made"
    /// A next key is announced, and there.
    case announced
    /// The announced key is in use, and the statement that the old one has gone is still to be made.
    case switched
    /// The announced key is not here.
    case lost
    /// The key in use is not one that was stated.
    case unpinned
  }

  /// Finishes an interrupted change of keys first.
  ///
  /// - Throws: as ``init(reading:passphrase:)``.
  init(_ directory: some ParticipantDirectory, passphrase: Passphrase? = nil) throws {
    try directory.completeCredentialSwitch()
    try self.init(reading: directory, passphrase: passphrase)
  }

  /// What is there now; nothing is written. After an interrupted change of keys that may be no pair.
  ///
  /// - Throws: `FederationError` also where no manifest lists the owner's identity key; `CredentialError`.
  init(reading directory: some ParticipantDirectory, passphrase: Passphrase? = nil) throws {
    self.directory = directory
    manifest = try directory.ownManifest()
    let set = try directory.pins(under: manifest)
    statement = set.statements[directory.name]
    guard let pins = set.pins(of: directory.name) else {
      throw FederationError.manifest(.unknownMember(directory.name))
    }
    self.pins = pins
    current = try PrivateKey(loading: .resolve(keyPath: directory.tlsKeyPath), passphrase: passphrase)
    next =
      directory.hasNextTLSKey
      ? try PrivateKey(loading: .resolve(keyPath: directory.nextTLSKeyPath), passphrase: passphrase) : nil
  }

  func rotation() throws -> Rotation {
    let (used, made) = (try current.publicKeyHash, try next?.publicKeyHash)
    guard let announced = pins.next else {
      guard used == pins.current else { return .unpinned }
      return made == nil ? .none : .keyMade
    }
    if used == announced { return .switched }
    guard used == pins.current else { return .unpinned }
    return made == announced ? .announced : .lost
  }

  /// The number of the statement to come.
  var nextSequence: Int { (statement?.sequence ?? 0) + 1 }

  /// Records a statement, signs it and stores it.
  ///
  /// - Parameter what: for the log; the user's reason follows it.
  /// - Throws: `FederationError`, `AuditLogError`, `ControlError`.
  func state(_ pins: Manifest.Pins, what: String, reason: String? = nil) throws -> SignedPins {
    try record(what, reason: reason)
    return try sign(pins)
  }

  /// Puts the statement to come on record.
  ///
  /// - Throws: `FederationError`, `AuditLogError`, `ControlError`; nothing must be stated then.
  func record(_ what: String, reason: String? = nil) throws {
    // What cannot be signed is not put on record.
    _ = try directory.identityKey()
    try AuthorityRecord.append(
      .keyChange, to: directory, reason: Reason.text("\(what), statement \(nextSequence)", reason))
  }

  /// Signs and stores a statement that is on record.
  ///
  /// - Throws: `FederationError`.
  func sign(_ pins: Manifest.Pins) throws -> SignedPins {
    let statement = try SignedPins(
      federation: manifest.federation, name: directory.name, sequence: nextSequence, pins: pins,
      signedWith: directory.identityKey())
    try directory.store(statement, under: manifest)
    return statement
  }
}
