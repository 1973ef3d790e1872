import Cryptography
import Federation

/// What the witnessing of checkpoints has shown to be wrong, with this organisation's log or the server's. Nothing leaves
/// after one of these.
public enum WitnessFault: BlamedError, Equatable {
  /// The server holds a later checkpoint, signed with this organisation's own key: the log was put back to an earlier
  /// state, as when a whole directory is restored from a copy.
  case rolledBack(path: String, entries: UInt64, held: UInt64)
  /// The server holds a checkpoint, signed with this organisation's own key, that is not the beginning of this log.
  case forked(path: String, size: UInt64)
  /// The server says that it holds another checkpoint, and shows none that this organisation has signed; or says so again
  /// after it was proved that the log continues it.
  case unprovenConflict
  /// A line that claims to be a member's cosignature and is not.
  case falseCosignature(of: String)
  /// The checkpoint that the server shows is not signed with its log key.
  case serverNotSigned
  /// The server's log does not continue what this organisation has witnessed of it.
  case serverHistory(held: UInt64, offered: UInt64, evidence: String?)
  /// The server has given a receipt for an entry that its log does not hold.
  case receiptNotIncluded(index: UInt64, size: UInt64, evidence: String?)
  /// One entry of the server's log was given as the receipt of two messages, or of a message before.
  case receiptRepeated(index: UInt64)

  public var code: String {
    switch self {
    case .rolledBack: "own-log-rolled-back"
    case .forked: "own-log-forked"
    case .unprovenConflict: "witness-conflict-unproven"
    case .falseCosignature: "cosignature-false"
    case .serverNotSigned: "server-checkpoint-unsigned"
    case .serverHistory: "server-log-forked"
    case .receiptNotIncluded: "receipt-not-included"
    case .receiptRepeated: "receipt-repeated"
    }
  }

  public var blame: Blame {
    switch self {
    case .rolledBack, .forked: .local
    case .unprovenConflict, .falseCosignature, .serverNotSigned, .serverHistory, .receiptNotIncluded, .receiptRepeated:
      .peer
    }
  }

  public var message: String {
    switch self {
    case .rolledBack(let path, let entries, let held):
      "the log at \(path) has \(entries) entries, and the server holds a checkpoint over \(held) that this organisation "
        + "has signed"
    case .forked(let path, let size):
      "the log at \(path) is not the one of which this organisation has signed a checkpoint over \(size) entries"
    case .unprovenConflict:
      "the server says that this organisation's log does not continue an earlier checkpoint, and does not show it"
    case .falseCosignature(let name): "the server sent a cosignature that is not \(name)'s"
    case .serverNotSigned: "the checkpoint of the server's log is not signed with the key that the manifest names"
    case .serverHistory(let held, let offered, _):
      "the server's log, now of \(offered) entries, does not continue the \(held) that were witnessed before"
    case .receiptNotIncluded(let index, let size, _):
      "the server gave a receipt for entry \(index), and its log of \(size) entries does not hold it"
    case .receiptRepeated(let index): "the server gave entry \(index) of its log as the receipt of two messages"
    }
  }

  public var remedy: String {
    switch self {
    case .rolledBack(let path, _, _), .forked(let path, _):
      "nothing leaves: put the newest copy of \(Self.directory(of: path)) back. Where it is lost, the organisation needs a "
        + "new log key and a new entry in the manifest"
    case .unprovenConflict, .falseCosignature, .serverNotSigned, .receiptRepeated:
      "nothing more leaves this organisation; keep the log and ask the operator"
    case .serverHistory(_, _, let evidence), .receiptNotIncluded(_, _, let evidence):
      "nothing more leaves this organisation; show the other members "
        + (evidence ?? "the record of it in the log") + " and ask the operator"
    }
  }

  private static func directory(of path: String) -> String {
    let parent = path.split(separator: "/", omittingEmptySubsequences: false).dropLast().joined(separator: "/")
    return parent.isEmpty ? "." : parent
  }
}
