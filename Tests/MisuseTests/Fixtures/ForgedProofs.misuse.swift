@testable import SecureAggregation

func roster(_ step: borrowing SharingStep) {
  // expected-error@+1 {{'VerifiedRoster' initializer is inaccessible due to 'fileprivate' protection level}}
  _ = VerifiedRoster.init
}

func delivery(_ step: borrowing MaskingStep) {
  // expected-error@+1 {{'VerifiedDelivery' initializer is inaccessible due to 'fileprivate' protection level}}
  _ = VerifiedDelivery.init
}

func survivors(_ client: borrowing SignedClient) {
  // expected-error@+1 {{'VerifiedSurvivors' initializer is inaccessible due to 'fileprivate' protection level}}
  _ = VerifiedSurvivors.init
}

func threshold(_ client: borrowing SignedClient, _ set: StatementSet, context: AggregationContext) throws {
  // expected-error@+1 {{'ThresholdProof' initializer is inaccessible due to 'fileprivate' protection level}}
  _ = ThresholdProof.init
}
