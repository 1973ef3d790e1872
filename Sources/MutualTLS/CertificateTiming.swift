import Foundation

/// A certificate's dates against the clock of the machine that looked at it, and which of the two is likely wrong.
public struct CertificateTiming: Sendable, Hashable {
  public let notBefore: Date
  public let notAfter: Date
  /// This machine's clock.
  public let now: Date
  /// Whether this side's own certificate and its authorities are valid by the same clock. When they are not, the clock
  /// is the likelier fault.
  public let ownCertificatesAreValid: Bool

  public init(notBefore: Date, notAfter: Date, now: Date, ownCertificatesAreValid: Bool) {
    self.notBefore = notBefore
    self.notAfter = notAfter
    self.now = now
    self.ownCertificatesAreValid = ownCertificatesAreValid
  }

  var suspectsThisClock: Bool { !ownCertificatesAreValid }

  /// The dates, the clock, how far apart they are, and what that points to. No final stop.
  var explanation: String {
    let clock = "this machine's clock says \(CertificateExpiry.text(of: now))"
    if now < notBefore {
      return """
        not valid before \(CertificateExpiry.text(of: notBefore)); \(clock), \
        \(CertificateTiming.span(notBefore.timeIntervalSince(now))) earlier: \
        \(suspicion(otherwise: "one of the clocks is likely wrong, this one or that of the certificate's issuer"))
        """
    }
    if now > notAfter {
      return """
        valid until \(CertificateExpiry.text(of: notAfter)); \(clock), \
        \(CertificateTiming.span(now.timeIntervalSince(notAfter))) later: \
        \(suspicion(otherwise: "the certificate is likely the one to renew"))
        """
    }
    return """
      valid from \(CertificateExpiry.text(of: notBefore)) until \(CertificateExpiry.text(of: notAfter)); \(clock), \
      within these dates: the other side's clock is likely wrong, or shows another certificate's dates
      """
  }

  private func suspicion(otherwise: String) -> String {
    suspectsThisClock
      ? "this side's own certificates are not valid by this clock either, so the clock is likely wrong" : otherwise
  }

  /// The two largest units of a span of time: `45 minutes`, `2 days 3 hours`.
  static func span(_ seconds: TimeInterval) -> String {
    var rest = Int(min(max(seconds.rounded(), 0), 1e15))
    var parts: [String] = []
    for (unit, length) in [("day", 86_400), ("hour", 3600), ("minute", 60), ("second", 1)] {
      let count = rest / length
      rest %= length
      if count > 0 { parts.append("\(count) \(unit)\(count == 1 ? "" : "s")") }
    }
    return parts.isEmpty ? "less than a second" : parts.prefix(2).joined(separator: " ")
  }
}
