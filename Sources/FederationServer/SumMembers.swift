import Cryptography
import Federation

/// Who can take part in attempts at one sum. Pure.
struct SumMembers: Sendable {
  let cohort: [OrganizationName]

  /// Members that take no further part in the attempt: they refused, or sent what does not follow the protocol.
  var declined: Set<OrganizationName> = []
  /// Members that came back as a new process since the attempt began: without its keys.
  var restarted: Set<OrganizationName> = []
  /// U3 of the attempt, once it is fixed.
  var survivors: Set<OrganizationName> = []
  /// Members that have released shares for this sum: in no other attempt again.
  var released: Set<OrganizationName> = []
  /// What members have answered in place of taking part, in this sum.
  private(set) var refusals: [OrganizationName: RefusalClass] = [:]
  /// Members that dealt bad shares: an attempt with them would fail again.
  private var excluded: Set<OrganizationName> = []
  /// Members that would refuse another attempt as well.
  private var unwilling: Set<OrganizationName> = []

  init(cohort: [OrganizationName]) { self.cohort = cohort }

  mutating func beginAttempt() {
    // Who is not asked is not waited for.
    declined = Set(cohort.filter { !canTakePart($0) })
    restarted = []
    survivors = []
  }

  mutating func refuse(_ organization: OrganizationName, _ reason: RefusalClass) {
    declined.insert(organization)
    refusals[organization] = reason
  }

  /// After an attempt that failed by their fault.
  mutating func exclude(_ organizations: Set<OrganizationName>) { excluded.formUnion(organizations) }

  /// After an attempt that failed: who refused it by policy is asked again only if the next sum can be over others,
  /// because a policy judges the set.
  mutating func closeAttempt(present: [OrganizationName]) {
    let isOther = present.contains { !survivors.contains($0) }
    unwilling = Set(
      refusals.compactMap { organization, reason in
        switch reason {
        case .unavailable, .budget: organization
        case .policy: isOther ? nil : organization
        case .protocol, .state: nil
        }
      })
  }

  /// Whether another attempt can have this member.
  func canTakePart(_ organization: OrganizationName) -> Bool {
    !released.contains(organization) && !unwilling.contains(organization) && !excluded.contains(organization)
  }

  /// Who refused, and with which word.
  var explanations: [String] {
    cohort.compactMap { organization in
      refusals[organization].map { "\(organization) refused (\($0.rawValue))" }
    }
  }
}
