import Synchronization

/// The events of the present run, for whoever watches it: those that were before first, then those that come.
final class EventFeed: Sendable {
  /// Events that are kept of a run; of a longer one the earliest are forgotten.
  static let backlogLimit = 20_000
  /// Events that may wait for one watcher; a slower one misses some.
  private static let watcherLimit = 4096

  private struct State {
    var backlog: [RunEvent] = []
    var watchers: [Int: AsyncStream<RunEvent>.Continuation] = [:]
    var next = 0
  }

  private let state = Mutex(State())

  /// Forgets the events of the run before.
  func begin() { state.withLock { $0.backlog = [] } }

  func append(_ event: RunEvent) {
    let watchers = state.withLock { state in
      if state.backlog.count >= Self.backlogLimit { state.backlog.removeFirst(Self.backlogLimit / 10) }
      state.backlog.append(event)
      return Array(state.watchers.values)
    }
    for watcher in watchers { watcher.yield(event) }
  }

  /// Ends with the run.
  func end() {
    let watchers = state.withLock { state in
      defer { state.watchers = [:] }
      return Array(state.watchers.values)
    }
    for watcher in watchers { watcher.finish() }
  }

  func watch() -> AsyncStream<RunEvent> {
    let (stream, continuation) = AsyncStream.makeStream(
      of: RunEvent.self, bufferingPolicy: .bufferingOldest(Self.backlogLimit + Self.watcherLimit))
    state.withLock { state in
      let number = state.next
      state.next += 1
      for event in state.backlog { continuation.yield(event) }
      state.watchers[number] = continuation
      continuation.onTermination = { [weak self] _ in
        guard let self else { return }
        _ = self.state.withLock { $0.watchers.removeValue(forKey: number) }
      }
    }
    return stream
  }
}
