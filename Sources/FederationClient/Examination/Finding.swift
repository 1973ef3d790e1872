import Cryptography

/// What one check of an organisation's client came to.
public struct Finding: Sendable, Hashable {
  public enum Verdict: String, Sendable, CaseIterable {
    case ok
    /// It works; something should be done before long.
    case warning
    case failed
    /// Could not be looked at, and why.
    case skipped
  }

  /// Stable name of the check, such as `certificate-dates`.
  public let check: String
  public let verdict: Verdict
  public let message: String
  /// What to do; nil where there is nothing to do.
  public let remedy: String?

  init(_ check: String, _ verdict: Verdict, _ message: String, remedy: String? = nil) {
    self.check = check
    self.verdict = verdict
    self.message = message
    self.remedy = remedy
  }

  init(_ check: String, _ error: some BlamedError, _ verdict: Verdict = .failed) {
    self.init(check, verdict, error.message, remedy: error.remedy.isEmpty ? nil : error.remedy)
  }
}
