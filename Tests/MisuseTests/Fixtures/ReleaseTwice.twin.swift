import Cryptography

@testable import SecureAggregation

func twice(
  _ client: consuming SignedClient, _ proof: consuming ThresholdProof,
  organization: OrganizationName, context: AggregationContext
) -> [UnmaskingMessage] {
  let reply = client.release(proof, organization: organization, context: context)
  // What is sent twice is the message.
  return [reply, reply]
}

func again(
  _ client: consuming SignedClient, _ set: StatementSet, organization: OrganizationName,
  context: AggregationContext
) throws -> UnmaskingMessage {
  _ = try client.verify(set, context: context)
  let proof = try client.verify(set, context: context)
  return client.release(proof, organization: organization, context: context)
}

func lent(
  _ client: consuming SignedClient, _ proof: consuming ThresholdProof,
  organization: OrganizationName, context: AggregationContext
) -> UnmaskingMessage {
  client.release(proof, organization: organization, context: context)
}

func oneProofForTwo(
  _ client: consuming SignedClient, _ other: consuming SignedClient, _ proof: consuming ThresholdProof,
  _ otherProof: consuming ThresholdProof, organization: OrganizationName, context: AggregationContext
) -> [UnmaskingMessage] {
  let first = client.release(proof, organization: organization, context: context)
  let second = other.release(otherProof, organization: organization, context: context)
  return [first, second]
}
