import Cryptography
import Foundation
import Testing

@testable import Federation

@Suite("Directories and key files")
struct DirectoryTests {
  private let alder: OrganizationName

  init() throws { alder = try OrganizationName("alder.example") }

  private func create(_ parent: String) throws -> OrganizationDirectory {
    try OrganizationDirectory.create(at: "\(parent)/alder", name: alder)
  }

  private func write(_ text: String, to path: String, mode: mode_t = 0o600) throws {
    try? FileManager.default.removeItem(atPath: path)
    try Data(text.utf8).write(to: URL(fileURLWithPath: path))
    chmod(path, mode)
  }

  @Test("What creation makes, with its modes; what it makes loads again")
  func create() throws {
    try withTemporaryDirectory { parent in
      let directory = try create(parent)
      #expect(try mode(of: directory.path) == 0o700)
      #expect(try mode(of: directory.logPath) == 0o700)
      for path in [directory.identityKeyPath, directory.logKeyPath, directory.witnessKeyPath] {
        #expect(try mode(of: path) == 0o600)
      }
      let names = try FileManager.default.contentsOfDirectory(atPath: directory.path).sorted()
      #expect(
        names == [
          "identity.key", "identity.vkey", "log", "log.key", "log.vkey", "policy.yaml", "witness.key", "witness.vkey",
        ])
      #expect(try FileManager.default.contentsOfDirectory(atPath: parent) == ["alder"])
      let opened = try OrganizationDirectory(opening: directory.path)
      #expect(opened == directory)
      let keys = try opened.keys()
      #expect(try opened.identityKey().verifyingKey == keys.identity)
      #expect(try opened.logKey().verifyingKey == keys.log)
      #expect(try opened.witnessKey().verifyingKey == keys.witness)
      #expect(try opened.policy() == Policy(parsing: Policy.template))
      #expect(try opened.manifest() == nil)
      let line = try String(contentsOfFile: directory.identityKeyPath, encoding: .utf8)
      #expect(line.hasPrefix("bauta/key/1 identity alder.example "))
      #expect(line.utf8.count == "bauta/key/1 identity alder.example ".utf8.count + 45)
    }
  }

  @Test("Approvals that several writers add at once are all kept, and an older copy takes none away")
  func manifestWriters() async throws {
    let path = FileManager.default.temporaryDirectory.appendingPathComponent("bauta-\(UUID().uuidString)").path
    defer { try? FileManager.default.removeItem(atPath: path) }
    let directory = try ServerDirectory.create(at: path, name: OrganizationName("hub.example"))
    let federation = try TestFederation()
    let complete = try federation.approved()
    let names = try ["hub.example", "alder.example", "birch.example", "cedar.example"].map { try OrganizationName($0) }
    for _ in 0..<20 {
      let blank = try SignedManifest(complete.manifest)
      try? FileManager.default.removeItem(atPath: directory.manifestPath)
      try await withThrowingTaskGroup(of: Void.self) { group in
        for name in names {
          group.addTask {
            var own = blank
            try own.add(#require(complete.approval(by: name)), by: name)
            try directory.store(own)
          }
        }
        try await group.waitForAll()
      }
      #expect(try directory.manifest()?.approvals.missing == [])
    }
    #expect(try directory.store(SignedManifest(complete.manifest)).isApprovedByAll)
    #expect(try directory.manifest()?.isApprovedByAll == true)
  }

  @Test("A server has its own folders")
  func server() throws {
    try withTemporaryDirectory { parent in
      let name = try OrganizationName("hub.example")
      let directory = try ServerDirectory.create(at: "\(parent)/hub", name: name)
      #expect(try ServerDirectory(opening: directory.path) == directory)
      for path in [directory.authorityPath, directory.runsPath, directory.logPath] {
        #expect(try mode(of: path) == 0o700)
      }
      #expect(directory.runPath(try RunIdentifier("r")) == "\(parent)/hub/runs/r")
    }
  }

  @Test("All or nothing: whatever fails, nothing is left")
  func allOrNothing() throws {
    struct Halt: Error {}
    try withTemporaryDirectory { parent in
      #expect(throws: Halt.self) {
        try OrganizationDirectory.create(at: "\(parent)/alder", name: alder) { staging in
          try Data("secret".utf8).write(to: URL(fileURLWithPath: "\(staging)/tls.key"))
          throw Halt()
        }
      }
      #expect(throws: FederationError.self) {
        try OrganizationDirectory.create(at: "\(parent)/alder", name: alder, policy: "nonsense")
      }
      #expect(try FileManager.default.contentsOfDirectory(atPath: parent).isEmpty)
      let directory = try OrganizationDirectory.create(at: "\(parent)/alder", name: alder) { staging in
        try Data("pem".utf8).write(to: URL(fileURLWithPath: "\(staging)/tls.key"))
      }
      #expect(try String(contentsOfFile: directory.tlsKeyPath, encoding: .utf8) == "pem")
    }
  }

  @Test("An empty directory is taken; one that holds something, or a file, is not touched")
  func existing() throws {
    try withTemporaryDirectory { parent in
      let path = "\(parent)/alder"
      try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: false)
      let first = try create(parent)
      let keys = try first.keys()
      #expect(federationError { try create(parent) } == .file(.exists(path: path)))
      #expect(try first.keys() == keys)
      let file = "\(parent)/file"
      try write("x", to: file)
      #expect(
        federationError { try OrganizationDirectory.create(at: file, name: alder) } == .file(.notDirectory(path: file)))
      let deep = "\(parent)/no/such/place"
      #expect(federationError { try OrganizationDirectory.create(at: deep, name: alder) }?.code == "file-missing")
    }
  }

  @Test(
    "A key file that others can read is refused with the command that mends it",
    arguments: [0o640, 0o604, 0o660] as [mode_t])
  func exposed(mode: mode_t) throws {
    try withTemporaryDirectory { parent in
      let directory = try create(parent)
      chmod(directory.logKeyPath, mode)
      let error = federationError { _ = try directory.logKey() }
      #expect(error == .file(.exposed(path: directory.logKeyPath, mode: UInt16(mode))))
      #expect(error?.remedy.contains("chmod 600 \(directory.logKeyPath)") == true)
      chmod(directory.logKeyPath, 0o600)
      #expect(throws: Never.self) { _ = try directory.logKey() }
      chmod(directory.path, 0o755)
      #expect(
        federationError { try OrganizationDirectory(opening: directory.path) }
          == .file(.exposed(path: directory.path, mode: 0o755)))
    }
  }

  @Test("Garbage in the place of a key")
  func garbage() throws {
    try withTemporaryDirectory { parent in
      let directory = try create(parent)
      let path = directory.identityKeyPath
      let good = try String(contentsOfFile: path, encoding: .utf8)
      let seed = String(good.split(separator: " ")[3].dropLast())
      let head = "bauta/key/1 identity alder.example"
      func fault(_ text: String) throws -> FederationError? {
        try write(text, to: path)
        return federationError { _ = try directory.identityKey() }
      }
      #expect(try fault(good) == nil)
      #expect(try fault(String(good.dropLast())) == nil)
      #expect(try fault("") == .file(.key(path: path, .shape)))
      #expect(try fault("\n") == .file(.key(path: path, .shape)))
      #expect(try fault(seed) == .file(.key(path: path, .shape)))
      #expect(try fault(good + "\n") == .file(.key(path: path, .seed)))
      #expect(try fault(good + good) == .file(.key(path: path, .shape)))
      #expect(try fault("bauta/key/2 identity alder.example \(seed)") == .file(.key(path: path, .shape)))
      #expect(
        try fault("bauta/key/1 log alder.example \(seed)") == .file(.key(path: path, .role(expected: "identity"))))
      #expect(
        try fault("bauta/key/1 identity birch.example \(seed)")
          == .file(.key(path: path, .name(expected: "alder.example"))))
      #expect(try fault("\(head) \(seed.dropLast())") == .file(.key(path: path, .seed)))
      #expect(try fault("\(head) \(seed.dropLast(2))*=") == .file(.key(path: path, .seed)))
      #expect(try fault("\(head) \(String(repeating: "A", count: 42))B=") == .file(.key(path: path, .seed)))
      #expect(try fault("\(head) \(String(repeating: "A", count: 43))=") == .file(.key(path: path, .verifierMismatch)))
      #expect(try fault(String(repeating: "x", count: 513)) == .file(.tooLarge(path: path, limit: 512)))
      try FileManager.default.removeItem(atPath: path)
      #expect(federationError { _ = try directory.identityKey() } == .file(.missing(path: path)))
      try FileManager.default.createSymbolicLink(atPath: path, withDestinationPath: directory.logKeyPath)
      #expect(federationError { _ = try directory.identityKey() } == .file(.notRegular(path: path)))
    }
  }

  @Test("Files of another organisation are not taken for one's own")
  func foreign() throws {
    try withTemporaryDirectory { parent in
      let directory = try create(parent)
      let other = try OrganizationDirectory.create(at: "\(parent)/birch", name: try OrganizationName("birch.example"))
      try FileManager.default.removeItem(atPath: "\(directory.path)/log.vkey")
      try FileManager.default.copyItem(atPath: "\(other.path)/log.vkey", toPath: "\(directory.path)/log.vkey")
      #expect(
        federationError { try directory.keys() }
          == .file(.foreign(path: "\(directory.path)/log.vkey", expected: "alder.example")))
      #expect(federationError { try OrganizationDirectory(opening: "\(parent)/nowhere") }?.code == "file-missing")
      #expect(
        federationError { try OrganizationDirectory(opening: directory.policyPath) }?.code == "file-not-directory")
    }
  }

  @Test("A seed goes to text and back without change, and agrees with the ordinary base64")
  func secretBase64() throws {
    for round in 0..<64 {
      var bytes = randomBytes(32)
      if round < 8 { bytes = [UInt8](repeating: [0, 0xFF, 0xFB, 0xEF, 0xBE, 0x3E, 0x3F, 0x7F][round], count: 32) }
      var text = [UInt8](repeating: 0, count: 44)
      bytes.withUnsafeBytes { bytes in text.withUnsafeMutableBytes { SecretBase64.encode(bytes, into: $0) } }
      #expect(String(decoding: text, as: UTF8.self) == Base64.encode(bytes))
      var decoded = [UInt8](repeating: 0, count: 32)
      let isValid = text.withUnsafeBytes { text in
        decoded.withUnsafeMutableBytes { SecretBase64.decode(text, into: $0) }
      }
      #expect(isValid)
      #expect(decoded == bytes)
    }
    // Every byte that is not of the alphabet is refused wherever it stands.
    let alphabet = Set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8)
    for byte in UInt8.min...UInt8.max where !alphabet.contains(byte) {
      var text = Array((String(repeating: "A", count: 43) + "=").utf8)
      text[Int(byte) % 43] = byte
      var decoded = [UInt8](repeating: 0, count: 32)
      let isValid = text.withUnsafeBytes { text in
        decoded.withUnsafeMutableBytes { SecretBase64.decode(text, into: $0) }
      }
      #expect(!isValid, "\(byte)")
    }
  }

  @Test("A manifest is stored whole; an older one or another federation's does not replace it")
  func storeManifest() throws {
    let federation = try TestFederation()
    let first = try federation.approved()
    let second = try first.successor(Manifest.Amendment(witnessQuorum: 1))
    var signedSecond = second
    try signedSecond.approve(as: federation.server.name, with: federation.server.identity)
    let otherServer = try federation.serverEntry
    try withTemporaryDirectory { parent in
      let directory = try create(parent)
      try directory.store(first)
      #expect(try directory.manifest() == first)
      try directory.store(signedSecond)
      #expect(try directory.manifest() == signedSecond)
      #expect(
        federationError { try directory.store(first) } == .manifest(.wrongVersion(expected: 3, found: 1)))
      let other = try SignedManifest(
        Manifest.founding(
          federation: OrganizationName("other.example"), server: otherServer, assumedCorrupt: 0))
      #expect(federationError { try directory.store(other) }?.code == "manifest-other-federation")
      #expect(try directory.manifest() == signedSecond)
      try directory.storeCertificate(chain: "c", authority: "a")
      #expect(try String(contentsOfFile: directory.tlsCertificatePath, encoding: .utf8) == "c")
      let names = try FileManager.default.contentsOfDirectory(atPath: directory.path)
      #expect(!names.contains { $0.hasSuffix(".tmp") })
    }
  }
}
