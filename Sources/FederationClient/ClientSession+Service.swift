import Cryptography
import Federation

/// A session that goes on from run to run.
extension ClientSession {
  /// Takes part in one run after another, and greets again between them. A run's end, its stop, or a refusal by this
  /// organisation's own policy ends nothing; a server that cannot be reached is tried again for as long as it takes.
  ///
  /// - Returns: never in order: see ``ClientError/isTemporary`` for what ends it.
  func stay() async -> ClientError {
    var waits = Backoff.endless.makeIterator()
    while true {
      let begun = ContinuousClock.now
      do throws(ClientError) {
        _ = try await takePart()
        // A server that ends runs as fast as they are asked for keeps nobody busy.
        try await pace()
        waits = Backoff.endless.makeIterator()
      } catch {
        guard error.isTemporary, !Task.isCancelled else { return Task.isCancelled ? .cancelled : error }
        abandonRound()
        await parts.gate.close()
        if case .refused = error {
          progress(.refusedByServer(code: error.code, reason: error.message, remedy: error.remedy))
        } else {
          progress(.trouble(code: error.code, reason: error.message, remedy: error.remedy))
        }
        if begun.duration(to: .now) > .seconds(300) { waits = Backoff.endless.makeIterator() }
        do { try await Task.sleep(for: waits.next() ?? .seconds(60)) } catch { return .cancelled }
      }
    }
  }
}
