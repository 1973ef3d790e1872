import Cryptography
import Federation

/// Who is there, who has accepted, and since when somebody is missing. Pure: time is passed in.
struct Attendance: Sendable {
  enum Answer: Equatable, Sendable {
    case accepted(features: [String])
    case refused(reason: String)
  }

  /// Organisations of the manifest, sorted.
  let organizations: [OrganizationName]
  /// How long a lost connection may take to come back before its organisation counts as gone.
  let reconnectGrace: Duration

  private(set) var answers: [OrganizationName: Answer] = [:]
  private var connections: [OrganizationName: Int] = [:]
  private var lostAt: [OrganizationName: ContinuousClock.Instant] = [:]
  private var removed: Set<OrganizationName> = []

  init(organizations: [OrganizationName], reconnectGrace: Duration) {
    self.organizations = organizations.sorted()
    self.reconnectGrace = reconnectGrace
  }

  mutating func connected(_ organization: OrganizationName) {
    connections[organization, default: 0] += 1
    lostAt[organization] = nil
  }

  /// - Returns: when the organisation counts as gone unless it comes back, or nil if another connection remains.
  mutating func disconnected(_ organization: OrganizationName, at now: ContinuousClock.Instant)
    -> ContinuousClock.Instant?
  {
    let remaining = (connections[organization] ?? 0) - 1
    connections[organization] = max(remaining, 0)
    guard remaining <= 0 else { return nil }
    lostAt[organization] = now
    return now + reconnectGrace
  }

  mutating func answer(_ organization: OrganizationName, _ answer: Answer) {
    if !removed.contains(organization) { answers[organization] = answer }
  }

  /// It is not let in any more: gone, and not waited for.
  mutating func remove(_ organization: OrganizationName) {
    connections[organization] = 0
    lostAt[organization] = nil
    removed.insert(organization)
    answers[organization] = .refused(reason: "revoked")
  }

  /// A new process of the organisation has to accept again.
  mutating func forget(_ organization: OrganizationName) {
    if !removed.contains(organization) { answers[organization] = nil }
  }

  func hasAccepted(_ organization: OrganizationName) -> Bool {
    guard case .accepted? = answers[organization] else { return false }
    return true
  }

  func isConnected(_ organization: OrganizationName) -> Bool {
    !removed.contains(organization) && (connections[organization] ?? 0) > 0
  }

  /// Not connected, and for longer than the grace.
  func isGone(_ organization: OrganizationName, at now: ContinuousClock.Instant) -> Bool {
    guard !isConnected(organization) else { return false }
    guard let lost = lostAt[organization] else { return true }
    return now >= lost + reconnectGrace
  }

  /// When the last of these was lost; nil if one of them was never there.
  func lastLoss(among organizations: [OrganizationName]) -> ContinuousClock.Instant? {
    let losses = organizations.map { lostAt[$0] }
    return losses.contains(nil) ? nil : losses.compactMap { $0 }.max()
  }

  /// Who refused, in words.
  var explanations: [String] {
    organizations.compactMap { organization in
      guard case .refused(let reason)? = answers[organization] else { return nil }
      return "\(organization) refused (\(reason))"
    }
  }
}
