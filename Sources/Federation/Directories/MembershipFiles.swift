public import Cryptography
import Foundation

/// What a directory holds of its federation beside the manifest that is acted under.
///
/// | file | what |
/// |---|---|
/// | `federation.in-force.note` | the latest version with everybody's approval, while `federation.note` still waits for some |
/// | `federation.proposed.note` | a version that the server has shown and that was not approved here |
/// | `pins/NAME.note` | a member's latest statement of its certificate keys |
/// | `revoked/NAME.json` | at the server: who is not let in any more, and why; `NAME+KEY.json` for a further key |
extension ParticipantDirectory {
  public var inForceManifestPath: String { "\(path)/federation.in-force.note" }
  public var proposedManifestPath: String { "\(path)/federation.proposed.note" }
  public var pinsPath: String { "\(path)/pins" }

  public func pinsPath(of name: OrganizationName) -> String { "\(pinsPath)/\(name).note" }

  /// The latest version that carries everybody's approval; nil before there is one.
  ///
  /// - Throws: ``FederationError``.
  public func manifestInForce() throws(FederationError) -> SignedManifest? {
    if let newest = try manifest(), newest.isApprovedByAll { return newest }
    guard let earlier = try signedManifest(at: inForceManifestPath) else { return nil }
    try earlier.requireApprovedByAll()
    return earlier
  }

  /// What the server has shown last and this organisation has not approved; nil if there is nothing newer than
  /// `federation.note`.
  ///
  /// - Throws: ``FederationError``; approvals are not checked here.
  public func proposedManifest() throws(FederationError) -> SignedManifest? {
    guard let proposed = try signedManifest(at: proposedManifestPath) else { return nil }
    if let held = try manifest(), held.manifest.version >= proposed.manifest.version { return nil }
    return proposed
  }

  /// Keeps a version that was shown, for its owner to look at. Nothing is done under it.
  ///
  /// - Throws: ``FederationError/file(_:)``.
  public func store(proposed manifest: SignedManifest) throws(FederationError) {
    try FileAccess.replace(proposedManifestPath, mode: 0o644, bytes: manifest.serialized)
  }

  /// All statements that are held. Which of them count, ``PinSet`` says.
  ///
  /// - Throws: ``FederationError``; also for a statement that cannot be read: what a member said last is not guessed.
  public func pinStatements() throws(FederationError) -> [SignedPins] {
    var statements: [SignedPins] = []
    for file in try FileAccess.names(in: pinsPath, suffix: ".note", maximum: Manifest.maximumOrganizations + 1) {
      let path = "\(pinsPath)/\(file)"
      let statement = try SignedPins(
        parsing: try FileAccess.bytes(of: path, maximum: SignedPins.maximumBytes), file: path)
      guard "\(statement.name).note" == file else { throw .membership(.malformedPins(statement.name)) }
      statements.append(statement)
    }
    return statements
  }

  /// The keys that count under a manifest, with the statements held here.
  ///
  /// - Throws: ``FederationError``.
  public func pins(under manifest: Manifest) throws(FederationError) -> PinSet {
    PinSet(manifest, statements: try pinStatements())
  }

  /// Takes a member's statement, if it counts under the manifest and is later than the one held.
  ///
  /// - Returns: whether it was new.
  /// - Throws: ``FederationError/membership(_:)``, ``FederationError/file(_:)``; what was held stays.
  @discardableResult
  public func store(_ statement: SignedPins, under manifest: Manifest) throws(FederationError) -> Bool {
    try FileAccess.makeDirectory(pinsPath)
    // A command and a running service may both be handed statements: an earlier one must not replace a later one.
    return try FileAccess.locking(pinsPath) { () throws(FederationError) in
      var set = try pins(under: manifest)
      guard try set.take(statement) else { return false }
      try FileAccess.replace(pinsPath(of: statement.name), mode: 0o644, bytes: statement.serialized)
      return true
    }
  }

  /// A manifest at a path, or nil where there is no file.
  func signedManifest(at path: String) throws(FederationError) -> SignedManifest? {
    guard FileAccess.exists(path) else { return nil }
    let bytes = try FileAccess.bytes(of: path, maximum: SignedManifest.maximumBytes)
    do throws(FederationError) {
      return try SignedManifest(parsing: bytes, file: path)
    } catch {
      // What is wrong with a note says nothing of where it is.
      guard case .note(let fault) = error else { throw error }
      throw .file(.malformedNote(path: path, reason: fault.message))
    }
  }
}

extension ServerDirectory {
  public var revokedPath: String { "\(path)/revoked" }

  /// - Throws: ``FederationError``; also for a record that cannot be read, which does not pass for no record: a server does
  ///   not start then, and one that runs goes on with what it knew.
  public func revocations() throws(FederationError) -> [Revocation] {
    var revocations: [Revocation] = []
    for file in try FileAccess.names(in: revokedPath, suffix: ".json", maximum: Self.maximumRevocations) {
      let path = "\(revokedPath)/\(file)"
      guard
        let revocation = try? Revocation(
          parsing: try FileAccess.bytes(of: path, maximum: Revocation.maximumBytes)),
        revocation.fileNames.contains(file)
      else { throw .membership(.malformedRevocation(path: path)) }
      revocations.append(revocation)
    }
    return revocations
  }

  /// Adds a record. What is revoked stays so: an earlier record of another identity key of the name is kept beside it.
  ///
  /// - Throws: ``FederationError/file(_:)``, ``FederationError/membership(_:)``.
  public func store(_ revocation: Revocation) throws(FederationError) {
    try FileAccess.makeDirectory(revokedPath)
    let held = try revocations().filter { $0.name == revocation.name }
    if held.contains(where: { $0.identity == revocation.identity }) { return }
    let file = revocation.fileNames[held.isEmpty ? 0 : 1]
    try FileAccess.replace("\(revokedPath)/\(file)", mode: 0o644, bytes: Array(revocation.text.utf8))
  }

  /// More than one a member, for those that were admitted again.
  private static var maximumRevocations: Int { 4 * Manifest.maximumOrganizations }
}
