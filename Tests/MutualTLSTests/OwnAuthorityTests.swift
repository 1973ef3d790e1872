import Cryptography
import Foundation
import Testing

@testable import MutualTLS

/// Certificates that another authority issues, with the configuration in `certs/` and the commands of its README.
@Suite(.enabled(if: OpenSSLCommand.isPresent, "needs the openssl command"), .timeLimit(.minutes(2)))
struct OwnAuthorityTests {
  private static let alpha = "alpha.example"

  @Test func certificatesMadeWithTheConfigurationWork() async throws {
    let own = try await OwnAuthority()
    let authority = try own.certificate
    #expect(authority.isAuthority && authority.subject == "CN=Own authority")
    let server = try await own.leaf("server.example", profile: "server")
    let alpha = try await own.leaf(OwnAuthorityTests.alpha, profile: "organization")
    #expect(server.chain[0].addresses == ["127.0.0.1"])
    try alpha.chain[0].check(
      issuedFor: own.request(in: "alpha.example"), name: OrganizationName("alpha.example"), profile: .organization,
      authorities: [authority])
    try server.chain[0].check(
      issuedFor: own.request(in: "server.example"), name: OrganizationName("server.example"),
      profile: .server(addresses: ["127.0.0.1"]), authorities: [authority])
    try await requireConnection(client: alpha, named: "alpha.example", server: server, authorities: [authority])
  }

  /// Root, intermediate, leaf: with the root as the federation's authority and the intermediate behind the leaf, and with
  /// the intermediate alone.
  @Test func anIntermediateAuthorityWorks() async throws {
    let own = try await OwnAuthority(
      sections: """
        [root]
        basicConstraints = critical, CA:TRUE
        keyUsage = critical, keyCertSign
        subjectKeyIdentifier = hash
        """)
    try await own.run(
      [
        "req", "-x509", "-config", own.configuration, "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-noenc",
        "-days", "365", "-sha256", "-extensions", "root", "-keyout", own.federation.path("root.key"),
        "-out", own.federation.path("root.crt"),
      ], name: "Root")
    try await own.request("intermediate.example", file: "intermediate")
    try await own.issue(
      "intermediate.example", file: "intermediate", profile: "authority_extensions", authority: "root")
    let (root, intermediate) = (try own.certificate(in: "root"), try own.certificate(in: "intermediate"))
    let server = try await own.leaf("server.example", profile: "server", authority: "intermediate")
    let alpha = try await own.leaf("alpha.example", profile: "organization", authority: "intermediate")
    let request = try own.request(in: "alpha.example")
    let name = try OrganizationName("alpha.example")

    let alphaChain = try TLSIdentity(chain: alpha.chain + [intermediate], privateKey: alpha.privateKey)
    let serverChain = try TLSIdentity(chain: server.chain + [intermediate], privateKey: server.privateKey)
    for authorities in [[root], [intermediate]] {
      try alpha.chain[0].check(
        issuedFor: request, name: name, profile: .organization, authorities: authorities,
        intermediates: [intermediate])
      try await requireConnection(
        client: alphaChain, named: "alpha.example", server: serverChain, authorities: authorities)
    }
    #expect(throws: CredentialError.defect(.unknownIssuer(issuer: "CN=intermediate.example"))) {
      try alpha.chain[0].check(issuedFor: request, name: name, profile: .organization, authorities: [root])
    }
    // The authority's profile says pathlen:0: an intermediate of its own would be one too many.
    try await own.request("lower.example", file: "lower")
    try await own.issue("lower.example", file: "lower", profile: "authority_extensions", authority: "intermediate")
    try await own.request("alpha.example", file: "alpha.example")
    try await own.issue("alpha.example", file: "alpha.example", profile: "organization", authority: "lower")
    let tooLong = #expect(throws: CredentialError.self) {
      try own.certificate(in: "alpha.example").check(
        issuedFor: own.request(in: "alpha.example"), name: name, profile: .organization, authorities: [root],
        intermediates: [own.certificate(in: "lower"), intermediate])
    }
    #expect(tooLong?.code == "certificate-chain-invalid" && tooLong?.message.contains("path length") == true)
  }

  /// Profiles with one thing wrong in each.
  private static let wrongProfiles = """
    [no_name]
    basicConstraints = critical, CA:FALSE
    keyUsage = critical, digitalSignature
    extendedKeyUsage = clientAuth
    authorityKeyIdentifier = keyid:always
    [other_name]
    basicConstraints = critical, CA:FALSE
    keyUsage = critical, digitalSignature
    extendedKeyUsage = clientAuth
    subjectAltName = DNS:beta.example, DNS:*.example, IP:127.0.0.1
    [no_extended_usage]
    basicConstraints = critical, CA:FALSE
    keyUsage = critical, digitalSignature
    subjectAltName = DNS:$ENV::NAME
    [any_extended_usage]
    basicConstraints = critical, CA:FALSE
    keyUsage = critical, digitalSignature
    extendedKeyUsage = anyExtendedKeyUsage
    subjectAltName = DNS:$ENV::NAME
    [leaf_authority]
    basicConstraints = critical, CA:TRUE
    keyUsage = critical, digitalSignature, keyCertSign
    extendedKeyUsage = clientAuth
    subjectAltName = DNS:$ENV::NAME
    [signs_certificates]
    keyUsage = critical, digitalSignature, keyCertSign
    extendedKeyUsage = clientAuth
    subjectAltName = DNS:$ENV::NAME
    [no_signature]
    basicConstraints = critical, CA:FALSE
    keyUsage = critical, keyAgreement, keyEncipherment
    extendedKeyUsage = clientAuth
    subjectAltName = DNS:$ENV::NAME
    [unknown_critical]
    basicConstraints = critical, CA:FALSE
    extendedKeyUsage = clientAuth
    subjectAltName = DNS:$ENV::NAME
    1.2.3.4 = critical, DER:0500
    [minimal]
    extendedKeyUsage = clientAuth, serverAuth
    subjectAltName = DNS:$ENV::NAME
    [without_identifiers]
    basicConstraints = critical, CA:FALSE
    keyUsage = critical, digitalSignature
    extendedKeyUsage = clientAuth
    subjectAltName = DNS:$ENV::NAME
    authorityKeyIdentifier = none
    """

  @Test func whatIsWrongWithACertificateIsSaid() async throws {
    let own = try await OwnAuthority(sections: OwnAuthorityTests.wrongProfiles)
    let name = try OrganizationName(OwnAuthorityTests.alpha)
    try await own.request(name.value, file: "alpha")
    let request = try own.request(in: "alpha")
    let cases: [(profile: String, CertificateDefect)] = [
      ("no_name", .nameMissing(expected: name, found: [])),
      ("other_name", .nameMissing(expected: name, found: ["beta.example", "*.example"])),
      ("server", .extendedKeyUsageLacks(wanted: "clientAuth")),
      ("no_extended_usage", .extendedKeyUsageLacks(wanted: "clientAuth")),
      ("any_extended_usage", .extendedKeyUsageLacks(wanted: "clientAuth")),
      ("leaf_authority", .isAuthority),
      ("signs_certificates", .isAuthority),
      ("no_signature", .keyUsageLacksSignature),
      ("unknown_critical", .chain(subject: "CN=alpha.example", detail: "unhandled critical extension")),
    ]
    for (profile, defect) in cases {
      try await own.issue(name.value, file: "alpha", profile: profile, to: profile)
      let certificate = try own.certificate(in: profile)
      #expect(throws: CredentialError.defect(defect), "\(profile)") {
        try certificate.check(
          issuedFor: request, name: name, profile: .organization, authorities: [own.certificate])
      }
    }
    // What other authorities may add or leave out.
    try await own.issue(name.value, file: "alpha", profile: "minimal", to: "minimal")
    for profile in [CertificateProfile.organization, .server()] {
      try own.certificate(in: "minimal").check(
        issuedFor: request, name: name, profile: profile, authorities: [own.certificate])
    }
  }

  @Test func theExtensionAndTheRemedyAreNamed() throws {
    let name = try OrganizationName("alpha.example")
    let texts: [(CertificateDefect, message: String, remedy: String)] = [
      (.nameMissing(expected: name, found: []), "subject alternative name", "subjectAltName = DNS:alpha.example"),
      (.extendedKeyUsageLacks(wanted: "clientAuth"), "extended key usage", "extendedKeyUsage = clientAuth"),
      (.isAuthority, "basic constraints", "CA:FALSE"),
      (.keyUsageLacksSignature, "key usage", "keyUsage = critical, digitalSignature"),
    ]
    for (defect, message, remedy) in texts {
      let error = CredentialError.defect(defect)
      #expect(error.message.contains(message) && error.remedy.contains(remedy) && error.blame == .peer)
    }
  }

  @Test func keysAndSignaturesMustBeStrong() async throws {
    let own = try await OwnAuthority()
    let name = try OrganizationName(OwnAuthorityTests.alpha)
    try await own.request(name.value, file: "alpha", key: ["-newkey", "rsa:2048"])
    let request = try own.request(in: "alpha")
    try await own.issue(name.value, file: "alpha", profile: "organization")
    try own.certificate(in: "alpha").check(
      issuedFor: request, name: name, profile: .organization, authorities: [own.certificate])

    try await own.issue(name.value, file: "alpha", profile: "organization", options: ["-sha1"])
    let weak = #expect(throws: CredentialError.self) {
      try own.certificate(in: "alpha").check(
        issuedFor: request, name: name, profile: .organization, authorities: [own.certificate])
    }
    #expect(weak?.code == "certificate-too-weak" && weak?.remedy.contains("SHA-256") == true)

    try await own.request(name.value, file: "short", key: ["-newkey", "rsa:1024"])
    #expect(throws: CredentialError.keyTooWeak(securityBits: 80)) { try own.request(in: "short") }
  }

  @Test func keyIssuerAndDatesAreChecked() async throws {
    let own = try await OwnAuthority(sections: OwnAuthorityTests.wrongProfiles)
    let name = try OrganizationName(OwnAuthorityTests.alpha)
    try await own.request(name.value, file: "alpha")
    try await own.issue(name.value, file: "alpha", profile: "organization")
    let (request, certificate) = (try own.request(in: "alpha"), try own.certificate(in: "alpha"))
    let authority = try own.certificate
    func check(
      _ certificate: Certificate, for other: CertificateRequest? = nil, authorities: [Certificate]? = nil,
      at now: Date = Date()
    ) -> CredentialError? {
      do throws(CredentialError) {
        try certificate.check(
          issuedFor: other ?? request, name: name, profile: .organization, authorities: authorities ?? [authority],
          at: now)
        return nil
      } catch { return error }
    }
    #expect(check(certificate) == nil)

    let other = try CertificateRequest.create(name: name, key: PrivateKey.generate())
    #expect(
      check(certificate, for: other)
        == .defect(.otherKey(expected: other.publicKeyHash, found: request.publicKeyHash)))
    #expect(
      check(certificate, at: certificate.notAfter + 1) == .defect(.expired(since: certificate.notAfter)))
    #expect(
      check(certificate, at: certificate.notBefore - 1) == .defect(.notYetValid(until: certificate.notBefore)))
    #expect(
      check(certificate, authorities: [own.federation.authority.certificate])
        == .defect(.unknownIssuer(issuer: "CN=Own authority")))
    #expect(check(certificate, authorities: []) == .defect(.unknownIssuer(issuer: "CN=Own authority")))
    #expect(check(certificate, authorities: [certificate]) == .notAnAuthority(subject: "CN=alpha.example"))

    // Another authority of the same name, told apart by nothing but its key.
    try await own.makeAuthority("twin")
    try await own.issue(name.value, file: "alpha", profile: "without_identifiers", to: "bare")
    #expect(
      try check(own.certificate(in: "bare"), authorities: [own.certificate(in: "twin")])
        == .defect(.signatureInvalid(subject: "CN=alpha.example")))
    var altered = certificate.der
    altered[altered.count - 1] ^= 1
    #expect(try check(Certificate(der: altered)) == .defect(.signatureInvalid(subject: "CN=alpha.example")))
  }

  @Test func anExpiredIssuerIsSaid() async throws {
    let own = try await OwnAuthority()
    let name = try OrganizationName(OwnAuthorityTests.alpha)
    try await own.request(name.value, file: "alpha")
    // Other authorities let their certificates outlive them.
    try await own.issue(name.value, file: "alpha", profile: "organization", options: ["-sha256", "-days", "500"])
    let (certificate, authority) = (try own.certificate(in: "alpha"), try own.certificate)
    #expect(certificate.notAfter > authority.notAfter)
    let error = #expect(throws: CredentialError.self) {
      try certificate.check(
        issuedFor: own.request(in: "alpha"), name: name, profile: .organization, authorities: [authority],
        at: authority.notAfter + 1)
    }
    #expect(error?.code == "certificate-issuer-out-of-date" && error?.message.contains("CN=Own authority") == true)
  }
}
