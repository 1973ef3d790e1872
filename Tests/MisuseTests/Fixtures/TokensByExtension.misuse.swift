import AuditLog
import Federation

extension EgressRecorded {
  // expected-error@+1 {{'self.init' isn't called on all paths}}
  init(forged: Void) {}
}

extension PolicyDecision {
  // expected-error@+1 {{'self.init' isn't called on all paths}}
  init(forged: Void) {}
}

extension AcceptedPlan {
  // expected-error@+1 {{'self.init' isn't called on all paths}}
  init(forged: Void) {}
}

extension PrivacyCharge {
  // expected-error@+1 {{'self.init' isn't called on all paths}}
  init(forged: Void) {}
}
