import Federation

@testable import FederationClient

func neither(_ gate: EgressGate, _ message: consuming OutboundMessage) async throws -> [UInt8] {
  // expected-error@+1 {{missing arguments for parameters 'decision', 'charge' in call}}
  try await gate.send(message)
}

func withoutDecision(
  _ gate: EgressGate, _ message: consuming OutboundMessage, _ charge: consuming PrivacyCharge
) async throws -> [UInt8] {
  // expected-error@+1 {{missing argument for parameter 'decision' in call}}
  try await gate.send(message, charge: charge)
}

func withoutCharge(
  _ gate: EgressGate, _ message: consuming OutboundMessage, _ decision: consuming PolicyDecision
) async throws -> [UInt8] {
  // expected-error@+1 {{missing argument for parameter 'charge' in call}}
  try await gate.send(message, decision: decision)
}

func nothingForCharge(
  _ gate: EgressGate, _ message: consuming OutboundMessage, _ decision: consuming PolicyDecision
) async throws -> [UInt8] {
  // expected-error@+1 {{'nil' is not compatible with expected argument type 'PrivacyCharge'}}
  try await gate.send(message, decision: decision, charge: nil)
}

func acceptedInGeneral(
  _ gate: EgressGate, _ message: consuming OutboundMessage, _ plan: AcceptedPlan
) async throws -> [UInt8] {
  // expected-error@+1 {{cannot convert value of type 'AcceptedPlan' to expected argument type 'PolicyDecision'}}
  try await gate.send(message, decision: plan, charge: .notPrivate())
}

func dataAsControl(_ gate: EgressGate, _ message: consuming OutboundMessage) async throws -> [UInt8] {
  // expected-error@+1 {{type 'ControlMessage' has no member 'maskedInput'}}
  try await gate.send(message, decision: .protocolControl(.maskedInput), charge: .notPrivate())
}

func forgedDecision(_ plan: AcceptedPlan) {
  // expected-error@+1 {{'PolicyDecision' initializer is inaccessible due to 'fileprivate' protection level}}
  _ = PolicyDecision.init
}

func forgedPlan(_ plan: AcceptedPlan) {
  // expected-error@+1 {{'AcceptedPlan' initializer is inaccessible due to 'fileprivate' protection level}}
  _ = AcceptedPlan.init
}

func forgedRefusal(_ refusal: PolicyRefusal) {
  // expected-error@+1 {{'PolicyRefusal' initializer is inaccessible due to 'fileprivate' protection level}}
  _ = PolicyRefusal.init
}

func forgedCharge() {
  // expected-error@+1 {{'PrivacyCharge' initializer is inaccessible due to 'fileprivate' protection level}}
  _ = PrivacyCharge.init
}
