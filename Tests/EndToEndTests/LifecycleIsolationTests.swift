import Cryptography
import Federation
import Foundation
import Testing

@testable import bauta

@Suite("What is done for one member touches no other")
struct LifecycleIsolationTests {
  /// What the operator and one organisation can do about that organisation, or about one that joins.
  enum Deed: String, CaseIterable {
    case admit, rotate, cancel, renew, revoke, replaceIdentity, rotateServer
  }

  private func perform(_ deed: Deed, _ federation: LifecycleFederation) throws {
    let alder = try federation.organization("alder.example")
    let server = federation.server
    switch deed {
    case .admit:
      let elm = try OrganizationInitializer.initialize(OrganizationName("elm.example"), at: "\(federation.root)/elm")
      _ = try Admission.admit([Admission.Candidate(elm.request)], in: server)
    case .rotate:
      _ = try Rotation.issue(RotationRequest(contentsOf: Rotation.begin(in: alder).path), in: server)
      let result = try Approval.approve(Approval.propose(federation.invitation(alder), to: alder))
      #expect(result.certificateChange == .rotated)
      _ = try Rotation.issue(RotationRequest(contentsOf: alder.rotationPath), in: server)
    case .cancel:
      _ = try Rotation.issue(RotationRequest(contentsOf: Rotation.begin(in: alder).path), in: server)
      _ = try Rotation.cancel(in: alder)
      _ = try Rotation.issue(RotationRequest(contentsOf: alder.rotationPath), in: server)
    case .renew:
      _ = try Renewal.renew([alder.name], in: server)
      _ = try Approval.approve(Approval.propose(federation.invitation(alder), to: alder))
    case .revoke: _ = try MemberRevocation.revoke(alder.name, reason: "left", in: server)
    case .replaceIdentity:
      let request = try OrganizationInitializer.replaceIdentity(in: alder, reason: "lost").request
      var settings = Admission.Settings()
      settings.replacement = "lost"
      _ = try Admission.admit([Admission.Candidate(request)], in: server, settings)
    case .rotateServer:
      _ = try ServerRotation.begin(in: server)
      _ = try ServerRotation.finish(in: server, force: true)
    }
  }

  @Test("Every byte of the other organisations, and their certificates at the server, stay", arguments: Deed.allCases)
  func others(_ deed: Deed) throws {
    let federation = try LifecycleFederation()
    defer { federation.remove() }
    let others = federation.organizations.filter { $0.name.value != "alder.example" }
    func snapshot() throws -> [String: [String: Data]] {
      var all: [String: [String: Data]] = [:]
      for other in others { all[other.name.value] = try LifecycleFederation.files(other.path) }
      let own = try LifecycleFederation.files(federation.server.path)
      all["at the server"] = own.filter { file, _ in
        others.contains { ["ca/\($0.name).crt", "ca/next/\($0.name).crt", "pins/\($0.name).note"].contains(file) }
          || ["ca/ca.key", "ca/ca.crt", "ca.crt", "identity.key"].contains(file)
          || (deed != .rotateServer && ["tls.key", "tls.crt"].contains(file))
      }
      return all
    }
    let before = try snapshot()
    #expect(before["at the server"]?.count ?? 0 >= others.count + 4)
    try perform(deed, federation)
    #expect(try snapshot() == before)
  }

  @Test("A revoked organisation is in no version that follows, and its identity key in none")
  func revoked() throws {
    let federation = try LifecycleFederation()
    defer { federation.remove() }
    let server = federation.server
    let alder = try federation.organization("alder.example")
    let old = try alder.keys().identity
    // Replaced, and replaced again before the first replacement was approved: both old keys stay revoked.
    for _ in 0..<2 {
      let request = try OrganizationInitializer.replaceIdentity(in: alder, reason: "lost").request
      var settings = Admission.Settings()
      settings.replacement = "lost"
      _ = try Admission.admit([Admission.Candidate(request)], in: server, settings)
    }
    let inForce = try #require(try server.manifestInForce()).manifest
    let member = try #require(inForce.organization(named: alder.name))
    #expect(member.keys.identity == old)
    #expect(try server.revocations().contains { $0.revokes(member) }, "the version in force still names the first key")
    #expect(try server.revocations().count == 2)
    try federation.approve()
    let latest = try #require(try server.manifestInForce()).manifest
    let present = try #require(latest.organization(named: alder.name))
    #expect(try present.keys == alder.keys())
    #expect(try !server.revocations().contains { $0.revokes(present) })

    // Revoked for good: the next version, whatever it is made for, does not name it.
    let result = try MemberRevocation.revoke(
      alder.name, reason: "left", assumptions: Assumptions(minimumCohort: 4), in: server)
    #expect(result.manifest == nil && result.obstacle?.reason.hasPrefix("3 organisations ") == true)
    let elm = try OrganizationInitializer.initialize(OrganizationName("elm.example"), at: "\(federation.root)/elm")
    let admitted = try Admission.admit([Admission.Candidate(elm.request)], in: server).manifest.manifest
    #expect(
      admitted.organizations.map(\.name.value) == ["birch.example", "cedar.example", "dogwood.example", "elm.example"])
  }
}
