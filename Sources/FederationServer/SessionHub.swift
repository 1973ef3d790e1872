import AuditLog
import Cryptography
import Federation
import FederationWire

/// Numbered instructions for every organisation, and what they answer.
///
/// Instructions are queued until the organisation's client asks for them; a client message names the instruction it
/// answers, so a copy of it (sent again after a lost connection) is told from the first and raises no second event.
/// Memory is bounded: at most ``queueLimit`` instructions wait for one organisation.
actor SessionHub {
  /// What the coordinator reacts to.
  enum Event: Sendable {
    case message(OrganizationName, ClientMessage)
    case connected(OrganizationName)
    case disconnected(OrganizationName)
    case revoked(OrganizationName)
    case timer(UInt64)
    /// Something outside the sessions has changed.
    case wake
  }

  static let queueLimit = 64

  private struct Session {
    var posted: UInt64 = 0
    var answered: UInt64 = 0
    /// The instruction that told the organisation the end of a run: nothing follows it.
    var end: UInt64?
    /// The greeting that began the session; nil before one.
    var greeting: MessageIdentifier?
    /// Whether this process of the organisation has been told of the run, or why not.
    var isIntroduced = false
    var queue: [(number: UInt64, body: ServerMessage.Body)] = []
    var waiter: (id: UInt64, after: UInt64, continuation: CheckedContinuation<Void, Never>)?
  }

  nonisolated let events: AsyncStream<Event>
  private let emit: AsyncStream<Event>.Continuation
  private let hold: Duration
  private var sessions: [OrganizationName: Session] = [:]
  private var waiters: UInt64 = 0
  /// With what everybody is answered once it is set.
  private var farewell: FederationWire.Refusal?

  /// - Parameter hold: how long a question is held open before it is answered with `wait`.
  init(hold: Duration) {
    (events, emit) = AsyncStream.makeStream(of: Event.self)
    self.hold = hold
  }

  /// Takes one client message and returns the next instruction for its sender, or `wait` after ``hold``.
  func exchange(_ message: ClientMessage, from organization: OrganizationName) async -> (UInt64, ServerMessage.Body) {
    if let farewell { return (message.answers, .refused(farewell)) }
    if case .hello = message.body {
      // A copy of the greeting, sent again after a lost connection, begins nothing anew.
      if sessions[organization]?.greeting != message.identifier {
        beginSession(organization, greeting: message.identifier)
        emit.yield(.message(organization, message))
      }
    } else {
      guard let session = sessions[organization], session.greeting != nil, message.answers <= session.posted
      else {
        return (message.answers, .refused(.helloRequired))
      }
      acknowledge(message, from: organization)
      if case .ready = message.body, message.answers == session.end { return (message.answers, .wait) }
    }
    return await next(after: message.answers, for: organization)
  }

  /// Whether a message answers the latest instruction for the first time.
  func isDue(_ message: ClientMessage, from organization: OrganizationName) -> Bool {
    guard let session = sessions[organization], session.greeting != nil else { return false }
    switch message.body {
    case .hello, .poll, .fetch, .pins, .segment, .witness: return false
    case .acceptance, .refusal, .round, .ready:
      return message.answers > session.answered && message.answers <= session.posted
    }
  }

  /// Queues an instruction.
  ///
  /// One of a run of which the organisation's present process has not been told is meant for an earlier process, and
  /// dropped. An organisation that has left ``queueLimit`` instructions unanswered has to greet again: no later
  /// instruction would make sense to it without the earlier ones.
  /// - Returns: the instruction's number; nil if it was dropped.
  @discardableResult
  func post(_ body: ServerMessage.Body, to organization: OrganizationName) -> UInt64? {
    var session = sessions[organization] ?? Session()
    let waiter = session.waiter
    session.waiter = nil
    switch body {
    case .announcement, .refused, .end: session.isIntroduced = true
    // News are for whoever has greeted, whether there is a run or not.
    case .notice: guard session.greeting != nil else { return nil }
    case .task, .round, .result, .wait, .stored, .part, .witnessed: guard session.isIntroduced else { return nil }
    }
    if session.queue.count < Self.queueLimit {
      session.posted += 1
      session.queue.append((session.posted, body))
      if case .end = body { session.end = session.posted }
    } else {
      session = Session()
    }
    sessions[organization] = session
    waiter?.continuation.resume()
    return session.queue.last?.number
  }

  /// An instruction that its organisation has not answered yet, to be fetched further.
  func instruction(_ number: UInt64, of organization: OrganizationName) -> ServerMessage.Body? {
    sessions[organization]?.queue.first { $0.number == number }?.body
  }

  /// Ends the session of an organisation that is not let in any more.
  func dismiss(_ organization: OrganizationName) {
    sessions.removeValue(forKey: organization)?.waiter?.continuation.resume()
    emit.yield(.revoked(organization))
  }

  /// Drops what an organisation has not fetched yet of an attempt that is over.
  func withdrawRoundInstructions(for organization: OrganizationName) {
    sessions[organization]?.queue.removeAll {
      switch $0.body {
      case .task, .round: true
      case .wait, .announcement, .result, .end, .refused, .stored, .part, .notice, .witnessed: false
      }
    }
  }

  /// True once the organisation has answered everything that was posted to it.
  func hasAnsweredAll(_ organization: OrganizationName) -> Bool {
    guard let session = sessions[organization] else { return true }
    return session.answered >= session.posted
  }

  nonisolated func notify(_ event: Event) { emit.yield(event) }

  /// Answers everyone that waits, and everyone that still comes, with a refusal.
  func close(_ reason: FederationWire.Refusal = .shuttingDown) {
    farewell = reason
    for organization in sessions.keys {
      let waiter = sessions[organization]?.waiter
      sessions[organization]?.waiter = nil
      waiter?.continuation.resume()
    }
    emit.finish()
  }

  // MARK: -

  /// A new process of the organisation: it knows nothing of earlier instructions.
  private func beginSession(_ organization: OrganizationName, greeting: MessageIdentifier) {
    let waiter = sessions[organization]?.waiter
    sessions[organization] = Session(greeting: greeting)
    waiter?.continuation.resume()
  }

  private func acknowledge(_ message: ClientMessage, from organization: OrganizationName) {
    switch message.body {
    case .poll, .fetch, .pins, .witness: return
    case .hello, .acceptance, .refusal, .round, .ready, .segment: break
    }
    guard var session = sessions[organization], message.answers > session.answered else { return }
    session.answered = message.answers
    session.queue.removeAll { $0.number <= message.answers }
    sessions[organization] = session
    emit.yield(.message(organization, message))
  }

  private func next(
    after number: UInt64, for organization: OrganizationName
  ) async -> (UInt64, ServerMessage.Body) {
    if let found = queued(after: number, for: organization) { return found }
    waiters += 1
    let id = waiters
    let timeout = Task { [hold] in
      try? await Task.sleep(for: hold)
      self.release(waiter: id, of: organization)
    }
    await withTaskCancellationHandler {
      await withCheckedContinuation { continuation in
        if Task.isCancelled || farewell != nil { return continuation.resume() }
        let older = sessions[organization]?.waiter
        sessions[organization]?.waiter = (id, number, continuation)
        older?.continuation.resume()
      }
    } onCancel: {
      Task { await self.release(waiter: id, of: organization) }
    }
    timeout.cancel()
    return queued(after: number, for: organization) ?? (number, farewell.map { .refused($0) } ?? .wait)
  }

  private func queued(after number: UInt64, for organization: OrganizationName) -> (UInt64, ServerMessage.Body)? {
    sessions[organization]?.queue.first { $0.number > number }
  }

  private func release(waiter id: UInt64, of organization: OrganizationName) {
    guard let waiter = sessions[organization]?.waiter, waiter.id == id else { return }
    sessions[organization]?.waiter = nil
    waiter.continuation.resume()
  }
}

extension FederationWire.Refusal {
  /// The server does not know this client's session: it was restarted, or the client was.
  static let helloRequired = FederationWire.Refusal(
    code: FederationWire.Refusal.helloRequiredCode, message: "the server has no session with this organisation",
    remedy: "the client greets again by itself; nothing to do")

  /// The run goes on when the server is back: a client that knows the code comes back by itself.
  static let paused = FederationWire.Refusal(
    code: FederationWire.Refusal.pausedCode, message: "the server stops for now; the run goes on when it is back",
    remedy: "the client comes back by itself; nothing to do")

  static let shuttingDown = FederationWire.Refusal(
    code: "shutting-down", message: "the server is shutting down", remedy: "start the client again later")
}
