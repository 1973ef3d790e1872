import Federation
import FederationWire
import SecureAggregation

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

/// A rehearsed dropout: the process is killed, as by a power cut, once it has sent a message.
public struct Fault: Sendable, Equatable {
  /// The round of training in which to drop out.
  public let round: Int

  public init(round: Int) { self.round = round }

  /// Kills this process if `body` is the message after which it is to be lost: its shares of that round.
  func strike(after body: ClientMessage.Body) {
    guard case .round(let payload) = body, payload.opening.task == .fit, payload.opening.round == round,
      payload.kind == MessageKind.shareKeys.rawValue
    else { return }
    raise(SIGKILL)
  }
}
