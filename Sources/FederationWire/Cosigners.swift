public import AuditLog
public import Federation
public import TransparencyLog

extension Manifest {
  /// Whose cosignatures of a log the federation asks for: the server's and every member's but the keeper's own.
  public func cosigners(ofLogOf keeper: NoteKeyName?) -> CosignerPolicy {
    CosignerPolicy(witnesses: members.map(\.witnessNoteKey).filter { $0.name != keeper }, quorum: witnessQuorum)
  }
}

extension Policy.LogRules {
  /// Whose cosignatures of its log an organisation asks for beside the federation's.
  public var cosigners: CosignerPolicy { CosignerPolicy(witnesses: witnesses.map(\.key), quorum: quorum) }
}
