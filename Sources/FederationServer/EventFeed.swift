import Federation
import Synchronization

/// The events of the present run, for whoever watches it: those that were before first, then those that come.
final class EventFeed: Sendable {
  /// Events that are kept of a run; of a longer one the earliest are forgotten.
  static let backlogLimit = 20_000
  /// Events that may wait for one watcher; a slower one misses some.
  private static let watcherLimit = 4096

  private struct State {
    /// The run whose events these are; nil between runs.
    var run: RunIdentifier?
    var backlog: [RunEvent] = []
    var watchers: [Int: AsyncStream<RunEvent>.Continuation] = [:]
    var next = 0
  }

  private let state = Mutex(State())

  /// Opens for a run, with none of the events before it.
  func begin(_ run: RunIdentifier) {
    state.withLock { state in
      state.run = run
      state.backlog = []
    }
  }

  /// Between runs nobody watches, and nothing is kept.
  func append(_ event: RunEvent) {
    let watchers = state.withLock { state -> [AsyncStream<RunEvent>.Continuation] in
      guard state.run != nil else { return [] }
      if state.backlog.count >= Self.backlogLimit { state.backlog.removeFirst(Self.backlogLimit / 10) }
      state.backlog.append(event)
      return Array(state.watchers.values)
    }
    for watcher in watchers { watcher.yield(event) }
  }

  /// Closes with the run.
  func end() {
    let watchers = state.withLock { state in
      defer {
        state.run = nil
        state.backlog = []
        state.watchers = [:]
      }
      return Array(state.watchers.values)
    }
    for watcher in watchers { watcher.finish() }
  }

  /// - Returns: nil unless the run is the present one: of one that is over, or has not begun, there is nothing to wait for.
  func watch(_ run: RunIdentifier) -> AsyncStream<RunEvent>? {
    let (stream, continuation) = AsyncStream.makeStream(
      of: RunEvent.self, bufferingPolicy: .bufferingOldest(Self.backlogLimit + Self.watcherLimit))
    let isOpen = state.withLock { state in
      guard state.run == run else { return false }
      let number = state.next
      state.next += 1
      for event in state.backlog { continuation.yield(event) }
      state.watchers[number] = continuation
      continuation.onTermination = { [weak self] _ in
        guard let self else { return }
        _ = self.state.withLock { $0.watchers.removeValue(forKey: number) }
      }
      return true
    }
    return isOpen ? stream : nil
  }
}
