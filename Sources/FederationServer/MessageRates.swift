import Cryptography
import MutualTLS
import Synchronization

/// How fast each organisation may send messages: one that asks without end fills neither the log nor the machine.
///
/// Answers to instructions and the parts of a masked input are not counted, because the server asks for them, each once:
/// greetings, questions for news, repetitions, what does not fit and what cannot be read are. What is refused here is not
/// recorded one by one; the first of a series is.
final class MessageRates: Sendable {
  enum Verdict: Equatable, Sendable {
    case taken
    /// Refused, and the first since messages were taken.
    case beginsToRefuse
    case refused
  }

  /// Messages of any kind at once after silence, and per second in the long run.
  static let burst = 300
  static let perSecond = 20.0

  let burst: Int
  let perSecond: Double

  private struct Sender {
    var bucket: TokenBucket
    var isRefusing = false
  }

  private let senders = Mutex<[OrganizationName: Sender]>([:])
  private let now: @Sendable () -> Duration

  private static let origin = ContinuousClock.now

  /// - Parameters:
  ///   - burst: messages at once after silence.
  ///   - perSecond: messages in the long run.
  ///   - now: time since any fixed origin.
  init(
    burst: Int = MessageRates.burst, perSecond: Double = MessageRates.perSecond,
    now: @escaping @Sendable () -> Duration = { origin.duration(to: .now) }
  ) {
    self.burst = burst
    self.perSecond = perSecond
    self.now = now
  }

  /// For new statements of certificate keys, each of which costs signatures, files and records. A change of keys takes two.
  static func ofStatements(now: @escaping @Sendable () -> Duration = { origin.duration(to: .now) }) -> MessageRates {
    MessageRates(burst: 10, perSecond: 1.0 / 60, now: now)
  }

  /// At most as many senders are remembered as organisations were ever let in.
  func take(from organization: OrganizationName) -> Verdict {
    let time = now()
    return senders.withLock { senders in
      var sender =
        senders[organization]
        ?? Sender(bucket: TokenBucket(capacity: burst, perSecond: perSecond, at: time))
      defer { senders[organization] = sender }
      if sender.bucket.take(at: time) {
        sender.isRefusing = false
        return .taken
      }
      defer { sender.isRefusing = true }
      return sender.isRefusing ? .refused : .beginsToRefuse
    }
  }
}
