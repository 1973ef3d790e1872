import Testing

/// What would let a message out past its record, the policy's decision or its privacy charge.
@Suite(.timeLimit(.minutes(2))) struct EgressMisuseTests {
  @Test func egressWithoutRecord() async throws { try await expectRefused() }
  @Test func egressWithoutDecision() async throws { try await expectRefused() }
  /// One record, decision and charge for one message.
  @Test func egressTwice() async throws { try await expectRefused() }
  @Test func tokensByExtension() async throws { try await expectRefused() }
  /// Nor does the rest of the module that makes a token make one by hand.
  @Test func forgedInAuditLog() async throws { try await expectRefused() }
  @Test func forgedInFederation() async throws { try await expectRefused() }
}
