import AuditLog
import Cryptography
import Federation
import FederationWire

/// Where organisations' sessions begin, between runs and during them: takes their greetings, their approvals and what
/// they say of their keys, and tells them what is new in the federation.
///
/// Whoever conducts the present run (or waits for the next) takes one event at a time from it.
actor Lobby {
  enum Event: Sendable {
    /// A session has begun; the organisation waits for a run.
    case greeted(OrganizationName)
    case message(OrganizationName, ClientMessage)
    case connected(OrganizationName)
    case disconnected(OrganizationName)
    case revoked(OrganizationName)
    case timer(UInt64)
    /// Something outside the sessions: a run was queued, cancelled or is to be handed back.
    case wake
  }

  /// News that a session was told, under the number of its instruction.
  private struct Told {
    var instruction: UInt64
    var pins: Int
    var manifest: ManifestHash?
  }

  nonisolated let hub: SessionHub
  nonisolated let membership: ServerMembership
  private let log: AuditLogWriter
  private let statementRates: MessageRates
  private let progress: @Sendable (RunEvent) -> Void
  private var events: AsyncStream<SessionHub.Event>.Iterator
  private var connections: [OrganizationName: Int] = [:]
  /// Under which version each session has greeted. Who hears the end of a run greets again: see ``beginAnew(_:)``.
  private var greeted: [OrganizationName: ManifestHash] = [:]
  private var told: [OrganizationName: Told] = [:]
  /// The latest statement of the server's that each organisation has taken.
  private var taken: [OrganizationName: Int] = [:]

  init(
    hub: SessionHub, membership: ServerMembership, log: AuditLogWriter,
    statementRates: MessageRates = .ofStatements(), progress: @escaping @Sendable (RunEvent) -> Void
  ) {
    self.hub = hub
    self.membership = membership
    self.log = log
    self.statementRates = statementRates
    self.progress = progress
    events = hub.events.makeAsyncIterator()
  }

  /// The next event, after the bookkeeping of sessions. One caller at a time.
  ///
  /// - Throws: `RunStop.shutDown` once the hub is closed; an error of the log.
  func next() async throws -> Event {
    // The iterator is this actor's alone, and there is one caller at a time.
    var iterator = events
    let next = await iterator.next(isolation: self)
    events = iterator
    guard let event = next else { throw RunStop.shutDown }
    switch event {
    case .connected(let organization):
      connections[organization, default: 0] += 1
      progress(.connected(organization))
      return .connected(organization)
    case .disconnected(let organization):
      connections[organization] = max(0, (connections[organization] ?? 0) - 1)
      progress(.disconnected(organization))
      return .disconnected(organization)
    case .message(let organization, let message):
      acknowledge(organization, message)
      guard case .hello(let greeting) = message.body else { return .message(organization, message) }
      return try await greet(organization, greeting) ? .greeted(organization) : .message(organization, message)
    case .revoked(let organization):
      greeted[organization] = nil
      told[organization] = nil
      taken[organization] = nil
      return .revoked(organization)
    case .timer(let number): return .timer(number)
    case .wake: return .wake
    }
  }

  /// Between runs: minds the sessions until something outside them has changed. Nothing that organisations send makes the
  /// server look for runs on its disk.
  ///
  /// - Throws: as ``next()``.
  func waitForWake() async throws {
    while true {
      if case .wake = try await next() { return }
    }
  }

  /// Connections that are there now, by organisation.
  var connected: [OrganizationName: Int] { connections.filter { $0.value > 0 } }

  /// Sessions that wait for a run.
  var waiting: [OrganizationName] { greeted.keys.sorted() }

  /// The number of the server's statement of pins that each organisation has taken.
  var acknowledgedPins: [OrganizationName: Int] { taken }

  /// What an organisation says of its own certificate keys in the middle of a session.
  ///
  /// - Returns: the number of its latest statement that is known.
  func state(_ note: [UInt8], by organization: OrganizationName) throws -> Int {
    try take(note, from: organization)
    return membership.current.sequence(of: organization)
  }

  /// Before the organisations of a run are told its end: whoever hears it greets again. Others, such as one that was
  /// admitted during the run, hear nothing of it and go on waiting.
  func beginAnew(_ organizations: [OrganizationName]) {
    for organization in organizations {
      greeted[organization] = nil
      told[organization] = nil
    }
  }

  /// Tells everybody what is new since they were told last.
  func tellNews() async {
    for (organization, hash) in greeted { await tellNews(organization, greeting: hash) }
  }

  // MARK: -

  /// - Returns: whether the organisation can take part in a run of either version.
  private func greet(_ organization: OrganizationName, _ greeting: Greeting) async throws -> Bool {
    told[organization] = nil
    greeted[organization] = nil
    if !greeting.pins.isEmpty { try take(greeting.pins, from: organization) }
    guard membership.current.manifest(greeting.manifest) != nil else {
      progress(.refused(organization, reason: "it acts under another version of the manifest"))
      try record(.policyDecision) {
        $0.source = .init(name: organization)
        $0.policy = .init(.refused, rule: FederationWire.Refusal.otherManifest.code)
      }
      await tellNews(organization, greeting: greeting.manifest)
      await hub.post(.refused(.otherManifest), to: organization)
      return false
    }
    try approve(greeting, by: organization)
    greeted[organization] = greeting.manifest
    await tellNews(organization, greeting: greeting.manifest)
    return true
  }

  private func approve(_ greeting: Greeting, by organization: OrganizationName) throws {
    let approved: SignedManifest?
    do throws(ServerError) {
      approved = try membership.approve(greeting.manifest, by: organization, greeting.approval)
    } catch {
      progress(.refusedMessage(organization, code: error.code, message: error.message))
      return
    }
    guard let approved else { return }
    try record(.approval) {
      $0.manifest = approved.hash
      $0.approver = organization.value
    }
    progress(
      .approved(organization, version: approved.manifest.version, missing: approved.approvals.missing))
  }

  /// - Throws: `AuditLogError`, and the statement does not count then.
  private func take(_ note: [UInt8], from organization: OrganizationName) throws {
    // The one that is known is said with every greeting, and costs nothing.
    if membership.current.statement(of: organization)?.serialized == note { return }
    guard try isWithinRate(organization) else { return }
    do throws(ServerError) {
      let taken = try membership.take(note, from: organization) { (statement) throws(ServerError) in
        do throws(AuditLogError) {
          try record(.keyChange) {
            $0.source = .init(name: organization, tlsPeer: statement.pins.current)
            $0.reason = "certificate keys, statement \(statement.sequence)"
          }
        } catch { throw .log(error) }
      }
      if let taken { progress(.pinsStated(organization, sequence: taken.sequence)) }
    } catch {
      if case .log(let failure) = error { throw failure }
      progress(.refusedMessage(organization, code: error.code, message: error.message))
      try record(.keyChange) {
        $0.source = .init(name: organization)
        $0.outcome = .refused
        $0.error = .init(error)
      }
    }
  }

  /// Whether an organisation may say something new of its keys now. The first of a series of refusals is told and on the
  /// record; its other messages are not touched by it, and it says the same again with its next greeting at the latest.
  private func isWithinRate(_ organization: OrganizationName) throws(AuditLogError) -> Bool {
    let verdict = statementRates.take(from: organization)
    if verdict == .beginsToRefuse {
      let code = "too-many-statements"
      progress(
        .refusedMessage(
          organization, code: code,
          message: "more than \(statementRates.burst) statements of its certificate keys in a short time"))
      try record(.keyChange) {
        $0.source = .init(name: organization)
        $0.outcome = .refused
        $0.error = .init(code: code, blame: .peer)
      }
    }
    return verdict == .taken
  }

  private func tellNews(_ organization: OrganizationName, greeting hash: ManifestHash) async {
    let view = membership.current
    let known = told[organization]
    let pins = view.ownStatement.flatMap { ($0.sequence > known?.pins ?? 0) ? $0 : nil }
    let isNew = view.newest.hash != hash && known?.manifest != view.newest.hash
    guard pins != nil || isNew else { return }
    let notice = FederationNotice(
      pins: pins?.serialized ?? [], manifest: isNew ? view.newest.serializedText : "")
    guard let number = await hub.post(.notice(notice), to: organization) else { return }
    told[organization] = Told(
      instruction: number, pins: pins?.sequence ?? known?.pins ?? 0,
      manifest: isNew ? view.newest.hash : known?.manifest)
  }

  private func acknowledge(_ organization: OrganizationName, _ message: ClientMessage) {
    guard let news = told[organization], message.answers >= news.instruction else { return }
    if news.pins > 0 { taken[organization] = news.pins }
  }

  private func record(_ event: AuditRecord.Event, _ fill: (inout AuditRecord.Draft) -> Void) throws(AuditLogError) {
    var draft = AuditRecord.Draft(event)
    let manifest = membership.current.newest
    draft.federation = manifest.manifest.federation.value
    draft.manifest = manifest.hash
    fill(&draft)
    try log.append(draft)
  }
}
