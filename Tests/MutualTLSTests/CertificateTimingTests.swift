import Cryptography
import Foundation
import Testing

@testable import MutualTLS

/// What a refusal says about clocks.
@Suite struct CertificateTimingTests {
  private static let noon = Date(timeIntervalSince1970: 1_795_608_000)  // 2026-11-25T12:00:00Z

  private static func timing(from: TimeInterval, to: TimeInterval, ownAreValid: Bool = true) -> CertificateTiming {
    CertificateTiming(
      notBefore: noon + from, notAfter: noon + to, now: noon, ownCertificatesAreValid: ownAreValid)
  }

  @Test func aCertificateOfTheFutureNamesDatesClockAndSuspicion() {
    let refusal = HandshakeRefusal.notYetValid(Self.timing(from: 45 * 60, to: 86_400))
    #expect(
      refusal.message == """
        The peer's certificate is not valid yet: not valid before 2026-11-25T12:45:00Z; this machine's clock says \
        2026-11-25T12:00:00Z, 45 minutes earlier: one of the clocks is likely wrong, this one or that of the \
        certificate's issuer.
        """)
    #expect(refusal.remedy.contains("or wait"))
  }

  @Test func anExpiredCertificateIsTheLikelierFault() {
    let refusal = HandshakeRefusal.expired(Self.timing(from: -90 * 86_400, to: -(2 * 86_400 + 3 * 3600 + 7)))
    #expect(refusal.message.contains("valid until 2026-11-23T08:59:53Z"))
    #expect(refusal.message.contains("2 days 3 hours later: the certificate is likely the one to renew"))
    #expect(refusal.remedy.contains("renewed certificate"))
  }

  @Test func aClockByWhichOwnCertificatesAreInvalidIsWrongItself() {
    for refusal in [
      HandshakeRefusal.expired(Self.timing(from: -7200, to: -3600, ownAreValid: false)),
      .notYetValid(Self.timing(from: 3600, to: 7200, ownAreValid: false)),
    ] {
      #expect(refusal.message.contains("so the clock is likely wrong"))
      #expect(refusal.remedy == "Set this machine's clock.")
    }
  }

  /// The side that is refused learns only an alert; it adds what it knows itself.
  @Test func whoIsRefusedIsToldItsOwnDates() {
    let timing = Self.timing(from: -60, to: 86_400)
    let refusal = HandshakeRefusal.refusedByPeer(role: .client, alert: .badCertificate, own: timing)
    #expect(refusal.message.contains("This side's certificate is valid from 2026-11-25T11:59:00Z"))
    #expect(refusal.message.contains("the other side's clock is likely wrong"))
    #expect(!HandshakeRefusal.refusedByPeer(role: .client, alert: .unknownAuthority).message.contains("This side's"))
  }

  /// Over a real handshake, in both directions: who judges gives the other's dates, who is judged its own.
  @Test(arguments: [TLSRole.client, .server], [true, false])
  func handshakesCarryTheDates(_ judged: TLSRole, isExpired: Bool) throws {
    let federation = try TestFederation()
    let validity = try isExpired ? CertificateValidity.past : CertificateValidity.future
    let parts = LinkParts(
      federation: federation,
      server: try federation.identity(
        "server.example", profile: .server(), validity: judged == .server ? validity : nil),
      client: try federation.identity("alpha.example", validity: judged == .client ? validity : nil))
    let link = try MemoryLink(parts)
    try link.connect()
    try link.exchange()
    let faulty = judged == .client ? parts.client : parts.server
    let judge = link.end(judged == .client ? .server : .client)
    let judgement = try #require(judge.events.refusals.first)
    switch judgement {
    case .expired(let timing), .notYetValid(let timing):
      #expect(timing.notBefore == faulty.chain[0].notBefore && timing.notAfter == faulty.chain[0].notAfter)
      #expect(timing.ownCertificatesAreValid)
      #expect(judgement.code == (isExpired ? "tls-certificate-expired" : "tls-certificate-not-yet-valid"))
    default: Issue.record("\(judgement)")
    }
    guard case .refusedByPeer(_, _, let own?)? = link.end(judged).events.refusals.first else {
      Issue.record("\(link.end(judged).events.refusals)")
      return
    }
    #expect(own.notBefore == faulty.chain[0].notBefore && own.notAfter == faulty.chain[0].notAfter)
    link.finish()
  }
}
