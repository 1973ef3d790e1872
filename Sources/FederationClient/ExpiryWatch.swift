import Cryptography
import Foundation
import MutualTLS

/// Warns of certificates that end soon: when they are first seen, and every day from then on.
struct ExpiryWatch: Sendable {
  private static let interval = Duration.seconds(86_400)

  private var lastWarning: ContinuousClock.Instant?
  private var seen: [Certificate] = []

  /// - Parameter certificates: this organisation's own first.
  mutating func look(
    at certificates: [Certificate], now: Date = Date(), _ progress: (ClientEvent) -> Void
  ) {
    if certificates == seen, let lastWarning, .now < lastWarning + Self.interval { return }
    seen = certificates
    lastWarning = .now
    for (index, certificate) in certificates.enumerated() where certificate.expiry(at: now).needsAttention {
      progress(
        .certificateDates(
          owner: index == 0 ? "this organisation's certificate" : "certificate of \(certificate.subject)",
          notBefore: certificate.notBefore, notAfter: certificate.notAfter))
    }
  }
}
