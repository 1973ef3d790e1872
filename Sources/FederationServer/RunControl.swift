import Cryptography
import Synchronization

/// What the operator wants of the run that is going on.
final class RunControl: Sendable {
  enum Request: Sendable, Equatable {
    case cancel(reason: String)
    /// Hand the run back, so that it goes on when a server is started again: at once where nothing of the present sum
    /// would be lost, else after the sum, or at the deadline.
    case pause(deadline: ContinuousClock.Instant)
  }

  private let pending = Mutex<Request?>(nil)

  var request: Request? { pending.withLock { $0 } }

  /// A cancellation stays; nothing takes it back.
  func ask(_ request: Request) {
    pending.withLock { pending in
      if case .cancel? = pending { return }
      pending = request
    }
  }
}
