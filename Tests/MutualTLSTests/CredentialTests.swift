import Cryptography
import Foundation
import Testing

@testable import MutualTLS

@Suite struct PrivateKeyTests {
  @Test func aKeyIsWrittenForItsOwnerOnlyAndReadBack() throws {
    let federation = try TestFederation()
    let path = federation.path("tls.key")
    let key = try PrivateKey.generate(creatingFile: path)
    let mode = try FileManager.default.attributesOfItem(atPath: path)[.posixPermissions] as? Int
    #expect(mode == 0o600)
    #expect(try PrivateKey(loading: .file(path)).publicKeyHash == key.publicKeyHash)
    #expect(try PrivateKey(loading: PrivateKeySource("file:\(path)")).publicKeyHash == key.publicKeyHash)
    #expect(try FileManager.default.contentsOfDirectory(atPath: federation.directory.path) == ["tls.key"])
  }

  @Test func aKeyIsNeverOverwritten() throws {
    let federation = try TestFederation()
    let path = federation.path("tls.key")
    let key = try PrivateKey.generate(creatingFile: path)
    #expect(throws: CredentialError.keyFileExists(path: path)) { try PrivateKey.generate(creatingFile: path) }
    #expect(try PrivateKey(loading: .file(path)).publicKeyHash == key.publicKeyHash)
    #expect(try FileManager.default.contentsOfDirectory(atPath: federation.directory.path) == ["tls.key"])
  }

  @Test(arguments: [0o644, 0o640, 0o604, 0o660, 0o610])
  func aKeyThatOthersMayTouchIsRefused(_ mode: Int) throws {
    let federation = try TestFederation()
    let path = federation.path("tls.key")
    _ = try PrivateKey.generate(creatingFile: path)
    try FileManager.default.setAttributes([.posixPermissions: mode], ofItemAtPath: path)
    let error = CredentialError.keyExposed(path: path, mode: UInt16(mode))
    #expect(throws: error) { try PrivateKey(loading: .file(path)) }
    #expect(throws: error) { try PrivateKey(loading: PrivateKeySource("file:\(path)")) }
    #expect(error.message.contains("mode 0\(String(mode, radix: 8))") && error.remedy.contains("chmod 600"))
    try FileManager.default.setAttributes([.posixPermissions: 0o400], ofItemAtPath: path)
    _ = try PrivateKey(loading: .file(path))
  }

  @Test func whatIsNoKeyIsRefused() throws {
    let federation = try TestFederation()
    let missing = federation.path("missing.key")
    #expect(throws: CredentialError.self) { try PrivateKey(loading: .file(missing)) }
    #expect(throws: CredentialError.self) { try PrivateKey(loading: .file(federation.directory.path)) }
    for text in ["", "nonsense", federation.authority.certificate.pem] {
      let path = try federation.write(text, to: "not-a.key")
      try FileManager.default.setAttributes([.posixPermissions: 0o600], ofItemAtPath: path)
      let error = #expect(throws: CredentialError.self) { try PrivateKey(loading: .file(path)) }
      #expect(error?.code == "private-key-not-found")
    }
    let large = try federation.write(String(repeating: "x", count: 70_000), to: "large.key")
    try FileManager.default.setAttributes([.posixPermissions: 0o600], ofItemAtPath: large)
    #expect(throws: CredentialError.fileTooLarge(path: large, maximum: 65_536)) {
      try PrivateKey(loading: .file(large))
    }
  }
}

@Suite struct CertificateTests {
  @Test func issuedCertificatesSayWhatWasAskedFor() throws {
    let federation = try TestFederation(name: "Northern hospitals")
    let authority = federation.authority.certificate
    #expect(
      authority.isAuthority && authority.subject == "CN=Northern hospitals" && authority.issuer == authority.subject)

    let server = try federation.identity(
      "server.example", profile: .server(hostNames: ["fl.example"], addresses: ["192.0.2.7", "2001:db8::7"])
    ).chain[0]
    #expect(server.names == ["server.example", "fl.example"])
    #expect(server.addresses == ["192.0.2.7", "2001:db8::7"])
    #expect(!server.isAuthority && server.issuer == authority.subject && server.subject == "CN=server.example")

    let before = Date()
    let identity = try federation.identity("alpha.example")
    let certificate = identity.chain[0]
    #expect(certificate.names == ["alpha.example"] && certificate.addresses.isEmpty)
    #expect(try certificate.publicKeyHash == identity.privateKey.publicKeyHash)
    #expect(certificate.notBefore < before && certificate.notBefore > before - 3600)
    #expect(abs(certificate.notAfter.timeIntervalSince(before) - 7 * 86_400) < 60)
    #expect(certificate.serial.count >= 31 && certificate.serial != server.serial)
    #expect(try Certificate(pem: certificate.pem) == certificate)
    #expect(try Certificate(der: certificate.der) == certificate)
  }

  @Test func aNameTooLongForACommonNameLivesInTheAlternativeName() throws {
    let federation = try TestFederation()
    let name = [String](repeating: "organisation", count: 8).joined(separator: ".")
    let certificate = try federation.identity(name).chain[0]
    #expect(certificate.names == [name] && certificate.subject.isEmpty)
  }

  @Test func aRequestForAnotherNameIsNotServed() throws {
    let federation = try TestFederation()
    let request = try CertificateRequest.create(
      name: OrganizationName("mallory.example"), key: PrivateKey.generate())
    #expect(throws: CredentialError.nameMismatch(expected: "alpha.example", found: ["mallory.example"])) {
      try federation.authority.issue(
        request, name: OrganizationName("alpha.example"), profile: .organization,
        validity: CertificateValidity.days(1))
    }
  }

  @Test func aRequestMustBeSignedByItsOwnKey() throws {
    let request = try CertificateRequest.create(name: OrganizationName("alpha.example"), key: PrivateKey.generate())
    #expect(try CertificateRequest(pem: request.pem) == request)
    var lines = request.pem.split(separator: "\n").map(String.init)
    var der = try #require(Data(base64Encoded: lines[1..<(lines.count - 1)].joined()))
    // The last byte belongs to the signature's second integer.
    der[der.count - 1] ^= 1
    lines = [lines[0], der.base64EncodedString(), lines[lines.count - 1]]
    #expect(throws: CredentialError.requestSignatureInvalid) {
      try CertificateRequest(pem: lines.joined(separator: "\n") + "\n")
    }
  }

  @Test func authoritiesKeepTheirBounds() throws {
    let federation = try TestFederation()
    let leaf = try federation.identity("alpha.example")
    #expect(throws: CredentialError.notAnAuthority(subject: "CN=alpha.example")) {
      try CertificateAuthority(certificate: leaf.chain[0], key: leaf.privateKey)
    }
    #expect(throws: CredentialError.keyDoesNotMatchCertificate) {
      try CertificateAuthority(certificate: federation.authority.certificate, key: leaf.privateKey)
    }
    #expect(throws: CredentialError.keyDoesNotMatchCertificate) {
      try TLSIdentity(chain: leaf.chain, privateKey: PrivateKey.generate())
    }
    let outlives = #expect(throws: CredentialError.self) {
      try federation.identity("alpha.example", validity: CertificateValidity.days(31))
    }
    #expect(outlives?.code == "certificate-validity-invalid")
    #expect(throws: CredentialError.self) { try CertificateValidity.days(0) }
    #expect(throws: CredentialError.self) { try CertificateValidity(notBefore: Date(), notAfter: Date() - 1) }
    #expect(throws: CredentialError.notAnAuthority(subject: "CN=alpha.example")) {
      try TLSContext(role: .client, identity: leaf, authorities: leaf.chain, verifier: PinTable([:]))
    }
  }

  @Test(arguments: ["127.0.0.1,DNS:evil.example", "999.1.1.1", "example.com", ""])
  func addressesAreParsed(_ text: String) throws {
    let federation = try TestFederation()
    #expect(throws: CredentialError.invalidAddress(text)) {
      try federation.identity("server.example", profile: .server(addresses: [text]))
    }
  }

  @Test func hostNamesAreParsed() throws {
    let federation = try TestFederation()
    #expect(throws: CredentialError.self) {
      try federation.identity("server.example", profile: .server(hostNames: ["a.example,IP:127.0.0.1"]))
    }
  }

  @Test func malformedInputIsRefused() throws {
    let federation = try TestFederation()
    let certificate = federation.authority.certificate
    for pem in ["", "x", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
      #expect(throws: CredentialError.self) { try Certificate(pem: pem) }
      #expect(throws: CredentialError.self) { try CertificateRequest(pem: pem) }
    }
    #expect(throws: CredentialError.self) { try Certificate(der: certificate.der + [0]) }
    #expect(throws: CredentialError.self) { try Certificate(der: certificate.der.dropLast()) }
    #expect(throws: CredentialError.self) { try CertificateRequest(pem: certificate.pem) }
    let large = String(repeating: " ", count: Certificate.maximumByteCount + 1)
    #expect(throws: CredentialError.inputTooLarge(what: "certificate", maximum: Certificate.maximumByteCount)) {
      try Certificate(pem: large)
    }
    #expect(throws: CredentialError.self) {
      try CertificateRequest(pem: String(repeating: " ", count: CertificateRequest.maximumByteCount + 1))
    }
  }

  /// What is over the bound, and what cannot be read, is not left out: it may be the one that somebody counts on.
  @Test func noCertificateIsPassedOver() throws {
    let federation = try TestFederation()
    let first = federation.authority.certificate
    let second = try federation.identity("alpha.example").chain[0]
    #expect(try Certificate.all(inPEM: "a comment\n\(first.pem)\n\(second.pem)another") == [first, second])
    let eight = String(repeating: first.pem, count: 8)
    let file = try federation.write(eight, to: "authorities.crt")
    #expect(try Certificate.all(inPEM: eight).count == 8)
    #expect(try Certificate.all(inFile: file).count == 8)
    // One bound for a text and a file: what the operator can hand out is what members can use.
    let error = CredentialError.tooManyCertificates(maximum: 8)
    #expect(throws: error) { try Certificate.all(inPEM: eight + second.pem) }
    let longer = try federation.write(eight + second.pem, to: "more.crt")
    #expect(throws: error) { try Certificate.all(inFile: longer) }
    let malformed = second.pem.replacingOccurrences(of: "\nM", with: "\n!")
    for text in [first.pem + malformed, first.pem + malformed + first.pem, first.pem + second.pem.dropLast(30)] {
      let error = #expect(throws: CredentialError.self) { try Certificate.all(inPEM: text) }
      #expect(error?.code == "certificate-malformed")
    }
    // Where one is asked for, it is the first.
    #expect(try Certificate(pem: first.pem + second.pem) == first)
  }

  /// A pipe that nobody writes to would be waited for without end; in a process of its own, whose alarm ends that.
  @Test func aPipeInPlaceOfACertificateIsAnErrorAtOnce() async {
    await #expect(processExitsWith: .success) {
      alarm(60)
      let federation = try TestFederation()
      let path = federation.path("tls.crt")
      try #require(mkfifo(path, 0o600) == 0)
      let error = CredentialError.fileUnreadable(path: path, reason: "not a regular file")
      #expect(throws: error) { try Certificate(contentsOfFile: path) }
      #expect(throws: error) { try Certificate.all(inFile: path) }
      #expect(throws: error) { try TLSIdentity(certificateFile: path, privateKey: .file(path)) }
      #expect(throws: error) { try PrivateKey(loading: .file(path)) }
    }
  }

  /// Every byte of a request and a certificate flipped in turn: an error or another value, never a crash.
  @Test func alteredEncodingsNeverPassForTheOriginal() throws {
    let federation = try TestFederation()
    let der = try federation.identity("alpha.example").chain[0].der
    for index in der.indices {
      var altered = der
      altered[index] ^= 0x55
      if let parsed = try? Certificate(der: altered) { #expect(parsed.der != der) }
    }
  }
}

/// The same files, seen by the `openssl` command.
@Suite(.enabled(if: OpenSSLCommand.isPresent))
struct CommandAgreementTests {
  @Test func theCommandAcceptsWhatIsIssued() async throws {
    let federation = try TestFederation()
    let authority = try federation.write(federation.authority.certificate.pem, to: "ca.crt")
    let cases: [(CertificateProfile, String)] = [
      (.organization, "sslclient"), (.server(addresses: ["127.0.0.1"]), "sslserver"),
    ]
    for (profile, purpose) in cases {
      let certificate = try federation.identity("alpha.example", profile: profile).chain[0]
      let path = try federation.write(certificate.pem, to: "\(purpose).crt")
      let good = try await OpenSSLCommand.run(
        [
          "verify", "-x509_strict", "-CAfile", authority, "-purpose", purpose, "-verify_hostname", "alpha.example",
          path,
        ])
      #expect(good.status == 0, "\(good.text)")
      let wrongPurpose = purpose == "sslclient" ? "sslserver" : "sslclient"
      let wrong = try await OpenSSLCommand.run(["verify", "-CAfile", authority, "-purpose", wrongPurpose, path])
      #expect(wrong.status != 0)
    }
  }

  @Test func theCommandSeesTheSameFingerprint() async throws {
    let federation = try TestFederation()
    let identity = try federation.identity("alpha.example")
    let files = try federation.files(of: identity, named: "alpha")
    let publicKey = federation.path("public.der")
    #expect(
      try await OpenSSLCommand.run(["pkey", "-in", files.key, "-pubout", "-outform", "DER", "-out", publicKey]).status
        == 0)
    let digest = try await OpenSSLCommand.run(["dgst", "-sha256", "-r", publicKey])
    #expect(digest.text.hasPrefix(identity.fingerprint.hexadecimal))
    let serial = try await OpenSSLCommand.run(["x509", "-noout", "-serial", "-in", files.certificate])
    #expect(serial.text.lowercased().contains(identity.chain[0].serial))
  }

  @Test func theCommandAcceptsTheRequest() async throws {
    let federation = try TestFederation()
    let request = try CertificateRequest.create(name: OrganizationName("alpha.example"), key: PrivateKey.generate())
    let path = try federation.write(request.pem, to: "alpha.csr")
    let output = try await OpenSSLCommand.run(["req", "-in", path, "-noout", "-verify", "-text"])
    #expect(output.status == 0 && output.text.contains("DNS:alpha.example"), "\(output.text)")
  }
}
