import Cryptography
import Federation
import FederationWire

/// The federation as this organisation's directory knows it: the version of the manifest that it has approved last, the
/// one in force, and what members have said of their certificate keys.
///
/// Two versions can count at a time: the latest that is approved here, and the one before it for as long as others'
/// approvals of the later one are missing.
struct Membership: Sendable {
  let directory: any ParticipantDirectory
  /// The latest version that this organisation has approved; others' approvals may be missing.
  private(set) var approved: SignedManifest
  /// The newest version that has been seen with everybody's approval.
  private(set) var inForce: SignedManifest?
  /// This organisation's own latest statement of its certificate keys.
  private(set) var ownPins: SignedPins?
  private var stamp: FileStamp

  /// - Throws: ``FederationError``: no manifest, one that this organisation has not approved, or one that cannot be read.
  init(_ directory: some ParticipantDirectory) throws(FederationError) {
    let stamp = FileStamp(Self.files(of: directory))
    guard let approved = try directory.manifest(), approved.isApproved(by: directory.name) else {
      throw .manifest(.missingApprovals([directory.name]))
    }
    self.directory = directory
    self.approved = approved
    self.stamp = stamp
    inForce = try Self.inForce(directory, before: approved)
    ownPins = try directory.pinStatements().first { $0.name == directory.name }
  }

  /// Under which the server is known: what it signs and which certificate keys it states.
  var trusted: Manifest { (inForce ?? approved).manifest }

  /// Reads the directory anew if its files have changed.
  ///
  /// - Throws: ``FederationError``; what was known stays.
  mutating func refresh() throws(FederationError) {
    guard FileStamp(Self.files(of: directory)) != stamp else { return }
    self = try Membership(directory)
  }

  /// The certificate keys that the server may have: those of the version in force, and of the one approved here that is to
  /// follow it.
  ///
  /// - Throws: ``FederationError`` for a statement that cannot be read: what a member said last is not guessed.
  func serverPins() throws(FederationError) -> [CertificateKeyHash: OrganizationName] {
    var pins = try directory.pins(under: approved.manifest).server
    if let inForce, inForce.hash != approved.hash {
      pins.merge(try directory.pins(under: inForce.manifest).server) { first, _ in first }
    }
    return pins
  }

  /// The server's addresses, those of the version in force first.
  var addresses: [NetworkAddress] {
    var addresses = trusted.server.addresses
    for address in approved.manifest.server.addresses where !addresses.contains(address) { addresses.append(address) }
    return addresses
  }

  /// This organisation's certificate keys of which the manifest tells the server.
  var pinnedHere: [CertificateKeyHash] {
    (approved.manifest.pins(of: directory.name)?.accepted ?? [])
      + (inForce?.manifest.pins(of: directory.name)?.accepted ?? [])
  }

  /// The manifest of an announced run, if it is one under which this organisation acts: the latest that it has approved, or
  /// the one in force while that waits for others; with everybody's approval, and its own made with its own key.
  ///
  /// Every other version is refused, older ones too.
  ///
  /// - Throws: ``FederationError``.
  mutating func agree(
    on note: String, identity: IdentityVerifyingKey
  ) throws(FederationError) -> SignedManifest {
    let shown = try SignedManifest(parsing: note, file: "the announced manifest")
    try refresh()
    guard shown.hash == approved.hash || shown.hash == inForce?.hash else {
      throw .manifest(.wrongPrevious(expected: approved.hash, found: shown.hash))
    }
    guard shown.manifest.member(named: directory.name)?.keys.identity == identity else {
      throw .manifest(.foreignKey(directory.name))
    }
    try shown.requireApprovedByAll()
    return shown
  }

  /// Keeps others' approvals of the version that is approved here.
  ///
  /// - Returns: whether the version is in force by them and was not before.
  /// - Throws: ``FederationError/file(_:)``.
  mutating func keep(_ shown: SignedManifest) throws(FederationError) -> Bool {
    guard shown.hash == approved.hash, !approved.isApprovedByAll else { return false }
    var merged = approved
    try merged.merge(shown)
    guard merged != approved else { return false }
    try directory.store(merged)
    self = try Membership(directory)
    return approved.isApprovedByAll
  }

  private static func inForce(
    _ directory: some ParticipantDirectory, before approved: SignedManifest
  ) throws(FederationError) -> SignedManifest? {
    guard let inForce = try directory.manifestInForce(),
      inForce.hash == approved.hash || inForce.manifest.version < approved.manifest.version,
      inForce.manifest.federation == approved.manifest.federation
    else { return nil }
    return inForce
  }

  /// A change of any of these is noticed.
  private static func files(of directory: some ParticipantDirectory) -> [String] {
    [directory.manifestPath, directory.inForceManifestPath, directory.pinsPath, directory.pinsPath(of: directory.name)]
  }
}

// MARK: - News

extension Membership {
  /// What came of the server's news.
  enum News: Sendable {
    /// The server's statement of its certificate keys counts from now on.
    case pins(SignedPins)
    /// A version that waits for this organisation's approval. Nothing is done under it.
    case proposed(SignedManifest)
    /// The version that is approved here has everybody's approval now.
    case inForce(SignedManifest)
    case refused(FederationError)
  }

  /// Judges news and keeps what passes. What was known already is no news.
  ///
  /// - Throws: ``FederationError/file(_:)`` if something could not be read or kept.
  mutating func take(_ notice: FederationNotice) throws(FederationError) -> [News] {
    try refresh()
    var news: [News] = []
    if !notice.pins.isEmpty {
      try judge(&news) { (membership) throws(FederationError) in try membership.takePins(notice.pins) }
    }
    if !notice.manifest.isEmpty {
      try judge(&news) { (membership) throws(FederationError) in try membership.takeManifest(notice.manifest) }
    }
    return news
  }

  private mutating func judge(
    _ news: inout [News], _ take: (inout Membership) throws(FederationError) -> News?
  ) throws(FederationError) {
    do throws(FederationError) {
      if let new = try take(&self) { news.append(new) }
    } catch {
      if case .file = error { throw error }
      news.append(.refused(error))
    }
  }

  private mutating func takePins(_ bytes: [UInt8]) throws(FederationError) -> News? {
    let statement = try SignedPins(parsing: bytes, file: "the server's statement of its certificate keys")
    // Other members' statements are the server's business.
    guard statement.name == trusted.server.name else { throw .membership(.foreignPins(statement.name)) }
    return try directory.store(statement, under: trusted) ? .pins(statement) : nil
  }

  private mutating func takeManifest(_ note: String) throws(FederationError) -> News? {
    let shown = try SignedManifest(parsing: note, file: "the manifest that the server shows")
    if shown.hash == approved.hash {
      return try keep(shown) ? .inForce(approved) : nil
    }
    let (held, new) = (approved.manifest, shown.manifest)
    guard new.federation == held.federation else {
      throw .manifest(.otherFederation(expected: held.federation, found: new.federation))
    }
    guard new.version > held.version else {
      throw .manifest(.wrongVersion(expected: held.version + 1, found: new.version))
    }
    // By the server that is known here, whatever key the new version gives it.
    let server = trusted.server
    guard shown.note.status(of: server.member.identityNoteKey) == .valid else {
      throw .manifest(.invalidSignature([server.name]))
    }
    if let proposed = try directory.proposedManifest() {
      if proposed.hash == shown.hash { return nil }
      guard proposed.manifest.version <= new.version else {
        throw .manifest(.wrongVersion(expected: proposed.manifest.version, found: new.version))
      }
    }
    try directory.store(proposed: shown)
    return .proposed(shown)
  }
}

extension FederationError {
  /// Whether somebody else than the server has, or claims to have, a key of a member: the owner must see it.
  var isForgedStatement: Bool {
    switch self {
    case .membership(.foreignPins), .membership(.forkedPins), .membership(.pinOfAnother): true
    default: false
    }
  }
}
