@testable import SecureAggregation

func advertised(_ client: consuming AdvertisedClient, _ step: consuming SharingStep) -> SharedClient {
  client.shared(step)
}

func sharedByOneStep(
  _ one: consuming AdvertisedClient, _ other: consuming AdvertisedClient, _ step: consuming SharingStep,
  _ otherStep: consuming SharingStep
) {
  _ = one.shared(step)
  _ = other.shared(otherStep)
}

func shared(_ client: consuming SharedClient, _ step: consuming MaskingStep) -> MaskedClient {
  client.masked(step)
}

func masked(_ client: consuming MaskedClient, _ one: VerifiedSurvivors, _ other: VerifiedSurvivors) {
  _ = client.signed(one)
  _ = other.survivors
}

func machine(_ machine: consuming ClientRound) -> ClientRound {
  return machine
}

func keptMachine(_ machine: consuming ClientRound) -> ClientStage {
  var kept = machine
  kept.abandon()
  return kept.stage
}
