import Cryptography
import Federation
import FederationWire
import TransparencyLog

/// What a session remembers of the witnessing, beside what its witness has on disk.
struct WitnessingState {
  /// A checkpoint of the own log that was submitted, and whose cosignatures are known.
  struct Submitted {
    let checkpoint: SignedCheckpoint
    var cosigners: Set<WitnessVerifyingKey> = []
  }

  /// Of each other log in one session. The first ones tell the story; nobody fills the log with the others.
  static let maximumConflicts = 16
  /// Checkpoints whose cosignatures may still come.
  static let recentCheckpoints = 8

  /// Of the checkpoint of this log that the server's witness holds; 0 before the server has said.
  var serverHolds: UInt64 = 0
  private(set) var submitted: [Submitted] = []
  /// Those that are not yet verified, by index.
  private(set) var receipts: [Receipt] = []
  private var lastReceipt: UInt64?
  /// Cosignatures of others' checkpoints that were not handed over yet.
  var given: [GivenCosignature] = []
  /// Sizes from which others want a proof.
  var wanted: [UInt64] = []
  /// Whether this process has shown its log to the server.
  var hasBegun = false
  /// Whether messages have left since the last exchange that are more than control.
  var hasGrown = false
  /// Under which versions of the manifest others' logs are watched.
  var versions: [ManifestHash] = []
  /// Conflicts of other members that are on the record, by the log's origin.
  private var reported: [String: Set<Checkpoint>] = [:]
  /// Entries up to the record of the last result.
  var resultSize: UInt64 = 0

  /// - Returns: whether the receipt can be true: the server's log grows, so each is for a later entry.
  mutating func add(_ receipt: Receipt) -> Bool {
    if let lastReceipt, receipt.index <= lastReceipt { return false }
    lastReceipt = receipt.index
    receipts.append(receipt)
    return true
  }

  mutating func remove(receipts verified: [UInt64]) {
    let verified = Set(verified)
    receipts.removeAll { verified.contains($0.index) }
  }

  /// Whether a conflict is to be put on the record.
  mutating func isNewConflict(_ checkpoint: Checkpoint) -> Bool {
    let known = reported[checkpoint.origin, default: []]
    guard known.count < Self.maximumConflicts else { return false }
    return reported[checkpoint.origin, default: []].insert(checkpoint).inserted
  }

  mutating func submit(_ checkpoint: SignedCheckpoint) {
    guard !submitted.contains(where: { $0.checkpoint.checkpoint == checkpoint.checkpoint }) else { return }
    submitted.append(Submitted(checkpoint: checkpoint))
    if submitted.count > Self.recentCheckpoints { submitted.removeFirst() }
  }

  func submitted(size: UInt64) -> Submitted? { submitted.first { $0.checkpoint.checkpoint.size == size } }

  /// - Returns: whether the witness was not known to have cosigned the checkpoint.
  mutating func note(cosigner: WitnessVerifyingKey, size: UInt64) -> Bool {
    guard let place = submitted.firstIndex(where: { $0.checkpoint.checkpoint.size == size }) else { return false }
    return submitted[place].cosigners.insert(cosigner).inserted
  }

  /// The most witnesses that have cosigned one checkpoint over at least so many entries.
  func cosigners(covering size: UInt64) -> Int {
    submitted.filter { $0.checkpoint.checkpoint.size >= size }.map(\.cosigners.count).max() ?? 0
  }
}
