// inside: Federation
import Cryptography

extension PolicyDecision {
  init(forged kind: OutboundKind) {
    verdict = .allowed
    self.kind = kind
    rules = []
    policy = nil
    plan = nil
    // expected-error@+1 {{return from initializer without initializing all stored properties}}
  }
}

extension AcceptedPlan {
  init(forged plan: RunPlan, manifest: ManifestHash, policy: SHA256Digest) {
    self.plan = plan
    self.manifest = manifest
    self.policy = policy
    checks = []
    // expected-error@+1 {{return from initializer without initializing all stored properties}}
  }
}

extension PrivacyCharge {
  init(forged: Bool) {
    // expected-error@+1 {{return from initializer without initializing all stored properties}}
  }
}
