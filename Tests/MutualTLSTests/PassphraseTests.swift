import Cryptography
import Foundation
import Testing

@testable import MutualTLS

@Suite struct PassphraseTests {
  /// A pipe with `text` in it and no writer left, unless one is wanted.
  private static func pipe(_ text: String, keepingWriter: Bool = false) throws -> (reader: Int32, writer: Int32) {
    var ends: [Int32] = [0, 0]
    try #require(Foundation.pipe(&ends) == 0)
    let bytes = Array(text.utf8)
    try #require(write(ends[1], bytes, bytes.count) == bytes.count)
    if !keepingWriter { close(ends[1]) }
    return (ends[0], ends[1])
  }

  private static func text(of passphrase: Passphrase) -> String {
    passphrase.withUnsafeBytes { String(decoding: $0, as: UTF8.self) }
  }

  private static let lines: [(String, String)] = [
    ("secret", "secret"), ("secret\n", "secret"), ("secret\nsecond line", "secret"),
    (" spaces count ", " spaces count "),
    ("p\u{E4}ss\r\n", "p\u{E4}ss\r"), (String(repeating: "x", count: 1024) + "\n", String(repeating: "x", count: 1024)),
  ]

  @Test(arguments: lines)
  func theFirstLineIsRead(_ written: String, _ expected: String) throws {
    let (reader, _) = try PassphraseTests.pipe(written)
    #expect(PassphraseTests.text(of: try Passphrase.read(fromDescriptor: reader)) == expected)
  }

  @Test func whatComesInPiecesIsReadToItsNewline() async throws {
    let (reader, writer) = try PassphraseTests.pipe("sec", keepingWriter: true)
    let reading = Task.detached { try Passphrase.read(fromDescriptor: reader) }
    #expect(write(writer, "ret\n", 4) == 4)
    // The writer stays open: the newline is the end, not the end of the file.
    #expect(PassphraseTests.text(of: try await reading.value) == "secret")
    close(writer)
  }

  @Test func theDescriptorIsClosed() throws {
    for text in ["secret\n", "\n", String(repeating: "x", count: 2000)] {
      let (reader, writer) = try PassphraseTests.pipe(text, keepingWriter: true)
      _ = try? Passphrase.read(fromDescriptor: reader)
      // Asked of the other end: the number itself may belong to another test by now. A process that another test is
      // starting has the descriptor too for a moment.
      var poll = pollfd(fd: writer, events: Int16(POLLOUT), revents: 0)
      for _ in 0..<500 where Int32(poll.revents) & Int32(POLLERR) == 0 {
        #expect(Foundation.poll(&poll, 1, 0) == 1)
        usleep(10_000)
      }
      #expect(Int32(poll.revents) & Int32(POLLERR) != 0)
      close(writer)
    }
  }

  @Test func whatIsNoPassphraseIsRefused() throws {
    for text in ["", "\n", "\nsecret"] {
      let (reader, _) = try PassphraseTests.pipe(text)
      #expect(throws: CredentialError.keyAccess(.passphraseEmpty(source: "descriptor \(reader)"))) {
        try Passphrase.read(fromDescriptor: reader)
      }
    }
    for text in [String(repeating: "x", count: 1025), String(repeating: "x", count: 1025) + "\n"] {
      let (reader, _) = try PassphraseTests.pipe(text)
      #expect(throws: CredentialError.keyAccess(.passphraseTooLong(maximum: 1024))) {
        try Passphrase.read(fromDescriptor: reader)
      }
    }
    for descriptor: Int32 in [-1, 1, 2, 1_000_000] {
      let error = #expect(throws: CredentialError.self) { try Passphrase.read(fromDescriptor: descriptor) }
      #expect(error?.code == "passphrase-unreadable")
    }
  }

  @Test func itIsNotShown() throws {
    let (reader, _) = try PassphraseTests.pipe("secret")
    let passphrase = try Passphrase.read(fromDescriptor: reader)
    var dumped = ""
    dump(passphrase, to: &dumped)
    for text in ["\(passphrase)", String(reflecting: passphrase), dumped] {
      #expect(!text.contains("secret") && !text.contains("115"), "\(text)")
    }
  }

  /// In a process of its own, whose standard input can be given away.
  @Test func standardInputBecomesNothing() async throws {
    await #expect(processExitsWith: .success) {
      let (reader, _) = try PassphraseTests.pipe("secret\nrest")
      #expect(dup2(reader, 0) == 0)
      #expect(PassphraseTests.text(of: try Passphrase.read(fromDescriptor: 0)) == "secret")
      var byte: UInt8 = 0
      #expect(read(0, &byte, 1) == 0)
    }
  }

  static func passphrase(_ text: String) throws -> Passphrase {
    try Passphrase.read(fromDescriptor: pipe(text).reader)
  }
}

@Suite struct EncryptedKeyTests {
  @Test func anEncryptedKeyIsReadWithItsPassphraseOnly() throws {
    let federation = try TestFederation()
    let path = federation.path("tls.key")
    let key = try PrivateKey.generate(creatingFile: path, passphrase: PassphraseTests.passphrase("correct horse"))
    let pem = try String(contentsOfFile: path, encoding: .utf8)
    #expect(pem.hasPrefix("-----BEGIN ENCRYPTED PRIVATE KEY-----\n"))
    let mode = try FileManager.default.attributesOfItem(atPath: path)[.posixPermissions] as? Int
    #expect(mode == 0o600)

    let loaded = try PrivateKey(loading: .file(path), passphrase: PassphraseTests.passphrase("correct horse\n"))
    #expect(try loaded.publicKeyHash == key.publicKeyHash)
    let missing = CredentialError.keyAccess(.passphraseMissing(path: path))
    #expect(throws: missing) { try PrivateKey(loading: .file(path)) }
    let wrong = CredentialError.keyAccess(.passphraseWrong(path: path))
    for text in ["correct horsf", "correct hors", "correct horse ", "x"] {
      #expect(throws: wrong) { try PrivateKey(loading: .file(path), passphrase: PassphraseTests.passphrase(text)) }
    }
    #expect(missing.remedy.contains("--passphrase-fd") && missing.code != wrong.code && missing.blame == .local)
    #expect(throws: CredentialError.keyFileExists(path: path)) {
      try PrivateKey.generate(creatingFile: path, passphrase: PassphraseTests.passphrase("other"))
    }
  }

  @Test func aPassphraseThatIsNotNeededDoesNotMatter() throws {
    let federation = try TestFederation()
    let path = federation.path("tls.key")
    let key = try PrivateKey.generate(creatingFile: path)
    let loaded = try PrivateKey(loading: .file(path), passphrase: PassphraseTests.passphrase("unused"))
    #expect(try loaded.publicKeyHash == key.publicKeyHash)
  }

  @Test func anIdentityTakesItsKeyWithAPassphrase() throws {
    let federation = try TestFederation()
    let path = federation.path("tls.key")
    let key = try PrivateKey.generate(creatingFile: path, passphrase: PassphraseTests.passphrase("secret"))
    let name = try OrganizationName("alpha.example")
    let certificate = try federation.authority.issue(
      CertificateRequest.create(name: name, key: key), name: name, profile: .organization,
      validity: CertificateValidity.days(1))
    let file = try federation.write(certificate.pem, to: "tls.crt")
    let identity = try TLSIdentity(
      certificateFile: file, privateKey: .file(path), passphrase: PassphraseTests.passphrase("secret"))
    #expect(try identity.privateKey.publicKeyHash == certificate.publicKeyHash)
  }

  @Test(.enabled(if: OpenSSLCommand.isPresent, "needs the openssl command"))
  func theCommandReadsItAndSeesTheScheme() async throws {
    let federation = try TestFederation()
    let path = federation.path("tls.key")
    let passphrase = try federation.write("secret\n", to: "passphrase")
    let key = try PrivateKey.generate(creatingFile: path, passphrase: PassphraseTests.passphrase("secret"))
    let scheme = try await OpenSSLCommand.run(["asn1parse", "-in", path])
    // 600,000 in hexadecimal; the salt has 16 bytes.
    for part in ["PBES2", "PBKDF2", ":0927C0", "hmacWithSHA256", "aes-256-cbc"] {
      #expect(scheme.text.contains(part), "\(part): \(scheme.text)")
    }
    #expect(scheme.text.contains("l=  16 prim: OCTET STRING"))
    let publicKey = federation.path("public.der")
    let read = try await OpenSSLCommand.run(
      ["pkey", "-in", path, "-passin", "file:\(passphrase)", "-pubout", "-outform", "DER", "-out", publicKey])
    #expect(read.status == 0, "\(read.text)")
    let digest = try await OpenSSLCommand.run(["dgst", "-sha256", "-r", publicKey])
    #expect(digest.text.hasPrefix(try key.publicKeyHash.hexadecimal))
  }

  @Test(
    .enabled(if: OpenSSLCommand.isPresent, "needs the openssl command"),
    arguments: [
      ["-v2", "aes-256-cbc", "-v2prf", "hmacWithSHA256", "-iter", "2048"], ["-scrypt"],
    ])
  func keysThatTheCommandEncryptedAreRead(_ options: [String]) async throws {
    let federation = try TestFederation()
    let plain = federation.path("plain.key")
    let locked = federation.path("locked.key")
    let passphrase = try federation.write("secret\n", to: "passphrase")
    let key = try PrivateKey.generate(creatingFile: plain)
    let made = try await OpenSSLCommand.run(
      ["pkcs8", "-topk8", "-in", plain, "-out", locked, "-passout", "file:\(passphrase)"] + options)
    #expect(made.status == 0, "\(made.text)")
    try FileManager.default.setAttributes([.posixPermissions: 0o600], ofItemAtPath: locked)
    let loaded = try PrivateKey(loading: .file(locked), passphrase: PassphraseTests.passphrase("secret"))
    #expect(try loaded.publicKeyHash == key.publicKeyHash)
    #expect(throws: CredentialError.keyAccess(.passphraseMissing(path: locked))) {
      try PrivateKey(loading: .file(locked))
    }
  }
}
