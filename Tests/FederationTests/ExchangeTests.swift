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

  @Test("An invitation reads back, and what is in it is checked")
  func invitation() throws {
    let federation = try TestFederation()
    let manifest = try federation.approved()
    let invitation = try Invitation(
      certificateChain: certificate, certificateAuthority: certificate, manifest: manifest)
    let read = try Invitation(parsing: Array(invitation.text.utf8))
    #expect(read == invitation)
    #expect(read.manifest.isApprovedByAll)
    try withTemporaryDirectory { directory in
      try invitation.write(to: "\(directory)/alder.invitation")
      #expect(try Invitation(contentsOf: "\(directory)/alder.invitation") == invitation)
    }
    let altered = invitation.text.replacingOccurrences(of: "minimumCohort: 3", with: "minimumCohort: 2")
    #expect(federationError { try Invitation(parsing: Array(altered.utf8)) }?.code == "manifest-out-of-range")
    let pem = self.pem
    #expect(
      federationError {
        try Invitation(certificateChain: pem, certificateAuthority: certificate, manifest: manifest)
      } == .exchange(.certificate(.invitation, name: "certificateChain")))
  }
}
