@testable import SecureAggregation

extension VerifiedRoster {
  // expected-error@+1 {{'self.init' isn't called on all paths}}
  init(forged: Void) {}
}

extension VerifiedDelivery {
  // expected-error@+1 {{'self.init' isn't called on all paths}}
  init(forged: Void) {}
}

extension VerifiedSurvivors {
  // expected-error@+1 {{'self.init' isn't called on all paths}}
  init(forged: Void) {}
}

extension ThresholdProof {
  // expected-error@+1 {{'self.init' isn't called on all paths}}
  init(forged: Void) {}
}
