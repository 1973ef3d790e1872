import Cryptography
import Federation
import Foundation
import MutualTLS
import Testing

@testable import bauta

/// A federation in a directory of its own, founded with the functions of the commands, and approved by everybody.
struct LifecycleFederation {
  let root: String
  let server: ServerDirectory
  let organizations: [OrganizationDirectory]

  init(_ names: [String] = ["alder.example", "birch.example", "cedar.example", "dogwood.example"]) throws {
    root = NSTemporaryDirectory() + "bauta-lifecycle-\(UUID().uuidString)"
    try FileManager.default.createDirectory(atPath: root, withIntermediateDirectories: true)
    server = try FederationInitializer.initialize(
      .init(
        federation: OrganizationName("fraud.example"), serverName: OrganizationName("hub.example"),
        addresses: [NetworkAddress("127.0.0.1:7443")]), at: "\(root)/hub"
    ).directory
    var organizations: [OrganizationDirectory] = []
    var candidates: [Admission.Candidate] = []
    for name in names {
      let made = try OrganizationInitializer.initialize(OrganizationName(name), at: "\(root)/\(name)")
      organizations.append(made.directory)
      candidates.append(try Admission.Candidate(made.request))
    }
    self.organizations = organizations
    _ = try Admission.admit(candidates, in: server)
    try approve()
  }

  func remove() { try? FileManager.default.removeItem(atPath: root) }

  func organization(_ name: String) throws -> OrganizationDirectory {
    try #require(organizations.first { $0.name.value == name })
  }

  func invitation(_ organization: OrganizationDirectory) -> String {
    Invitations.path(server, organization.name)
  }

  /// The members of the latest version approve it, and the server collects that.
  func approve() throws {
    let members = try #require(try server.manifest()).manifest.organizations.map(\.name)
    let notes = try organizations.filter { members.contains($0.name) }.map { organization in
      try Approval.approve(Approval.propose(invitation(organization), to: organization)).notePath
    }
    _ = try Approval.collect(notes, in: server)
  }

  /// The organisation's client sends its latest statement.
  func sayHello(_ organization: OrganizationDirectory) throws {
    let manifest = try #require(try server.manifestInForce()).manifest
    guard
      let statement = try organization.pins(under: organization.ownManifest()).statements[organization.name]
    else { return }
    // One that the server has already, or a later one of which, changes nothing there.
    _ = try? server.store(statement, under: manifest)
  }

  /// Whose key the server takes a certificate's to be.
  func owner(of key: CertificateKeyHash) throws -> OrganizationName? {
    try server.pins(under: #require(try server.manifestInForce()).manifest).organizations[key]
  }

  /// Every file below a directory, with its bytes.
  static func files(_ path: String) throws -> [String: Data] {
    var files: [String: Data] = [:]
    for name in try FileManager.default.subpathsOfDirectory(atPath: path) {
      if let bytes = FileManager.default.contents(atPath: "\(path)/\(name)") { files[name] = bytes }
    }
    return files
  }
}

extension OrganizationDirectory {
  /// The certificate that is installed, after checking that the key beside it is its own.
  func matchingCertificate() throws -> Certificate {
    try TLSIdentity(certificateFile: tlsCertificatePath, privateKey: .resolve(keyPath: tlsKeyPath)).chain[0]
  }

  func rotation() throws -> OwnKeys.Rotation { try OwnKeys(self).rotation() }

  func sequence() throws -> Int { try OwnKeys(self).statement?.sequence ?? 0 }
}

extension Approval {
  /// As the command does with a file that asks for something.
  static func propose(_ path: String, to directory: OrganizationDirectory) throws -> Proposal {
    guard case .offer(let offer) = try Document(contentsOf: path) else {
      throw CommandError.unsuitable(path: path, problem: "it asks for nothing", remedy: "")
    }
    return try propose(offer, from: path, to: directory)
  }
}
