import TransparencyLog

extension AuditLogWriter {
  /// Keeps cosignatures of a published checkpoint of this log.
  public func add(_ cosignatures: [Cosignature], to checkpoint: SignedCheckpoint) throws(AuditLogError) {
    guard !cosignatures.isEmpty else { return }
    do throws(TransparencyLogError) {
      var checkpoint = checkpoint
      for cosignature in cosignatures { try checkpoint.add(cosignature) }
      try DurableFile.writeAtomically(checkpoint.serialized, to: "\(directory)/checkpoint.cosigned", mode: 0o644)
    } catch { throw .storage(error) }
  }
}
