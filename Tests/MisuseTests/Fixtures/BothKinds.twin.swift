// inside: SecureAggregation

func ofOneOwner(_ vault: consuming ShareVault, _ proof: consuming ThresholdProof) -> [[UInt8]?] {
  vault.release([.selfMask], under: proof)
}

func besideTheReply(_ client: consuming SignedClient, _ proof: consuming ThresholdProof) -> [[UInt8]?] {
  client.held.vault.release([.mask], under: proof)
}

func underOneProof(
  _ vault: consuming ShareVault, _ other: consuming ShareVault, _ proof: consuming ThresholdProof,
  _ otherProof: consuming ThresholdProof
) {
  _ = vault.release([.mask], under: proof)
  _ = other.release([.mask], under: otherProof)
}
