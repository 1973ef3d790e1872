import Cryptography
import Foundation
import Testing
import TransparencyLog

@testable import Federation

@Suite("Manifests")
struct ManifestTests {
  @Test("The text is the documented one, reads back, and is hashed as it stands")
  func text() throws {
    let federation = try TestFederation()
    let manifest = try federation.manifest()
    let lines = manifest.text.split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
    #expect(
      Array(lines[0...10]) == [
        "schema: bauta/manifest/1", "federation: fraud.example", "version: 1", "previous: null", "assumedCorrupt: 1",
        "minimumCohort: 3", "witnessQuorum: 0", "server:", "  name: hub.example", "  addresses: [\"127.0.0.1:7443\"]",
        "  keys:",
      ])
    #expect(lines.contains("  - name: alder.example"))
    #expect(lines.contains("    pins: {current: \(federation.alder.pin.hexadecimal), next: null}"))
    let read = try Manifest(parsing: manifest.text)
    #expect(read == manifest)
    #expect(read.organizations.map(\.name.value) == ["alder.example", "birch.example", "cedar.example"])
    let signed = try SignedManifest(manifest)
    #expect(signed.hash == ManifestHash(hashing: Array(manifest.text.utf8)))
  }

  @Test("A next pin and an empty federation read back too")
  func variants() throws {
    let federation = try TestFederation()
    var member = federation.alder.member
    member = Manifest.Member(
      name: member.name, keys: member.keys,
      pins: Manifest.Pins(current: member.pins.current, next: CertificateKeyHash(hashing: [1])))
    let founding = try Manifest.founding(
      federation: OrganizationName("f"), server: try federation.serverEntry, assumedCorrupt: 0)
    let grown = try SignedManifest(founding).admitting(member).manifest
    for manifest in [founding, grown] { #expect(try Manifest(parsing: manifest.text) == manifest) }
    #expect(grown.pins(of: member.name)?.accepted.count == 2)
    #expect(grown.organization(pinnedTo: CertificateKeyHash(hashing: [1]))?.name == member.name)
    #expect(grown.organization(pinnedTo: CertificateKeyHash(hashing: [2])) == nil)
    #expect(grown.organization(pinnedTo: federation.server.pin) == nil)
    #expect(grown.pins(of: federation.server.name)?.current == federation.server.pin)
    #expect(grown.pins(of: federation.birch.name) == nil)
  }

  @Test("Approval is complete with every member's signature, and not before")
  func approvals() throws {
    let federation = try TestFederation()
    var signed = try SignedManifest(federation.manifest())
    #expect(!signed.isApprovedByAll)
    try signed.approve(as: federation.server.name, with: federation.server.identity)
    try signed.approve(as: federation.alder.name, with: federation.alder.identity)
    try signed.approve(as: federation.cedar.name, with: federation.cedar.identity)
    #expect(signed.approvals.missing == [federation.birch.name])
    let missing = federationError { try signed.requireApprovedByAll() }
    #expect(missing?.message == "the manifest is not yet approved by birch.example")
    #expect(signed.approval(by: federation.birch.name) == nil)
    try signed.approve(as: federation.birch.name, with: federation.birch.identity)
    #expect(signed.isApprovedByAll)
    try signed.requireApprovedByAll()
    let read = try SignedManifest(parsing: signed.serialized)
    #expect(read == signed)
    #expect(read.isApprovedByAll)
  }

  @Test("A signature may be made elsewhere and added, and only a valid one")
  func addedSignature() throws {
    let federation = try TestFederation()
    let signed = try federation.approved()
    var fresh = try SignedManifest(signed.manifest)
    let signature = try #require(signed.approval(by: federation.alder.name))
    try fresh.add(signature, by: federation.alder.name)
    #expect(fresh.isApproved(by: federation.alder.name))
    let name = federation.birch.name
    var copy = fresh
    #expect(federationError { try copy.add(signature, by: name) } == .manifest(.invalidSignature([name])))
    let stranger = try OrganizationName("yew.example")
    #expect(federationError { try copy.add(signature, by: stranger) } == .manifest(.unknownMember(stranger)))
    try copy.merge(signed)
    #expect(copy.isApprovedByAll)
  }

  @Test("Another's key signs nothing, neither does a key for a name not listed")
  func foreignKey() throws {
    let federation = try TestFederation()
    var signed = try SignedManifest(federation.manifest())
    do {
      try signed.approve(as: federation.alder.name, with: federation.birch.identity)
      Issue.record("signed")
    } catch { #expect(error == .manifest(.foreignKey(federation.alder.name))) }
    let stranger = try TestMember("yew.example")
    do {
      try signed.approve(as: stranger.name, with: stranger.identity)
      Issue.record("signed")
    } catch { #expect(error == .manifest(.unknownMember(stranger.name))) }
  }

  @Test("One altered character, and no signature is valid")
  func alteredText() throws {
    let federation = try TestFederation()
    let text = try federation.approved().serializedText
    let altered = text.replacingOccurrences(of: "witnessQuorum: 0", with: "witnessQuorum: 1")
    let signed = try SignedManifest(parsing: altered)
    #expect(signed.approvals.approved.isEmpty)
    #expect(signed.approvals.invalid.count == 4)
    let error = federationError { try signed.requireApprovedByAll() }
    #expect(
      error?.message
        == "the manifest's signature by hub.example, alder.example, birch.example, cedar.example does not verify")
  }

  @Test("A removed signature line is a missing approval")
  func removedSignature() throws {
    let federation = try TestFederation()
    let lines = try federation.approved().serializedText.split(separator: "\n", omittingEmptySubsequences: false)
    let text = lines.filter { !$0.hasPrefix("— cedar.example") }.joined(separator: "\n")
    let signed = try SignedManifest(parsing: text)
    #expect(signed.approvals.missing == [federation.cedar.name])
    #expect(signed.approvals.invalid.isEmpty)
  }

  @Test("A log key's signature is no approval")
  func roleOfTheKey() throws {
    let federation = try TestFederation()
    var note = try SignedNote(text: federation.manifest().text)
    try note.sign(name: federation.alder.name, key: federation.alder.log)
    let signed = try SignedManifest(parsing: note.serialized)
    #expect(signed.approvals.approved.isEmpty)
    #expect(signed.approvals.missing.contains(federation.alder.name))
  }

  @Test(
    "Any other text of the same manifest is refused",
    arguments: [
      ("version: 1", "version:  1", 3, 10), ("previous: null\n", "previous: null # none\n", 4, 15),
      ("federation: fraud.example", "federation: \"fraud.example\"", 2, 13), ("schema", "# a comment\nschema", 1, 1),
    ] as [(String, String, Int, Int)])
  func notCanonical(old: String, new: String, line: Int, column: Int) throws {
    let federation = try TestFederation()
    let text = try federation.manifest().text
    let range = try #require(text.range(of: old))
    let altered = text.replacingCharacters(in: range, with: new)
    #expect(
      federationError { try Manifest(parsing: altered, file: "m") }
        == .document(SourcePosition(file: "m", line: line, column: column), .notCanonical))
  }

  @Test(
    "Malformed values",
    arguments: [
      ("version: 1", "version: 01", "version: expected an integer from 0 to 1000000, found '01'"),
      ("version: 1", "version: 0", "the manifest's version must be from 1 to 1000000"),
      ("version: 1", "version: 2", "the manifest's previous must be null in version 1 and only there"),
      ("previous: null", "previous: 00", "previous: expected 64 hexadecimal digits or null, found '00'"),
      ("minimumCohort: 3", "minimumCohort: 2", "the manifest's minimumCohort must be from 3 to 256"),
      (
        "assumedCorrupt: 1", "assumedCorrupt: 2", "the manifest's minimumCohort must be at least 2 above assumedCorrupt"
      ),
      ("witnessQuorum: 0", "witnessQuorum: 258", "the manifest's witnessQuorum must be from 0 to 257"),
      (
        "127.0.0.1:7443", "127.0.0.1",
        "server.addresses: expected an address such as \"127.0.0.1:7443\", found the quoted text '127.0.0.1'"
      ),
      (
        "name: alder.example", "name: Alder.example",
        "organizations[1].name: expected a name such as alder.example, found 'Alder.example'"
      ),
      (
        "name: alder.example", "name: birch.example",
        "organizations[1].keys.identity: expected the identity verifier key of birch.example"
      ),
      ("witnessQuorum", "witnessQourum", "unknown key 'witnessQourum'; did you mean 'witnessQuorum'?"),
    ] as [(String, String, String)])
  func malformed(old: String, new: String, message: String) throws {
    let federation = try TestFederation()
    let text = try federation.manifest().text
    let range = try #require(text.range(of: old))
    let error = federationError { try Manifest(parsing: text.replacingCharacters(in: range, with: new)) }
    #expect(error?.message.contains(message) == true, "\(error?.message ?? "no error")")
  }

  @Test("Names, keys and pins are unique over all members and roles")
  func unique() throws {
    let federation = try TestFederation()
    let (alder, birch) = (federation.alder.member, federation.birch.member)
    func fault(_ member: Manifest.Member) throws -> FederationError? {
      let server = try federation.serverEntry
      return federationError {
        try Manifest.founding(
          federation: OrganizationName("f"), server: server, organizations: [alder, member])
      }
    }
    #expect(try fault(birch) == nil)
    #expect(
      try fault(Manifest.Member(name: alder.name, keys: birch.keys, pins: birch.pins))
        == .manifest(.duplicateName(alder.name)))
    #expect(
      try fault(Manifest.Member(name: birch.name, keys: alder.keys, pins: birch.pins))
        == .manifest(.duplicateKey(birch.name)))
    let crossed = Manifest.Keys(
      identity: try VerifyingKey(bytes: alder.keys.log.bytes), log: birch.keys.log, witness: birch.keys.witness)
    #expect(
      try fault(Manifest.Member(name: birch.name, keys: crossed, pins: birch.pins))
        == .manifest(.duplicateKey(birch.name)))
    #expect(
      try fault(Manifest.Member(name: birch.name, keys: birch.keys, pins: alder.pins))
        == .manifest(.duplicatePin(birch.name)))
    let next = Manifest.Pins(current: birch.pins.current, next: federation.server.pin)
    #expect(
      try fault(Manifest.Member(name: birch.name, keys: birch.keys, pins: next))
        == .manifest(.duplicatePin(birch.name)))
    #expect(
      try fault(Manifest.Member(name: federation.server.name, keys: birch.keys, pins: birch.pins))
        == .manifest(.duplicateName(federation.server.name)))
  }

  @Test("The threshold must leave two honest members")
  func corrupt() throws {
    let federation = try TestFederation()
    #expect(throws: Never.self) { try federation.manifest(assumedCorrupt: 1) }
    do {
      _ = try federation.manifest(assumedCorrupt: 2, minimumCohort: 4)
      Issue.record("accepted")
    } catch {
      #expect(
        error as? FederationError == .manifest(.tooManyCorrupt(organizations: 3, assumedCorrupt: 2)))
    }
  }

  @Test("Versions are chained by hash")
  func chain() throws {
    let federation = try TestFederation()
    let first = try federation.approved()
    let yew = try TestMember("yew.example")
    let second = try first.admitting(yew.member)
    #expect(second.manifest.version == 2)
    #expect(second.manifest.previous == first.hash)
    try second.requireFollows(first)
    #expect(federationError { try first.admitting(first.manifest.organizations[0]) }?.code == "manifest-already-member")
    #expect(federationError { try first.requireFollows(first) } == .manifest(.wrongVersion(expected: 2, found: 1)))
    let third = try second.successor(Manifest.Amendment(minimumCohort: 4))
    #expect(federationError { try third.requireFollows(first) } == .manifest(.wrongVersion(expected: 2, found: 3)))
    let other = try first.successor(Manifest.Amendment(witnessQuorum: 1))
    let fork = try other.successor(Manifest.Amendment(minimumCohort: 4))
    #expect(
      federationError { try fork.requireFollows(second) }
        == .manifest(.wrongPrevious(expected: second.hash, found: other.hash)))
    let foreign = try SignedManifest(
      Manifest.founding(
        federation: OrganizationName("other.example"), server: try federation.serverEntry, assumedCorrupt: 0))
    #expect(federationError { try second.requireFollows(foreign) }?.code == "manifest-other-federation")
  }

  @Test("Differences in plain words")
  func changes() throws {
    let federation = try TestFederation()
    let first = try SignedManifest(federation.manifest())
    let yew = try TestMember("yew.example")
    let alder = federation.alder.member
    let announced = Manifest.Pins(current: alder.pins.current, next: CertificateKeyHash(hashing: [9]))
    let second = try first.successor(
      Manifest.Amendment(
        minimumCohort: 4,
        organizations: [
          Manifest.Member(name: alder.name, keys: alder.keys, pins: announced), federation.birch.member, yew.member,
        ]))
    #expect(
      second.manifest.changes(since: first.manifest).map(\.description) == [
        "minimumCohort changes from 3 to 4", "cedar.example leaves", "alder.example announces its next certificate key",
        "yew.example joins",
      ])
    let rotated = Manifest.Member(
      name: alder.name, keys: alder.keys, pins: Manifest.Pins(current: CertificateKeyHash(hashing: [9])))
    let third = try second.successor(
      Manifest.Amendment(organizations: [rotated, federation.birch.member, yew.member]))
    #expect(
      third.manifest.changes(since: second.manifest) == [.pinRotated(alder.name)])
    #expect(third.manifest.changes(since: first.manifest).contains(.pinReplaced(alder.name)))
    let oak = try TestMember("oak.example")
    let keys = Manifest.Member(
      name: alder.name, keys: oak.member.keys, pins: alder.pins)
    let fourth = try first.successor(
      Manifest.Amendment(organizations: [keys, federation.birch.member, federation.cedar.member]))
    #expect(
      fourth.manifest.changes(since: first.manifest).map(\.description) == [
        "alder.example has a new identity key", "alder.example has a new log key",
        "alder.example has a new witness key",
      ])
    #expect(first.manifest.changes(since: first.manifest).isEmpty)
  }

  @Test("A manifest never parses as a checkpoint, nor a checkpoint as a manifest")
  func checkpoint() throws {
    let federation = try TestFederation()
    let signed = try federation.approved()
    #expect(throws: TransparencyLogError.malformedCheckpoint(.size)) { try Checkpoint(parsing: signed.note.text) }
    #expect(throws: TransparencyLogError.self) { try SignedCheckpoint(parsing: signed.serialized) }
    let checkpoint = try SignedCheckpoint.signing(
      origin: federation.alder.name, size: 0, root: TreeHash(MerkleHashing.emptyRoot), key: federation.alder.log)
    #expect(federationError { try SignedManifest(parsing: checkpoint.serialized) } != nil)
  }

  @Test("A cohort is taken from the manifest, in its pinned identities")
  func cohort() throws {
    let federation = try TestFederation()
    let manifest = try federation.manifest()
    let cohort = try manifest.cohort(of: [federation.birch.name, federation.alder.name])
    #expect(cohort.map(\.name) == [federation.birch.name, federation.alder.name])
    #expect(cohort.map(\.identity) == [federation.birch.identity.verifyingKey, federation.alder.identity.verifyingKey])
    let server = federation.server.name
    #expect(federationError { try manifest.cohort(of: [server]) } == .manifest(.unknownMember(server)))
  }

  @Test(
    "Addresses",
    arguments: [
      ("hub.example:7443", "hub.example", 7443), ("127.0.0.1:1", "127.0.0.1", 1), ("[::1]:65535", "::1", 65535),
      ("hub", nil, 0), ("hub:", nil, 0), (":1", nil, 0), ("hub:0", nil, 0), ("hub:65536", nil, 0), ("hub:07", nil, 0),
      ("::1:7443", nil, 0), ("a b:1", nil, 0), ("-x:1", nil, 0), ("hub:1\n", nil, 0), ("[]:1", nil, 0),
    ] as [(String, String?, Int)])
  func addresses(text: String, host: String?, port: Int) {
    let address = try? NetworkAddress(text)
    #expect(address?.host == host)
    if let address {
      #expect(address.port == port)
      #expect(address.description == text)
    }
  }
}
