import Cryptography
import Foundation
import Testing

@testable import MutualTLS

@Suite struct CertificateLifetimeTests {
  private static let day: TimeInterval = 86_400
  private static let start = Date(timeIntervalSince1970: 1_800_000_000)

  /// Lifetime and age in days, and what is said.
  private static let cases: [(Double, Double, CertificateExpiry)] = [
    // A year and a month: 30 days ahead.
    (397.0, 0.0, CertificateExpiry.valid(daysLeft: 397)), (397, 366.9, .valid(daysLeft: 30)),
    (397, 367, .expiresSoon(in: 30 * 86_400)), (397, 396.5, .expiresSoon(in: 43_200)),
    (397, 397, .expiresSoon(in: 0)), (397, 398, .expired(since: start + 397 * 86_400)),
    (397, -1, .notYetValid(until: start)),
    // Ninety days and less: the last third.
    (90, 59.9, .valid(daysLeft: 30)), (90, 60, .expiresSoon(in: 30 * 86_400)), (30, 0, .valid(daysLeft: 30)),
    (30, 19.5, .valid(daysLeft: 10)), (30, 20, .expiresSoon(in: 10 * 86_400)),
    (1, 0, .valid(daysLeft: 1)), (1, 0.5, .valid(daysLeft: 0)), (1, 0.75, .expiresSoon(in: 21_600)),
  ]

  @Test(arguments: cases)
  func expiryIsToldAhead(_ lifetime: Double, _ age: Double, _ expected: CertificateExpiry) throws {
    let start = CertificateLifetimeTests.start
    let validity = try CertificateValidity(notBefore: start, notAfter: start + lifetime * CertificateLifetimeTests.day)
    #expect(validity.expiry(at: start + age * CertificateLifetimeTests.day) == expected)
  }

  @Test func expiryIsSaidForPeople() throws {
    let date = Date(timeIntervalSince1970: 1_800_000_000)
    let texts: [(CertificateExpiry, String, needsAttention: Bool)] = [
      (.valid(daysLeft: 120), "is valid for 120 more days", false),
      (.valid(daysLeft: 1), "is valid for 1 more day", false),
      (.expiresSoon(in: 12.9 * 86_400), "expires in 12 days: renew it", true),
      (.expiresSoon(in: 30 * 3600), "expires in 30 hours: renew it", true),
      (.expiresSoon(in: 61), "expires in 1 minute: renew it", true),
      (.expired(since: date), "expired on 2027-01-15T08:00:00Z: renew it, or set this machine's clock", true),
      (
        .notYetValid(until: date),
        "is not valid before 2027-01-15T08:00:00Z: this machine's clock is behind, or the authority's was ahead",
        true
      ),
    ]
    for (expiry, text, needsAttention) in texts {
      #expect("\(expiry)" == text)
      #expect(expiry.needsAttention == needsAttention)
    }
  }

  @Test func shortLifetimesBeginALittleEarlier() throws {
    let before = Date()
    let validity = try CertificateValidity.hours(2)
    let after = Date()
    #expect((before - 600...after - 600).contains(validity.notBefore))
    #expect((before + 7200...after + 7200).contains(validity.notAfter))
    for hours in [0, -1, 8_761] {
      let error = #expect(throws: CredentialError.self) { try CertificateValidity.hours(hours) }
      #expect(error?.code == "certificate-validity-invalid")
    }

    let federation = try TestFederation()
    let certificate = try federation.identity("alpha.example", validity: validity).chain[0]
    // A reader whose clock is nine minutes behind accepts it at once; one that is eleven minutes behind does not.
    #expect(certificate.expiry(at: before - 540) == .valid(daysLeft: 0))
    #expect(certificate.expiry(at: before - 660) == .notYetValid(until: certificate.notBefore))
    #expect(certificate.expiry(at: before) == .valid(daysLeft: 0))
    #expect(certificate.expiry(at: before + 90 * 60).needsAttention)
  }

  @Test func aRenewedCertificateDiffersInItsDatesAlone() throws {
    let federation = try TestFederation()
    let cases: [(String, CertificateProfile)] = [
      ("alpha.example", .organization),
      ("server.example", .server(hostNames: ["fl.example"], addresses: ["192.0.2.7", "2001:db8::7"])),
      ([String](repeating: "organisation", count: 8).joined(separator: "."), .organization),
    ]
    for (name, profile) in cases {
      // That it has expired is what one renews it for.
      let identity = try federation.identity(name, profile: profile, validity: .past)
      let old = identity.chain[0]
      let new = try federation.authority.renew(old, validity: CertificateValidity.days(7))
      #expect(new.names == old.names && new.addresses == old.addresses && new.subject == old.subject)
      #expect(new.publicKeyHash == old.publicKeyHash && new.issuer == old.issuer && new.serial != old.serial)
      let now = Date()
      #expect(new.expiry(at: now) == .valid(daysLeft: 6) && old.expiry(at: now) == .expired(since: old.notAfter))
      let request = try CertificateRequest.create(name: OrganizationName(name), key: identity.privateKey)
      try new.check(
        issuedFor: request, name: OrganizationName(name), profile: profile,
        authorities: [federation.authority.certificate])
    }
  }

  @Test func onlyWhatItIssuedIsRenewed() throws {
    let federation = try TestFederation()
    let twin = try TestFederation()
    let foreign = try twin.identity("alpha.example").chain[0]
    // The issuer's name is the same; its key is not.
    #expect(foreign.issuer == federation.authority.certificate.subject)
    for certificate in [foreign, twin.authority.certificate] {
      #expect(throws: CredentialError.defect(.unknownIssuer(issuer: "CN=Test federation"))) {
        try federation.authority.renew(certificate, validity: CertificateValidity.days(1))
      }
    }
    let own = #expect(throws: CredentialError.self) {
      try federation.authority.renew(federation.authority.certificate, validity: CertificateValidity.days(1))
    }
    #expect(own?.code == "certificate-malformed")
    let long = #expect(throws: CredentialError.self) {
      try federation.authority.renew(
        federation.identity("alpha.example").chain[0], validity: CertificateValidity.days(31))
    }
    #expect(long?.code == "certificate-validity-invalid")
  }
}
