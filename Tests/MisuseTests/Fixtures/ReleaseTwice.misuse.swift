import Cryptography

@testable import SecureAggregation

func twice(
  // expected-error@+1 {{'client' consumed more than once}}
  _ client: consuming SignedClient, _ one: consuming ThresholdProof, _ two: consuming ThresholdProof,
  organization: OrganizationName, context: AggregationContext
) -> [UnmaskingMessage] {
  // expected-note@+1 {{consumed here}}
  let first = client.release(one, organization: organization, context: context)
  // expected-note@+1 {{consumed again here}}
  let second = client.release(two, organization: organization, context: context)
  return [first, second]
}

func again(
  // expected-error@+1 {{'client' used after consume}}
  _ client: consuming SignedClient, _ proof: consuming ThresholdProof, _ set: StatementSet,
  organization: OrganizationName, context: AggregationContext
) throws -> UnmaskingMessage {
  // expected-note@+1 {{consumed here}}
  let reply = client.release(proof, organization: organization, context: context)
  // expected-note@+1 {{used here}}
  _ = try client.verify(set, context: context)
  return reply
}

func lent(
  // expected-error@+1 {{'client' is borrowed and cannot be consumed}}
  _ client: borrowing SignedClient, _ proof: consuming ThresholdProof,
  organization: OrganizationName, context: AggregationContext
) -> UnmaskingMessage {
  // expected-note@+1 {{consumed here}}
  client.release(proof, organization: organization, context: context)
}

func oneProofForTwo(
  // expected-error@+1 {{'proof' consumed more than once}}
  _ client: consuming SignedClient, _ other: consuming SignedClient, _ proof: consuming ThresholdProof,
  organization: OrganizationName, context: AggregationContext
) -> [UnmaskingMessage] {
  // expected-note@+1 {{consumed here}}
  let first = client.release(proof, organization: organization, context: context)
  // expected-note@+1 {{consumed again here}}
  let second = other.release(proof, organization: organization, context: context)
  return [first, second]
}
