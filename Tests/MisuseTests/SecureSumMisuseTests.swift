import Testing

/// What would give the same secret out twice, or on nobody's signature.
@Suite(.timeLimit(.minutes(2))) struct SecureSumMisuseTests {
  /// Shares of either kind leave a client once.
  @Test func releaseTwice() async throws { try await expectRefused() }
  @Test func releaseWithoutProof() async throws { try await expectRefused() }
  /// A state that was advanced is gone, and with it what it could have signed or masked again.
  @Test func earlierState() async throws { try await expectRefused() }
  /// What says that something was verified comes from verifying it.
  @Test func forgedProofs() async throws { try await expectRefused() }
  @Test func proofsByExtension() async throws { try await expectRefused() }
  /// Nor does the rest of the module make one by hand.
  @Test func forgedInSecureAggregation() async throws { try await expectRefused() }
  /// Of the two shares of an owner one kind leaves, under a proof.
  @Test func bothKinds() async throws { try await expectRefused() }
  @Test func shareWithoutProof() async throws { try await expectRefused() }
  /// z and b are shown to be sealed, and not kept.
  @Test func maskingSecretsKept() async throws { try await expectRefused() }
}
