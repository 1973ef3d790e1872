// inside: SecureAggregation

func ofOneOwner(
  // expected-error@+1 {{'vault' consumed more than once}}
  _ vault: consuming ShareVault, _ one: consuming ThresholdProof, _ two: consuming ThresholdProof
) -> [[UInt8]?] {
  // expected-note@+1 {{consumed here}}
  let selfMask = vault.release([.selfMask], under: one)
  // expected-note@+1 {{consumed again here}}
  return selfMask + vault.release([.mask], under: two)
}

func besideTheReply(
  // expected-error@+1 {{'client' is borrowed and cannot be consumed}}
  _ client: borrowing SignedClient, _ proof: consuming ThresholdProof
) -> [[UInt8]?] {
  // expected-note@+1 {{consumed here}}
  client.held.vault.release([.mask], under: proof)
}

// expected-error@+1 {{'proof' consumed more than once}}
func underOneProof(_ vault: consuming ShareVault, _ other: consuming ShareVault, _ proof: consuming ThresholdProof) {
  // expected-note@+1 {{consumed here}}
  _ = vault.release([.mask], under: proof)
  // expected-note@+1 {{consumed again here}}
  _ = other.release([.mask], under: proof)
}
