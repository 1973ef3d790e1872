import Cryptography

@testable import SecureAggregation

func without(
  _ client: consuming SignedClient, organization: OrganizationName, context: AggregationContext
) -> UnmaskingMessage {
  // expected-error@+1 {{missing argument for parameter #1}}
  client.release(organization: organization, context: context)
}

func onAnUncheckedSet(
  _ client: consuming SignedClient, _ set: StatementSet, organization: OrganizationName,
  context: AggregationContext
) throws -> UnmaskingMessage {
  // expected-error@+1 {{cannot convert value of type 'StatementSet' to expected argument type 'ThresholdProof'}}
  client.release(set, organization: organization, context: context)
}

func beforeSigning(
  _ client: consuming MaskedClient, _ survivors: VerifiedSurvivors, _ proof: consuming ThresholdProof,
  organization: OrganizationName, context: AggregationContext
) -> UnmaskingMessage {
  // expected-error@+1 {{value of type 'MaskedClient' has no member 'release'}}
  client.release(proof, organization: organization, context: context)
}
