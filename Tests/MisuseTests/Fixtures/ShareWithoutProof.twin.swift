// inside: SecureAggregation

func fromTheVault(_ vault: consuming ShareVault, _ proof: consuming ThresholdProof) -> [[UInt8]?] {
  vault.release([.mask], under: proof)
}

func beforeSigning(_ client: consuming MaskedClient, _ proof: consuming ThresholdProof) -> [[UInt8]?] {
  client.held.vault.release([.selfMask], under: proof)
}

func asBytes(_ vault: borrowing ShareVault, _ proof: consuming ThresholdProof) -> Int {
  vault.holds(0) ? 1 : 0
}
