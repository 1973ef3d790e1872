// inside: Federation
import Cryptography

extension PolicyDecision {
  static func made(by plan: AcceptedPlan, for kind: OutboundKind) -> PolicyDecision { plan.decision(for: kind) }
}

extension AcceptedPlan {
  static func same(_ plan: AcceptedPlan) -> AcceptedPlan { plan }
}

extension PrivacyCharge {
  static func free() -> PrivacyCharge { .notPrivate() }
}
