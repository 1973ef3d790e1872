public import Cryptography
public import TransparencyLog

/// Who has approved a manifest.
public struct ManifestApprovals: Sendable, Equatable {
  /// Members whose identity key has signed, the server among them; in the manifest's order.
  public let approved: [OrganizationName]
  /// Members who have not signed.
  public let missing: [OrganizationName]
  /// Members in whose name there is a signature that does not verify.
  public let invalid: [OrganizationName]

  public var isComplete: Bool { missing.isEmpty && invalid.isEmpty }
}

/// A manifest as a C2SP signed note: the text that people read is what the members' identity keys sign.
///
/// Parsing does not require approvals: ask ``approvals`` or ``requireApprovedByAll()`` before acting upon it.
public struct SignedManifest: Sendable, Equatable {
  /// Longest note: as much text as YAML is read, and a line a member.
  public static let maximumBytes = 1 << 20

  public let manifest: Manifest
  /// SHA-256 of the signed text, signatures not included.
  public let hash: ManifestHash
  public private(set) var note: SignedNote

  /// A manifest that nobody has signed yet.
  ///
  /// - Throws: ``FederationError/note(_:)``.
  public init(_ manifest: Manifest) throws(FederationError) {
    let text = manifest.text
    do { note = try SignedNote(text: text) } catch { throw .note(error) }
    self.manifest = manifest
    hash = ManifestHash(hashing: Array(text.utf8))
  }

  /// Reads a note with at least one signature.
  ///
  /// - Throws: ``FederationError/note(_:)``, ``FederationError/document(_:_:)``, ``FederationError/manifest(_:)``.
  public init(parsing bytes: [UInt8], file: String = "federation.note") throws(FederationError) {
    guard bytes.count <= Self.maximumBytes else { throw .note(.malformedNote(.tooLong)) }
    do { note = try SignedNote(parsing: bytes) } catch { throw .note(error) }
    manifest = try Manifest(parsing: note.textString, file: file)
    hash = ManifestHash(hashing: note.text)
  }

  public init(parsing text: String, file: String = "federation.note") throws(FederationError) {
    try self.init(parsing: Array(text.utf8), file: file)
  }

  /// The note as it is stored and sent.
  public var serialized: [UInt8] { note.serialized }
  public var serializedText: String { String(decoding: serialized, as: UTF8.self) }

  public var approvals: ManifestApprovals {
    var approved: [OrganizationName] = []
    var missing: [OrganizationName] = []
    var invalid: [OrganizationName] = []
    for member in manifest.members {
      switch note.status(of: member.identityNoteKey) {
      case .valid: approved.append(member.name)
      case .absent: missing.append(member.name)
      case .invalid: invalid.append(member.name)
      }
    }
    return ManifestApprovals(approved: approved, missing: missing, invalid: invalid)
  }

  public var isApprovedByAll: Bool { approvals.isComplete }

  /// - Throws: ``FederationError/manifest(_:)`` naming who has not signed, or whose signature does not verify.
  public func requireApprovedByAll() throws(FederationError) {
    let approvals = approvals
    guard approvals.invalid.isEmpty else { throw .manifest(.invalidSignature(approvals.invalid)) }
    guard approvals.missing.isEmpty else { throw .manifest(.missingApprovals(approvals.missing)) }
  }

  public func isApproved(by name: OrganizationName) -> Bool { approval(by: name) != nil }

  /// A member's signature, if it is there and verifies.
  public func approval(by name: OrganizationName) -> Signature? {
    guard let key = manifest.member(named: name)?.identityNoteKey, note.status(of: key) == .valid,
      let line = note.signatures.first(where: { $0.name == key.name && $0.keyID == key.id })
    else { return nil }
    return try? Signature(bytes: line.bytes)
  }

  /// Signs for a member.
  ///
  /// - Throws: ``FederationError/manifest(_:)`` unless the manifest lists this very key for the name.
  public mutating func approve(
    as name: OrganizationName, with key: borrowing IdentitySigningKey
  ) throws(FederationError) {
    guard let member = manifest.member(named: name) else { throw .manifest(.unknownMember(name)) }
    guard member.keys.identity == key.verifyingKey else { throw .manifest(.foreignKey(name)) }
    do { try note.sign(name: name, key: key) } catch { throw .note(error) }
  }

  /// Adds a member's signature that was made elsewhere.
  ///
  /// - Throws: ``FederationError/manifest(_:)`` unless it verifies.
  public mutating func add(_ signature: Signature, by name: OrganizationName) throws(FederationError) {
    guard let key = manifest.member(named: name)?.identityNoteKey else { throw .manifest(.unknownMember(name)) }
    guard key.key.verifyNote(signature, text: note.text) else { throw .manifest(.invalidSignature([name])) }
    do { try note.add(NoteSignature(name: key.name, keyID: key.id, bytes: signature.bytes)) } catch {
      throw .note(error)
    }
  }

  /// Takes over the members' valid signatures from another copy of the same text.
  ///
  /// - Throws: ``FederationError/manifest(_:)`` if the other is of another text.
  public mutating func merge(_ other: SignedManifest) throws(FederationError) {
    guard other.hash == hash else {
      throw .manifest(.wrongPrevious(expected: hash, found: other.hash))
    }
    for name in other.approvals.approved where approval(by: name) == nil {
      if let signature = other.approval(by: name) { try add(signature, by: name) }
    }
  }

  /// The version that follows this one, unsigned.
  ///
  /// - Throws: ``FederationError/manifest(_:)``.
  public func successor(_ amendment: Manifest.Amendment) throws(FederationError) -> SignedManifest {
    try SignedManifest(
      Manifest(
        federation: manifest.federation, version: manifest.version + 1, previous: hash,
        assumedCorrupt: amendment.assumedCorrupt ?? manifest.assumedCorrupt,
        minimumCohort: amendment.minimumCohort ?? manifest.minimumCohort,
        witnessQuorum: amendment.witnessQuorum ?? manifest.witnessQuorum,
        server: amendment.server ?? manifest.server,
        organizations: amendment.organizations ?? manifest.organizations))
  }

  /// The version that follows this one, with one organisation more.
  ///
  /// - Throws: ``FederationError/manifest(_:)``.
  public func admitting(_ member: Manifest.Member) throws(FederationError) -> SignedManifest {
    guard manifest.member(named: member.name) == nil else { throw .manifest(.alreadyMember(member.name)) }
    return try successor(Manifest.Amendment(organizations: manifest.organizations + [member]))
  }

  /// Checks that this is the version right after another.
  ///
  /// - Throws: ``FederationError/manifest(_:)``.
  public func requireFollows(_ old: SignedManifest) throws(FederationError) {
    guard manifest.federation == old.manifest.federation else {
      throw .manifest(.otherFederation(expected: old.manifest.federation, found: manifest.federation))
    }
    guard manifest.version == old.manifest.version + 1 else {
      throw .manifest(.wrongVersion(expected: old.manifest.version + 1, found: manifest.version))
    }
    guard manifest.previous == old.hash else {
      throw .manifest(.wrongPrevious(expected: old.hash, found: manifest.previous))
    }
  }
}
