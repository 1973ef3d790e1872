import Cryptography

@testable import SecureAggregation

func without(
  _ client: consuming SignedClient, _ proof: consuming ThresholdProof, organization: OrganizationName,
  context: AggregationContext
) -> UnmaskingMessage {
  client.release(proof, organization: organization, context: context)
}

func onAnUncheckedSet(
  _ client: consuming SignedClient, _ set: StatementSet, organization: OrganizationName,
  context: AggregationContext
) throws -> UnmaskingMessage {
  let proof = try client.verify(set, context: context)
  return client.release(proof, organization: organization, context: context)
}

func beforeSigning(
  _ client: consuming MaskedClient, _ survivors: VerifiedSurvivors, _ proof: consuming ThresholdProof,
  organization: OrganizationName, context: AggregationContext
) -> UnmaskingMessage {
  let signed = client.signed(survivors)
  return signed.release(proof, organization: organization, context: context)
}
