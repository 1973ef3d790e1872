import Federation

@testable import FederationClient

func neither(_ gate: EgressGate, _ message: consuming OutboundMessage) async throws -> [UInt8] {
  try await gate.send(message, decision: .protocolControl(.poll), charge: .notPrivate())
}

func withoutDecision(
  _ gate: EgressGate, _ message: consuming OutboundMessage, _ charge: consuming PrivacyCharge
) async throws -> [UInt8] {
  try await gate.send(message, decision: .refusing(.state, plan: nil), charge: charge)
}

func withoutCharge(
  _ gate: EgressGate, _ message: consuming OutboundMessage, _ decision: consuming PolicyDecision
) async throws -> [UInt8] {
  try await gate.send(message, decision: decision, charge: .notPrivate())
}

func nothingForCharge(
  _ gate: EgressGate, _ message: consuming OutboundMessage, _ decision: consuming PolicyDecision
) async throws -> [UInt8] {
  let charge = PrivacyCharge.notPrivate()
  return try await gate.send(message, decision: decision, charge: charge)
}

func acceptedInGeneral(
  _ gate: EgressGate, _ message: consuming OutboundMessage, _ plan: AcceptedPlan
) async throws -> [UInt8] {
  try await gate.send(message, decision: plan.decision(for: .maskedInput), charge: .notPrivate())
}

func dataAsControl(_ gate: EgressGate, _ message: consuming OutboundMessage) async throws -> [UInt8] {
  try await gate.send(message, decision: .protocolControl(.ready), charge: .notPrivate())
}

func forgedDecision(_ plan: AcceptedPlan) {
  _ = plan.decision(for: .unmasking)
}

func forgedPlan(_ plan: AcceptedPlan) {
  _ = plan
}

func forgedRefusal(_ refusal: PolicyRefusal) {
  _ = refusal.decision
}

func forgedCharge() {
  _ = PrivacyCharge.notPrivate()
}
