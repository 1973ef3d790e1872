import Cryptography
import Federation
import FederationWire
import SecureAggregation

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

/// The order in which a message is made, so that a process that ends anywhere leaves nothing that contradicts what it
/// has sent.
///
/// Implements §Order of writing of the protocol. What is on disk after each step:
///
/// 1. ``decided``: the policy has decided: the plan is accepted, the survivor set is not too near another. Nothing yet.
/// 2. ``persisted``: one fsynced transaction of `state.sqlite`: the attempt with the encoded term and what both were made
///    under; for a masked input the hash of its bytes; for a statement the ledger, the survivor set and the hash; for a
///    reply the ledger with the exact bytes. Round keys and shares are in memory only, so the shares that a reply does
///    not hold are gone with the machine that made it. Masked inputs are not kept whole either: without the round keys
///    nobody could go on with them, and a process that starts again is a dropout of its attempt. Their hash makes sure
///    that no other bytes are sent for it.
/// 3. ``recorded``: the egress record, fsynced, with the version of the state.
/// 4. ``sent``: the server has answered.
/// 5. ``completed``: the outcome is in the log.
///
/// At the next start an egress record without outcome gets one, `unknown`; a reply that is in the state is sent again,
/// the same bytes under a new record, when the server asks with the same statement.
public enum WritingStep: String, Sendable, CaseIterable {
  case decided, persisted, recorded, sent, completed
}

/// A place in the order of writing: which message, and how far it has come.
struct WritingPoint: Hashable, Sendable {
  let step: WritingStep
  let kind: OutboundKind
  /// Of a message of the secure sum.
  var opening: OpeningIdentifier?
}

/// Is told of every point as it is reached. What it throws ends the client there, as if the process had ended.
typealias WritingObserver = @Sendable (WritingPoint) throws(ClientError) -> Void

/// A rehearsed loss: the process is killed, as by a power cut, at one point of the order of writing.
public struct Fault: Sendable, Equatable {
  let task: TaskKind
  let round: Int
  let kind: OutboundKind
  let step: WritingStep

  /// Once the shares of a round of training are sent.
  public init(round: Int) {
    task = .fit
    self.round = round
    kind = .shareKeys
    step = .completed
  }

  /// - Parameter text: `TASK/ROUND/MESSAGE/STEP`, as in `fit/1/unmasking/persisted`; nil for anything else.
  public init?(_ text: String) {
    let parts = text.split(separator: "/", omittingEmptySubsequences: false).map(String.init)
    guard parts.count == 4, let task = TaskKind(rawValue: parts[0]), let round = Int(parts[1]), round >= 0,
      let kind = OutboundKind(rawValue: parts[2]), let step = WritingStep(rawValue: parts[3])
    else { return nil }
    self.task = task
    self.round = round
    self.kind = kind
    self.step = step
  }

  /// Kills this process if it has come to the point.
  func strike(_ point: WritingPoint) {
    guard let opening = point.opening, opening.task == task, opening.round == round, point.kind == kind,
      point.step == step
    else { return }
    raise(SIGKILL)
  }
}
