import Federation

extension Approval {
  struct Collected: Sendable {
    /// The server's latest version with all approvals so far.
    let manifest: SignedManifest
    let service: RunningService.Outcome
  }

  /// Takes over, at the server, the approvals in the notes that organisations have handed back. All of them or none.
  ///
  /// - Throws: `FederationError`, `CommandError` naming the note that is of another version.
  static func collect(_ notes: [String], in server: ServerDirectory) throws -> Collected {
    var manifest = try server.requiredManifest()
    for path in notes {
      let note = try ManifestFile.read(path, requiringApprovals: false)
      guard note.hash == manifest.hash else {
        throw CommandError.unsuitable(
          path: path,
          problem: "it approves version \(note.manifest.version) of \(note.manifest.federation), "
            + "not this server's version \(manifest.manifest.version)",
          remedy: "Send the organisation its current invitation again.")
      }
      let invalid = note.approvals.invalid
      guard invalid.isEmpty else { throw FederationError.manifest(.invalidSignature(invalid)) }
      try manifest.merge(note)
    }
    let stored = try server.store(manifest)
    return Collected(manifest: stored, service: RunningService.reload(server))
  }
}
