import Testing

/// What would copy or show a secret, or use one for what it is not for.
@Suite(.timeLimit(.minutes(2))) struct SecretMisuseTests {
  @Test func secretCopied() async throws { try await expectRefused() }
  @Test func secretShown() async throws { try await expectRefused() }
  @Test func rolesSwapped() async throws { try await expectRefused() }
  @Test func keyUsedUp() async throws { try await expectRefused() }
}
