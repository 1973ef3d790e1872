import Cryptography
import Federation
import Learning
import SecureAggregation

/// What a data scientist sees while the client works. Local figures stay here: they are shown, not sent.
public enum ClientEvent: Sendable {
  case connecting(to: String)
  case unreachable(String)
  case connectionLost
  case announced(run: RunIdentifier, plan: String)
  case accepted(run: RunIdentifier, rows: Int, columns: Int)
  case refused(run: RunIdentifier, reasons: [String])
  case training(OpeningIdentifier)
  case trained(OpeningIdentifier, loss: Double?, clipped: Int)
  case sent(ClientRoundMessageKind, OpeningIdentifier)
  case completed(OpeningIdentifier, survivors: Int, of: Int)
  case metrics(round: Int, BinaryMetrics)
  case ended(run: RunIdentifier, state: String, reason: String, model: String?)

  public typealias ClientRoundMessageKind = String
}
