import Foundation

/// How a certificate's validity stands at some moment.
public enum CertificateExpiry: Sendable, Hashable, CustomStringConvertible {
  /// Whole days that are left, rounded down.
  case valid(daysLeft: Int)
  /// Ends within the time in which it should be renewed, in this many seconds.
  case expiresSoon(in: TimeInterval)
  case expired(since: Date)
  case notYetValid(until: Date)

  /// Longest time before the end in which a certificate counts as expiring soon, in seconds: 30 days.
  public static let longestWarning: TimeInterval = 30 * 86_400

  /// Whether there is something to do: renew it, or look at the clock.
  public var needsAttention: Bool {
    switch self {
    case .valid: false
    case .expiresSoon, .expired, .notYetValid: true
    }
  }

  /// Continues "The certificate …". Dates are in UTC.
  public var description: String {
    switch self {
    case .valid(let days): "is valid for \(days) more \(days == 1 ? "day" : "days")"
    case .expiresSoon(let time): "expires in \(CertificateExpiry.text(of: time)): renew it"
    case .expired(let date): "expired on \(CertificateExpiry.text(of: date)): renew it, or set this machine's clock"
    case .notYetValid(let date):
      "is not valid before \(CertificateExpiry.text(of: date)): this machine's clock is behind, or the authority's was ahead"
    }
  }

  /// To the second, in UTC.
  static func text(of date: Date) -> String { date.formatted(.iso8601) }

  /// Rounded down to days, hours or minutes, so that nobody waits too long.
  private static func text(of time: TimeInterval) -> String {
    let (count, unit) =
      switch time {
      case (2 * 86_400)...: (Int(time / 86_400), "day")
      case (2 * 3600)...: (Int(time / 3600), "hour")
      default: (Int(max(time, 0) / 60), "minute")
      }
    return "\(count) \(unit)\(count == 1 ? "" : "s")"
  }
}

extension CertificateValidity {
  /// How it stands at `now`: expiring soon within 30 days of its end, or within the last third of a lifetime shorter than
  /// 90 days, so that a certificate for hours is not one that expires soon from its first minute on.
  public func expiry(at now: Date) -> CertificateExpiry {
    let left = notAfter.timeIntervalSince(now)
    if now < notBefore { return .notYetValid(until: notBefore) }
    // RFC 5280, section 4.1.2.5: the last moment is part of the validity.
    if left < 0 { return .expired(since: notAfter) }
    let warning = min(CertificateExpiry.longestWarning, notAfter.timeIntervalSince(notBefore) / 3)
    return left <= warning ? .expiresSoon(in: left) : .valid(daysLeft: Int(left / 86_400))
  }
}

extension Certificate {
  /// How the certificate's validity stands at `now`.
  public func expiry(at now: Date) -> CertificateExpiry { validity.expiry(at: now) }
}
