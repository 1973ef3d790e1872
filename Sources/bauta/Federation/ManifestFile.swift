import Federation

extension ParticipantDirectory {
  /// The latest version here.
  ///
  /// - Throws: `FederationError`, also where there is none.
  func requiredManifest() throws(FederationError) -> SignedManifest {
    guard let manifest = try manifest() else { throw .manifest(.noManifest(path: manifestPath)) }
    return manifest
  }
}

/// A signed manifest in a file of its own.
enum ManifestFile {
  /// - Parameter requiringApprovals: refuses one that a member has not signed.
  /// - Throws: `CommandError`, `FederationError`.
  static func read(_ path: String, requiringApprovals: Bool) throws -> SignedManifest {
    let bytes = try LocalFile.read(path, maximum: SignedManifest.maximumBytes)
    let manifest: SignedManifest
    do { manifest = try SignedManifest(parsing: bytes, file: path) } catch FederationError.note(let error) {
      throw CommandError.about(path, error)
    }
    if requiringApprovals { try manifest.requireApprovedByAll() }
    return manifest
  }
}
