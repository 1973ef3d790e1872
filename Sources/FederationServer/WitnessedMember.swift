import AuditLog
import Cryptography
import FederationWire
import TransparencyLog

/// What the server carries of one member's log for the others, and for it from them. Bounded, and in memory only.
struct WitnessedMember: Sendable {
  /// Checkpoints whose cosignatures may still come.
  private static let recentCheckpoints = 8
  private static let queueLimit = 2 * WireLimits.cosignatures

  /// With the log's signature alone, the latest last.
  private(set) var checkpoints: [SignedCheckpoint] = []
  /// From sizes to the latest checkpoint, as the member proved it; whoever receives one verifies it.
  private var proofs: [UInt64: [TreeHash]] = [:]
  /// Sizes from which others want a proof.
  private var wanted: Set<UInt64> = []
  private var queued: [SizedCosignature] = []
  /// What the last answer held, for a copy of the message that it answered.
  private var delivered: (identifier: MessageIdentifier, lines: [SizedCosignature])?

  /// Takes a checkpoint that the witness has cosigned, with its proofs.
  ///
  /// - Returns: whether it is another than the latest.
  mutating func take(_ submission: WitnessSubmission) -> Bool {
    let isNew = checkpoints.last?.checkpoint != submission.checkpoint.checkpoint
    if isNew {
      checkpoints.append(submission.checkpoint)
      if checkpoints.count > Self.recentCheckpoints { checkpoints.removeFirst() }
      proofs = [:]
    }
    // The same tree again says nothing of the sizes before it.
    if submission.oldSize < submission.checkpoint.checkpoint.size { proofs[submission.oldSize] = submission.proof }
    for proof in submission.proofs where proofs.count <= WireLimits.wantedProofs { proofs[proof.size] = proof.hashes }
    for proof in submission.proofs { wanted.remove(proof.size) }
    return isNew
  }

  /// What an earlier process has cosigned: without proofs, which are asked for.
  mutating func recall(_ checkpoint: SignedCheckpoint) { checkpoints = [checkpoint] }

  /// From a size to the latest checkpoint; nil if it is not known. From an empty tree none is needed.
  func proof(from size: UInt64) -> [TreeHash]? { size == 0 ? [] : proofs[size] }

  mutating func want(_ size: UInt64) {
    if wanted.count < WireLimits.wantedProofs { wanted.insert(size) }
  }

  /// What the member is to prove with its next message.
  ///
  /// - Parameter size: of its latest checkpoint: nobody has seen a later one that counts.
  func wanted(below size: UInt64) -> [UInt64] { wanted.filter { $0 < size }.sorted() }

  /// A cosignature that was verified. The same one again, at another time, takes the place of the one before.
  mutating func queue(_ line: SizedCosignature) {
    queued.removeAll {
      $0.size == line.size && $0.cosignature.name == line.cosignature.name
        && $0.cosignature.keyID == line.cosignature.keyID
    }
    queued.append(line)
    if queued.count > Self.queueLimit { queued.removeFirst() }
  }

  /// What goes along with the answer to a message.
  mutating func deliver(to identifier: MessageIdentifier) -> [SizedCosignature] {
    let again = delivered?.identifier == identifier ? delivered?.lines ?? [] : []
    // One place is the server's own.
    let room = WireLimits.cosignatures - 1 - again.count
    let lines = again + queued.prefix(max(0, room))
    queued.removeFirst(min(max(0, room), queued.count))
    delivered = (identifier, lines)
    return lines
  }
}
