import Cryptography
import Foundation
import Testing

@testable import Federation

@Suite("Join requests and invitations")
struct ExchangeTests {
  private let pem = "-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n"
  private let certificate = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"

  private func request(_ member: borrowing TestMember) throws -> JoinRequest {
    try JoinRequest(
      name: member.name, log: member.log.verifyingKey, witness: member.witness.verifyingKey, certificateRequest: pem,
      signedWith: member.identity)
  }

  private func fault(_ text: String) -> FederationError? {
    federationError { try JoinRequest(parsing: Array(text.utf8)) }
  }

  @Test("A request reads back and names a member")
  func request() throws {
    let alder = try TestMember("alder.example")
    let request = try request(alder)
    #expect(try JoinRequest(parsing: Array(request.text.utf8)) == request)
    #expect(request.member(pinnedTo: alder.pin) == alder.member)
    try withTemporaryDirectory { directory in
      try request.write(to: "\(directory)/alder.request")
      #expect(try JoinRequest(contentsOf: "\(directory)/alder.request") == request)
    }
  }

  @Test("Every field is under the signature")
  func altered() throws {
    let alder = try TestMember("alder.example")
    let birch = try TestMember("birch.example")
    let name = alder.name
    let original = try request(alder)
    let text = original.text
    let other = try JoinRequest(
      name: name, log: birch.log.verifyingKey, witness: birch.witness.verifyingKey,
      certificateRequest: pem.replacingOccurrences(of: "AAAA", with: "AAAB"), signedWith: birch.identity)
    func line(_ key: String, of text: String) throws -> String {
      String(try #require(text.split(separator: "\n").first { $0.hasPrefix("  \"\(key)\"") }))
    }
    for key in ["identity", "log", "witness", "certificateRequest", "signature"] {
      let swapped = text.replacingOccurrences(of: try line(key, of: text), with: try line(key, of: other.text))
      #expect(fault(swapped) == .exchange(.signature(name)), "\(key)")
    }
    let renamed = text.replacingOccurrences(of: "\"name\": \"alder.example\"", with: "\"name\": \"birch.example\"")
    #expect(fault(renamed) == .exchange(.verifierKey(name: "identity")))
  }

  @Test("Malformed requests")
  func malformed() throws {
    let alder = try TestMember("alder.example")
    let text = try request(alder).text
    #expect(fault("") == .exchange(.notJSON(.joinRequest)))
    #expect(fault("[]") == .exchange(.notJSON(.joinRequest)))
    #expect(fault("{") == .exchange(.notJSON(.joinRequest)))
    #expect(fault(String(repeating: "[", count: 60_000)) == .exchange(.notJSON(.joinRequest)))
    #expect(fault("{}") == .exchange(.field(.joinRequest, name: "schema")))
    #expect(fault(String(repeating: " ", count: 65_537)) == .exchange(.tooLarge(.joinRequest, limit: 65_536)))
    #expect(
      fault(text.replacingOccurrences(of: "join-request/1", with: "join-request/2"))
        == .exchange(.schema(.joinRequest, found: "'bauta/join-request/2'")))
    #expect(
      fault(text.replacingOccurrences(of: "{\n", with: "{\"extra\": \"x\",\n"))
        == .exchange(.field(.joinRequest, name: "extra")))
    #expect(
      fault(text.replacingOccurrences(of: "\"alder.example\"", with: "7"))
        == .exchange(.field(.joinRequest, name: "name")))
    #expect(fault(text.replacingOccurrences(of: "\"alder.example\"", with: "\"Alder\""))?.blame == .caller)
    #expect(
      fault(text.replacingOccurrences(of: "BEGIN CERTIFICATE REQUEST", with: "BEGIN PRIVATE KEY"))
        == .exchange(.certificate(.joinRequest, name: "certificateRequest")))
  }

  // MARK: - Invitations

  @Test("An invitation reads back, and what is in it is checked")
  func invitation() throws {
    let federation = try TestFederation()
    let manifest = try federation.approved()
    for needsApproval in [true, false] {
      let invitation = try Invitation(
        certificateChain: certificate, certificateAuthority: certificate, manifest: manifest,
        needsApproval: needsApproval)
      let read = try Invitation(parsing: Array(invitation.text.utf8))
      #expect(read == invitation)
      #expect(read.manifest.isApprovedByAll)
      #expect(read.serverPins == nil)
      try withTemporaryDirectory { directory in
        try invitation.write(to: "\(directory)/alder.invitation")
        #expect(try Invitation(contentsOf: "\(directory)/alder.invitation") == invitation)
      }
    }
    let text = try Invitation(certificateChain: certificate, certificateAuthority: certificate, manifest: manifest).text
    func fault(_ old: String, _ new: String) -> FederationError? {
      federationError { try Invitation(parsing: Array(text.replacingOccurrences(of: old, with: new).utf8)) }
    }
    #expect(fault("minimumCohort: 3", "minimumCohort: 2")?.code == "manifest-out-of-range")
    #expect(fault("\"yes\"", "\"maybe\"") == .exchange(.field(.invitation, name: "needsApproval")))
    #expect(fault("\"serverPins\": \"\"", "\"serverPins\": \"x\"") != nil)
    #expect(fault("\"serverPins\"", "\"pins\"") == .exchange(.field(.invitation, name: "pins")))
    // What an earlier release wrote is named as that, not as a faulty file.
    #expect(
      fault("invitation/2", "invitation/1") == .exchange(.schema(.invitation, found: "'bauta/invitation/1'")))
    let pem = self.pem
    #expect(
      federationError {
        try Invitation(certificateChain: pem, certificateAuthority: certificate, manifest: manifest)
      } == .exchange(.certificate(.invitation, name: "certificateChain")))
  }

  @Test("An invitation carries the server's statement of its keys, and nobody else's")
  func invitationWithPins() throws {
    let federation = try TestFederation()
    let manifest = try federation.approved()
    let name = manifest.manifest.federation
    let pins = Manifest.Pins(current: federation.server.pin, next: CertificateKeyHash(hashing: [9]))
    let statement = try SignedPins(
      federation: name, name: federation.server.name, sequence: 4, pins: pins, signedWith: federation.server.identity)
    let invitation = try Invitation(
      certificateChain: certificate, certificateAuthority: certificate, manifest: manifest, serverPins: statement)
    #expect(try Invitation(parsing: Array(invitation.text.utf8)).serverPins == statement)
    let foreign = [
      try SignedPins(
        federation: name, name: federation.alder.name, sequence: 4, pins: pins, signedWith: federation.alder.identity),
      try SignedPins(
        federation: name, name: federation.server.name, sequence: 4, pins: pins, signedWith: federation.alder.identity),
      try SignedPins(
        federation: OrganizationName("other.example"), name: federation.server.name, sequence: 4, pins: pins,
        signedWith: federation.server.identity),
    ]
    for statement in foreign {
      #expect(
        federationError {
          try Invitation(
            certificateChain: certificate, certificateAuthority: certificate, manifest: manifest, serverPins: statement)
        } == .membership(.foreignPins(federation.server.name)))
    }
  }

  // MARK: - Rotation files

  @Test("A rotation file reads back, with a request and without, and is told from a request to join")
  func rotation() throws {
    let alder = try TestMember("alder.example")
    let federation = try OrganizationName("fraud.example")
    func statement(next: UInt8?) throws -> SignedPins {
      try SignedPins(
        federation: federation, name: alder.name, sequence: 3,
        pins: Manifest.Pins(current: alder.pin, next: next.map { CertificateKeyHash(hashing: [$0]) }),
        signedWith: alder.identity)
    }
    let asking = try RotationRequest(statement: statement(next: 1), certificateRequest: pem)
    let ending = try RotationRequest(statement: statement(next: nil))
    let joining = try request(alder)
    try withTemporaryDirectory { directory in
      for request in [asking, ending] {
        #expect(try RotationRequest(parsing: Array(request.text.utf8)) == request)
        try request.write(to: "\(directory)/alder.rotation.json")
        #expect(try RotationRequest(contentsOf: "\(directory)/alder.rotation.json") == request)
        #expect(try AdmissionRequest(contentsOf: "\(directory)/alder.rotation.json") == .rotation(request))
      }
      try joining.write(to: "\(directory)/alder.request.json")
      #expect(try AdmissionRequest(contentsOf: "\(directory)/alder.request.json") == .join(joining))
      try Data("[".utf8).write(to: URL(fileURLWithPath: "\(directory)/nothing.json"))
      #expect(
        federationError { try AdmissionRequest(contentsOf: "\(directory)/nothing.json") }
          == .exchange(.notJSON(.joinRequest)))
    }
    // A certificate is asked for the key to come, and for no other.
    let ended = try statement(next: nil)
    let pem = self.pem
    #expect(
      federationError { try RotationRequest(statement: ended, certificateRequest: pem) }
        == .exchange(.field(.rotation, name: "certificateRequest")))
  }

  @Test(
    "Malformed rotation files",
    arguments: [
      ("", "exchange-not-json"), ("[]", "exchange-not-json"), ("{}", "exchange-malformed"),
      ("{\"schema\": \"bauta/rotation/2\"}", "exchange-malformed"),
      ("{\"schema\": \"bauta/rotation/1\", \"statement\": \"\", \"certificateRequest\": \"\"}", "note-malformed"),
      ("{\"schema\": \"bauta/rotation/1\", \"statement\": 1, \"certificateRequest\": \"\"}", "exchange-malformed"),
      ("{\"schema\": \"bauta/rotation/1\", \"statement\": \"\"}", "exchange-malformed"),
    ])
  func malformedRotation(_ text: String, _ code: String) {
    #expect(federationError { try RotationRequest(parsing: Array(text.utf8)) }?.code == code)
  }

  @Test("No altered byte of a rotation file's statement counts; its length is bounded")
  func alteredRotation() throws {
    let federation = try TestFederation()
    let manifest = try federation.manifest()
    let statement = try SignedPins(
      federation: manifest.federation, name: federation.alder.name, sequence: 1,
      pins: Manifest.Pins(current: federation.alder.pin, next: CertificateKeyHash(hashing: [1])),
      signedWith: federation.alder.identity)
    let bytes = Array(try RotationRequest(statement: statement, certificateRequest: pem).text.utf8)
    for index in bytes.indices {
      var altered = bytes
      altered[index] ^= 0x01
      guard let other = try? RotationRequest(parsing: altered), other.statement != statement else { continue }
      var pins = PinSet(manifest)
      #expect(throws: FederationError.self) { try pins.take(other.statement) }
    }
    let long = bytes + Array(repeating: 0x20, count: RotationRequest.maximumBytes)
    #expect(
      federationError { try RotationRequest(parsing: long) }
        == .exchange(.tooLarge(.rotation, limit: RotationRequest.maximumBytes)))
  }
}
