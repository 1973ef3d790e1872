@testable import SecureAggregation

func roster(_ step: borrowing SharingStep) -> VerifiedRoster {
  step.roster
}

func delivery(_ step: borrowing MaskingStep) -> VerifiedDelivery {
  step.delivery
}

func survivors(_ client: borrowing SignedClient) -> VerifiedSurvivors {
  client.survivors
}

func threshold(_ client: borrowing SignedClient, _ set: StatementSet, context: AggregationContext) throws {
  _ = try client.verify(set, context: context)
}
