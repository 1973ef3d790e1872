// inside: SecureAggregation
import Cryptography

extension ThresholdProof {
  init(forged: Void) {
    // expected-error@+1 {{return from initializer without initializing all stored properties}}
  }
}

extension VerifiedRoster {
  init(forged members: MemberSet, transcript: TranscriptDigest) {
    self.members = members
    self.transcript = transcript
    peers = []
    advertisements = [:]
    // expected-error@+1 {{return from initializer without initializing all stored properties}}
  }
}

extension VerifiedDelivery {
  init(forged members: MemberSet) {
    self.members = members
    entries = []
    peers = []
    digest = Transcript.survivors(members)
    // expected-error@+1 {{return from initializer without initializing all stored properties}}
  }
}

extension VerifiedSurvivors {
  init(forged survivors: MemberSet, statement: ConsistencyStatement) {
    self.survivors = survivors
    self.statement = statement
    // expected-error@+1 {{return from initializer without initializing all stored properties}}
  }
}
