import Federation

/// A signed manifest in a file of its own.
enum ManifestFile {
  /// - Parameter requiringApprovals: refuses one that a member has not signed.
  /// - Throws: `CommandError`, `FederationError`.
  static func read(_ path: String, requiringApprovals: Bool) throws -> SignedManifest {
    let bytes = try LocalFile.read(path, maximum: SignedManifest.maximumBytes)
    let manifest = try SignedManifest(parsing: bytes, file: path)
    if requiringApprovals { try manifest.requireApprovedByAll() }
    return manifest
  }
}
