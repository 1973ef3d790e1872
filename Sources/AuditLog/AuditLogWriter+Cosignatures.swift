import Cryptography
import TransparencyLog

/// Cosignatures of this log's own checkpoints.
extension AuditLogWriter {
  /// How many checkpoints with too few cosigners to be kept on disk are remembered until more arrive.
  static let maximumPendingCheckpoints = 8

  /// The checkpoint in `checkpoint.cosigned`, with all its cosignatures; nil before the first.
  public var cosignedCheckpoint: SignedCheckpoint? { state.withLock { $0.cosigned.kept } }

  /// Whose cosignatures are asked for, and how many, which decides between an older checkpoint that has them and a newer
  /// one that does not. Until this is called, anybody's one will do.
  public func preferCheckpoints(cosignedAs policy: CosignerPolicy, by source: CosignerSource) {
    state.withLock { $0.cosigned.policies[source] = policy }
  }

  /// How many entries have all the cosigners that are asked for: those under ``cosignedCheckpoint``, or none; no limit
  /// where nobody asks for any.
  public func cosignedSize(as policies: [CosignerPolicy]) -> UInt64 {
    let asked = policies.filter { $0.quorum > 0 }
    if asked.isEmpty { return .max }
    guard let kept = cosignedCheckpoint, asked.allSatisfy({ $0.cosigners(of: kept) >= $0.quorum }) else { return 0 }
    return kept.checkpoint.size
  }

  /// Keeps cosignatures of a published checkpoint of this log.
  ///
  /// `checkpoint.cosigned` holds one checkpoint with all cosignatures known for it: see ``CosignedCheckpoints`` for which.
  /// If `checkpoint` is the very same, it gets the lines as well, so that whoever serves the directory shows them.
  ///
  /// - Parameters:
  ///   - cosignatures: **verified by the caller** against the witnesses' keys, which a log does not know. With none, nothing
  ///     happens.
  ///   - checkpoint: what they cosign; its own lines of other signers are not kept.
  /// - Throws: `foreignOrganization` and `foreignCheckpoint` for one that this log has not signed; `notInThisLog` for one that
  ///   it has signed and that is not the beginning of its tree; `storage`, `closed`, `writerFailed`. Then the files are as
  ///   before, or the next call completes them.
  public func add(_ cosignatures: [Cosignature], to checkpoint: SignedCheckpoint) throws(AuditLogError) {
    guard !cosignatures.isEmpty else { return }
    try publication.withLock { (_) throws(AuditLogError) in
      let (published, known) = try state.withLock {
        (state: inout State) throws(AuditLogError) -> (SignedCheckpoint?, CosignedCheckpoints) in
        try Self.requireUsable(state)
        return (state.checkpoint, state.cosigned)
      }
      try requireOwn(checkpoint, published: published?.checkpoint.size ?? 0)
      do throws(TransparencyLogError) {
        let offered = try (checkpoint.signed(onlyBy: [verifierKey]) ?? checkpoint).adding(cosignatures)
        try keep(offered, in: known)
        guard let published, published.checkpoint == checkpoint.checkpoint else { return }
        let shown = try published.adding(cosignatures)
        guard shown != published else { return }
        try tiles.write(shown)
        state.withLock { $0.checkpoint = shown }
      } catch { throw .storage(error) }
    }
  }

  private func keep(_ offered: SignedCheckpoint, in known: CosignedCheckpoints) throws(TransparencyLogError) {
    var next = known
    try next.offer(offered, maximumPending: Self.maximumPendingCheckpoints)
    if let kept = next.kept, kept != known.kept {
      try DurableFile.writeAtomically(
        kept.serialized, to: "\(directory)/\(LogLayout.cosignedCheckpoint)", mode: 0o644)
    }
    // Somebody may have asked for others meanwhile.
    state.withLock { state in
      let policies = state.cosigned.policies
      state.cosigned = next
      state.cosigned.policies = policies
    }
  }

  /// - Parameter published: the size up to which tiles are on disk.
  private func requireOwn(_ checkpoint: SignedCheckpoint, published: UInt64) throws(AuditLogError) {
    let place = "the checkpoint that was cosigned"
    guard checkpoint.checkpoint.origin.utf8.elementsEqual(organization.value.utf8) else {
      throw .foreignOrganization(path: place, expected: organization)
    }
    guard checkpoint.status(of: verifierKey) == .valid else { throw .foreignCheckpoint(path: place) }
    let size = checkpoint.checkpoint.size
    guard size <= published else { throw .notInThisLog(size: size, published: published) }
    let root: TreeHash
    do throws(TransparencyLogError) {
      root = try TileReader(directory: tiles, size: published).root(size: size)
    } catch { throw .storage(error) }
    guard root == checkpoint.checkpoint.root else { throw .notInThisLog(size: size, published: published) }
  }
}

/// Who asks for cosigners of a log.
public enum CosignerSource: Sendable {
  /// The manifest, and so whoever audits the log by it.
  case federation
  /// The keeper's own policy.
  case keeper
}

/// Which of a log's cosigned checkpoints is kept on disk.
///
/// One with more of the federation's cosigners, counted up to its quorum, is preferred; among those, one with more of the
/// keeper's, counted likewise; then one that has any; then the larger; among those of one size, the one with more
/// cosigners. So a newer one takes the place of an older once it has the cosigners that are asked for, and before that only
/// if it has no fewer. Those that wait for more cosigners are remembered, a few of them and until the process ends: their
/// cosigners would have to be asked again.
struct CosignedCheckpoints: Sendable {
  private(set) var kept: SignedCheckpoint?
  /// By size, the smallest first.
  private(set) var pending: [SignedCheckpoint] = []
  var policies: [CosignerSource: CosignerPolicy] = [:]

  init(kept: SignedCheckpoint? = nil) {
    self.kept = kept
  }

  /// Takes what is known of a checkpoint, beside what was known of it before.
  mutating func offer(_ offered: SignedCheckpoint, maximumPending: Int) throws(TransparencyLogError) {
    if let kept, kept.checkpoint == offered.checkpoint {
      self.kept = try kept.adding(offered.cosignatures)
      pending = pending.filter { !isOfNoUse($0) }
      return
    }
    var offered = offered
    if let place = pending.firstIndex(where: { $0.checkpoint == offered.checkpoint }) {
      offered = try pending.remove(at: place).adding(offered.cosignatures)
    }
    if isPreferred(offered, to: kept) {
      let before = kept
      kept = offered
      if let before { remember(before, maximumPending) }
    } else {
      remember(offered, maximumPending)
    }
    pending = pending.filter { !isOfNoUse($0) }
  }

  private mutating func remember(_ checkpoint: SignedCheckpoint, _ maximum: Int) {
    pending.append(checkpoint)
    pending.sort { $0.checkpoint.size < $1.checkpoint.size }
    if pending.count > maximum { pending.removeFirst() }
  }

  /// What is older than the one kept could still take its place only if that has too few cosigners.
  private func isOfNoUse(_ checkpoint: SignedCheckpoint) -> Bool {
    guard let kept, checkpoint.checkpoint.size < kept.checkpoint.size else { return false }
    let isMissed = policies.contains { found($0.key, in: kept) < $0.value.quorum }
    return !isMissed && !kept.cosignatures.isEmpty
  }

  private func isPreferred(_ offered: SignedCheckpoint, to kept: SignedCheckpoint?) -> Bool {
    guard let kept else { return true }
    return rank(kept).lexicographicallyPrecedes(rank(offered))
  }

  private func rank(_ checkpoint: SignedCheckpoint) -> [UInt64] {
    let asked = [CosignerSource.federation, .keeper].map { UInt64(found($0, in: checkpoint)) }
    let count = UInt64(checkpoint.cosignatures.count)
    return asked + [min(count, 1), checkpoint.checkpoint.size, count]
  }

  /// Up to the quorum. What is offered here was verified before.
  private func found(_ source: CosignerSource, in checkpoint: SignedCheckpoint) -> Int {
    guard let policy = policies[source] else { return 0 }
    let witnesses = policy.witnesses.filter { key in
      checkpoint.note.signatures.contains { $0.name == key.name && $0.keyID == key.id }
    }
    return min(Set(witnesses.map(\.key)).count, policy.quorum)
  }
}

extension SignedCheckpoint {
  /// The lines that have the form of a cosignature, whosever.
  var cosignatures: [Cosignature] { note.signatures.compactMap { try? Cosignature($0) } }

  func adding(_ cosignatures: [Cosignature]) throws(TransparencyLogError) -> SignedCheckpoint {
    var checkpoint = self
    for cosignature in cosignatures { try checkpoint.add(cosignature) }
    return checkpoint
  }
}
