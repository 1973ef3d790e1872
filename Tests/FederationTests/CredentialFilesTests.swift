import Cryptography
import Foundation
import Testing

@testable import Federation

@Suite("The change to a next certificate key, and to a new identity")
struct CredentialFilesTests {
  private func organization(_ parent: String) throws -> OrganizationDirectory {
    try OrganizationDirectory.create(at: "\(parent)/alder", name: OrganizationName("alder.example"))
  }

  private func write(_ text: String, _ path: String) throws {
    try Data(text.utf8).write(to: URL(fileURLWithPath: path))
  }

  private func text(_ path: String) -> String? { try? String(contentsOfFile: path, encoding: .utf8) }

  private static let forms = ["", ".uri"]

  @Test(
    "After an interruption at any point the change goes forward, and key and certificate match", arguments: forms, forms
  )
  func interrupted(_ old: String, _ next: String) throws {
    // The steps of the change, in its order; it is interrupted before each of them, and after the last.
    let steps: [(OrganizationDirectory) throws -> Void] = [
      { directory in if old != next { unlink(directory.tlsKeyPath + old) } },
      { directory in rename(directory.nextTLSKeyPath + next, directory.tlsKeyPath + next) },
      { directory in unlink(directory.nextCertificateRequestPath) },
      { directory in rename(directory.nextCertificatePath, directory.tlsCertificatePath) },
    ]
    for done in 0...steps.count {
      try withTemporaryDirectory { parent in
        let directory = try organization(parent)
        try write("old key", directory.tlsKeyPath + old)
        try write("old certificate", directory.tlsCertificatePath)
        try write("next key", directory.nextTLSKeyPath + next)
        try write("request", directory.nextCertificateRequestPath)
        #expect(try !directory.completeCredentialSwitch(), "nothing has begun")
        #expect(text(directory.tlsKeyPath + old) == "old key")
        try write("next certificate", directory.nextCertificatePath)
        for step in steps.prefix(done) { try step(directory) }
        #expect(try directory.completeCredentialSwitch() == (done < steps.count))
        #expect(text(directory.tlsKeyPath + next) == "next key")
        #expect(text(directory.tlsCertificatePath) == "next certificate")
        if old != next { #expect(text(directory.tlsKeyPath + old) == nil) }
        #expect(!directory.hasNextTLSKey && !directory.isCredentialSwitchPending)
        #expect(text(directory.nextCertificateRequestPath) == nil)
        #expect(try !directory.completeCredentialSwitch())
      }
    }
  }

  @Test("The whole change, with another authority and without")
  func change() throws {
    try withTemporaryDirectory { parent in
      let directory = try organization(parent)
      try write("old key", directory.tlsKeyPath)
      try directory.storeCertificate(chain: "old certificate", authority: "authority")
      try write("next key", directory.nextTLSKeyPath)
      try directory.switchCredentials(toChain: "next certificate")
      #expect(text(directory.tlsKeyPath) == "next key" && text(directory.tlsCertificatePath) == "next certificate")
      #expect(text(directory.certificateAuthorityPath) == "authority")
      try directory.nameKey(at: directory.nextTLSKeyPath, uri: "pkcs11:token=alder")
      #expect(
        federationError { try directory.nameKey(at: directory.nextTLSKeyPath, uri: "pkcs11:token=other") }
          == .file(.exists(path: directory.nextTLSKeyPath + ".uri")))
      try directory.switchCredentials(toChain: "third certificate", authority: "other authority")
      #expect(text(directory.tlsKeyPath) == nil && text(directory.tlsKeyPath + ".uri") == "pkcs11:token=alder\n")
      #expect(text(directory.certificateAuthorityPath) == "other authority")
      try write("withdrawn", directory.nextTLSKeyPath)
      try directory.discardNextTLSKey()
      #expect(!directory.hasNextTLSKey && text(directory.tlsCertificatePath) == "third certificate")
    }
  }

  @Test("A new identity key is of the same owner, private, and the only thing that changes")
  func identity() throws {
    try withTemporaryDirectory { parent in
      let directory = try organization(parent)
      let before = try directory.keys()
      // Lost, and half replaced by an interrupted attempt: both are repaired.
      unlink(directory.identityKeyPath)
      try write("half", "\(directory.identityKeyPath).new")
      let new = try directory.replaceIdentity()
      let after = try OrganizationDirectory(opening: directory.path).keys()
      #expect(after.identity == new && new != before.identity)
      #expect(after.log == before.log && after.witness == before.witness)
      #expect(try directory.identityKey().verifyingKey == new)
      #expect(try mode(of: directory.identityKeyPath) == 0o600)
      let names = try FileManager.default.contentsOfDirectory(atPath: directory.path)
      #expect(!names.contains { $0.hasSuffix(".new") || $0.hasSuffix(".tmp") })
    }
  }

  @Test("A name's second revocation leaves its first one in force")
  func revokedTwice() throws {
    try withTemporaryDirectory { parent in
      let server = try ServerDirectory.create(at: "\(parent)/hub", name: OrganizationName("hub.example"))
      let members = try (0..<3).map { _ in try TestMember("alder.example").member }
      for member in members {
        let revocation = Revocation(
          name: member.name, identity: member.keys.identity, reason: "lost", time: "2026-01-01")
        try server.store(revocation)
        try server.store(revocation)
      }
      let held = try server.revocations()
      #expect(held.count == 3)
      for member in members { #expect(held.contains { $0.revokes(member) }) }
      // A record under another key's name is not taken for one.
      let files = try FileManager.default.contentsOfDirectory(atPath: server.revokedPath).sorted()
      let further = try #require(files.first { $0.contains("+") })
      rename("\(server.revokedPath)/\(further)", "\(server.revokedPath)/alder.example+0000000000000000.json")
      #expect(federationError { try server.revocations() }?.code == "revocation-malformed")
    }
  }

  @Test("Statements of one member stored from many sides at once: the latest stays")
  func concurrentStatements() async throws {
    let parent = FileManager.default.temporaryDirectory.appendingPathComponent("bauta-\(UUID().uuidString)").path
    try FileManager.default.createDirectory(atPath: parent, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(atPath: parent) }
    let federation = try TestFederation()
    let manifest = try federation.manifest()
    let server = try ServerDirectory.create(at: "\(parent)/hub", name: federation.server.name)
    let statements = try (1...24).map { sequence in
      try SignedPins(
        federation: manifest.federation, name: federation.alder.name, sequence: sequence,
        pins: Manifest.Pins(current: CertificateKeyHash(hashing: [UInt8(sequence)])),
        signedWith: federation.alder.identity)
    }
    await withTaskGroup { group in
      for statement in statements.shuffled() {
        // Those that come after a later one are refused.
        group.addTask { _ = try? server.store(statement, under: manifest) }
      }
    }
    #expect(try server.pinStatements().map(\.sequence) == [24])
  }

  @Test("A mistyped directory is called that")
  func remedies() throws {
    try withTemporaryDirectory { parent in
      let missing = federationError { try OrganizationDirectory(opening: "\(parent)/none") }
      #expect(missing == .file(.missing(path: "\(parent)/none")))
      #expect(missing?.remedy.hasPrefix("Check the path.") == true)
      let other = "\(parent)/other"
      try FileManager.default.createDirectory(atPath: other, withIntermediateDirectories: false)
      chmod(other, 0o700)
      #expect(federationError { try ServerDirectory(opening: other) } == .file(.notParticipant(path: other)))
    }
  }
}
