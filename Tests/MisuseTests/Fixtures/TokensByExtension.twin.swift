import AuditLog
import Federation

extension EgressRecorded {
  static func forged() -> EgressRecorded? { nil }
}

extension PolicyDecision {
  static func forged() -> PolicyDecision? { nil }
}

extension AcceptedPlan {
  static func forged() -> AcceptedPlan? { nil }
}

extension PrivacyCharge {
  static func forged() -> PrivacyCharge? { nil }
}
