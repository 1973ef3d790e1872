// inside: SecureAggregation

func fromTheVault(_ vault: consuming ShareVault, _ proof: consuming ThresholdProof) -> [[UInt8]?] {
  // expected-error@+1 {{missing argument for parameter 'under' in call}}
  vault.release([.mask])
}

func beforeSigning(_ client: consuming MaskedClient, _ proof: consuming ThresholdProof) -> [[UInt8]?] {
  // expected-error@+1 {{missing argument for parameter 'under' in call}}
  client.held.vault.release([.selfMask])
}

func asBytes(_ vault: borrowing ShareVault, _ proof: consuming ThresholdProof) -> Int {
  // expected-error@+1 {{'slab' is inaccessible due to 'private' protection level}}
  vault.slab.withUnsafeBytes { $0.count }
}
