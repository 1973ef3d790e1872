@testable import SecureAggregation

// expected-error@+1 {{'client' consumed more than once}}
func advertised(_ client: consuming AdvertisedClient, _ step: consuming SharingStep) -> AdvertisedClient {
  // expected-note@+1 {{consumed here}}
  _ = client.shared(step)
  // expected-note@+1 {{consumed again here}}
  return client
}

// expected-error@+2 {{'step' consumed more than once}}
func sharedByOneStep(
  _ one: consuming AdvertisedClient, _ other: consuming AdvertisedClient, _ step: consuming SharingStep
) {
  // expected-note@+1 {{consumed here}}
  _ = one.shared(step)
  // expected-note@+1 {{consumed again here}}
  _ = other.shared(step)
}

// expected-error@+1 {{'client' consumed more than once}}
func shared(_ client: consuming SharedClient, _ step: consuming MaskingStep) -> SharedClient {
  // expected-note@+1 {{consumed here}}
  _ = client.masked(step)
  // expected-note@+1 {{consumed again here}}
  return client
}

// expected-error@+1 {{'client' consumed more than once}}
func masked(_ client: consuming MaskedClient, _ one: VerifiedSurvivors, _ other: VerifiedSurvivors) {
  // expected-note@+1 {{consumed here}}
  _ = client.signed(one)
  // expected-note@+1 {{consumed again here}}
  _ = client.signed(other)
}

// expected-error@+1 {{'machine' is borrowed and cannot be consumed}}
func machine(_ machine: borrowing ClientRound) -> ClientRound {
  // expected-note@+1 {{consumed here}}
  return machine
}

// expected-error@+1 {{'machine' used after consume}}
func keptMachine(_ machine: consuming ClientRound) -> ClientStage {
  // expected-note@+1 {{consumed here}}
  var kept = machine
  kept.abandon()
  // expected-note@+1 {{used here}}
  return machine.stage
}
