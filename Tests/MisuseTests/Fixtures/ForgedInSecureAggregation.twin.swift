// inside: SecureAggregation
import Cryptography

extension ThresholdProof {
  static func checked(
    _ set: StatementSet, by client: borrowing SignedClient, context: AggregationContext
  ) throws(AggregationError) -> ThresholdProof {
    try client.verify(set, context: context)
  }
}

extension VerifiedRoster {
  static func kept(by client: borrowing SharedClient) -> VerifiedRoster { client.roster }
}

extension VerifiedDelivery {
  static func kept(by step: borrowing MaskingStep) -> VerifiedDelivery { step.delivery }
}

extension VerifiedSurvivors {
  static func kept(by client: borrowing SignedClient) -> VerifiedSurvivors { client.survivors }
}
