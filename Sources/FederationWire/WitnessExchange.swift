import AuditLog
public import Cryptography
import Federation
public import TransparencyLog

/// What a member asks of the server's witness and does for others as a witness itself: one ``ClientMessage``.
///
/// Bounded by ``WireLimits``; no signature and no proof in it is verified by holding it.
public struct WitnessSubmission: Equatable, Sendable {
  /// The latest of the sender's log, with its own signature alone.
  public var checkpoint: SignedCheckpoint
  /// Of the checkpoint that the server's witness holds, as far as the sender knows; 0 for none.
  public var oldSize: UInt64
  public var proof: [TreeHash]
  /// The same from other sizes, ascending.
  public var proofs: [SizeProof]
  /// Cosignatures by the sender of checkpoints of others.
  public var given: [GivenCosignature]
  /// The size of the server's log up to which the sender has verified it.
  public var verified: UInt64
  /// Indices in the server's log whose inclusion is to be proved, ascending.
  public var receipts: [UInt64]
  /// What the sender has witnessed of other members' logs, ascending by name.
  public var peers: [KnownSize]

  public init(
    checkpoint: SignedCheckpoint, oldSize: UInt64 = 0, proof: [TreeHash] = [], proofs: [SizeProof] = [],
    given: [GivenCosignature] = [], verified: UInt64 = 0, receipts: [UInt64] = [], peers: [KnownSize] = []
  ) {
    self.checkpoint = checkpoint
    self.oldSize = oldSize
    self.proof = proof
    self.proofs = proofs
    self.given = given
    self.verified = verified
    self.receipts = receipts
    self.peers = peers
  }
}

/// That the tree of a size is the beginning of the checkpoint's that it comes with.
public struct SizeProof: Equatable, Sendable {
  public let size: UInt64
  public let hashes: [TreeHash]

  public init(size: UInt64, hashes: [TreeHash]) {
    self.size = size
    self.hashes = hashes
  }
}

/// A cosignature of the checkpoint of a size.
public struct SizedCosignature: Hashable, Sendable {
  public let size: UInt64
  public let cosignature: Cosignature

  public init(size: UInt64, cosignature: Cosignature) {
    self.size = size
    self.cosignature = cosignature
  }
}

/// A cosignature of a checkpoint of a member's log.
public struct GivenCosignature: Hashable, Sendable {
  public let origin: OrganizationName
  public let cosignature: SizedCosignature

  public init(origin: OrganizationName, size: UInt64, cosignature: Cosignature) {
    self.origin = origin
    self.cosignature = SizedCosignature(size: size, cosignature: cosignature)
  }
}

public struct KnownSize: Equatable, Sendable {
  public let origin: OrganizationName
  /// From 1: of a log of which nothing is known, nothing is said.
  public let size: UInt64

  public init(origin: OrganizationName, size: UInt64) {
    self.origin = origin
    self.size = size
  }
}

/// The server's answer to a ``WitnessSubmission``.
public struct WitnessAnswer: Equatable, Sendable {
  /// Of checkpoints of the receiver's log: the server's of the one that came, peers' of earlier ones.
  public var cosignatures: [SizedCosignature]
  /// Nil where the server's witness took the checkpoint.
  public var conflict: WitnessConflict?
  /// The latest of the server's log, with what cosignatures it has.
  public var checkpoint: SignedCheckpoint
  /// From the size up to which the receiver has verified it.
  public var proof: [TreeHash]
  /// Of the receipts that were asked for, in the same order.
  public var inclusions: [IndexProof]
  public var peers: [PeerCheckpoint]
  /// Sizes from which others want a proof to the receiver's next checkpoint, ascending.
  public var wanted: [UInt64]

  public init(
    cosignatures: [SizedCosignature] = [], conflict: WitnessConflict? = nil, checkpoint: SignedCheckpoint,
    proof: [TreeHash] = [], inclusions: [IndexProof] = [], peers: [PeerCheckpoint] = [], wanted: [UInt64] = []
  ) {
    self.cosignatures = cosignatures
    self.conflict = conflict
    self.checkpoint = checkpoint
    self.proof = proof
    self.inclusions = inclusions
    self.peers = peers
    self.wanted = wanted
  }
}

/// The witness holds another checkpoint than the one that was said, or the proof does not lead from it.
public struct WitnessConflict: Equatable, Sendable {
  /// With the log's own signature: the evidence. Nil where the witness holds nothing of the log.
  public let held: SignedCheckpoint?

  public init(held: SignedCheckpoint?) {
    self.held = held
  }
}

public struct IndexProof: Equatable, Sendable {
  public let index: UInt64
  public let hashes: [TreeHash]

  public init(index: UInt64, hashes: [TreeHash]) {
    self.index = index
    self.hashes = hashes
  }
}

/// A member's latest checkpoint, and that it continues what the receiver has witnessed.
public struct PeerCheckpoint: Equatable, Sendable {
  public let checkpoint: SignedCheckpoint
  public let proof: [TreeHash]

  public init(checkpoint: SignedCheckpoint, proof: [TreeHash]) {
    self.checkpoint = checkpoint
    self.proof = proof
  }
}
