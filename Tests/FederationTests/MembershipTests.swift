import Cryptography
import Foundation
import Testing

@testable import Federation

@Suite("Pins that members state, and revocations")
struct MembershipTests {
  private func pins(_ current: UInt8, next: UInt8? = nil) -> Manifest.Pins {
    Manifest.Pins(
      current: CertificateKeyHash(hashing: [current]), next: next.map { CertificateKeyHash(hashing: [$0]) })
  }

  private struct World {
    let federation: OrganizationName
    let server: Party
    let parties: [Party]
    let manifest: Manifest
  }

  private final class Party {
    let name: OrganizationName
    let identity = IdentitySigningKey.generate()
    let member: Manifest.Member

    init(_ name: String, pin: UInt8) throws {
      self.name = try OrganizationName(name)
      member = Manifest.Member(
        name: self.name,
        keys: Manifest.Keys(
          identity: identity.verifyingKey, log: LogSigningKey.generate().verifyingKey,
          witness: WitnessSigningKey.generate().verifyingKey),
        pins: Manifest.Pins(current: CertificateKeyHash(hashing: [pin])))
    }

    func state(_ sequence: Int, _ pins: Manifest.Pins, of federation: OrganizationName) throws -> SignedPins {
      try SignedPins(federation: federation, name: name, sequence: sequence, pins: pins, signedWith: identity)
    }
  }

  private func world() throws -> World {
    let federation = try OrganizationName("fraud.example")
    let server = try Party("hub.example", pin: 100)
    let parties = try ["alder.example", "birch.example", "cedar.example"].enumerated().map {
      try Party($0.element, pin: UInt8($0.offset))
    }
    let manifest = try Manifest.founding(
      federation: federation,
      server: Manifest.Server(member: server.member, addresses: [NetworkAddress("hub.example:7443")]),
      organizations: parties.map(\.member))
    return World(federation: federation, server: server, parties: parties, manifest: manifest)
  }

  @Test("A member's own statement replaces the manifest's pins of that member and of nobody else")
  func ownPins() throws {
    let world = try world()
    let alder = world.parties[0]
    var set = PinSet(world.manifest)
    #expect(set.organizations[CertificateKeyHash(hashing: [0])] == alder.name)
    #expect(try set.take(alder.state(1, pins(0, next: 50), of: world.federation)))
    #expect(set.organizations.filter { $0.value == alder.name }.count == 2)
    #expect(try set.take(alder.state(2, pins(50), of: world.federation)))
    #expect(try !set.take(alder.state(2, pins(50), of: world.federation)))
    #expect(set.organizations[CertificateKeyHash(hashing: [0])] == nil)
    #expect(set.organizations[CertificateKeyHash(hashing: [50])] == alder.name)
    #expect(set.pins(of: world.parties[1].name) == world.parties[1].member.pins)
    #expect(set.server == [CertificateKeyHash(hashing: [100]): world.server.name])
    #expect(try set.take(world.server.state(1, pins(100, next: 101), of: world.federation)))
    #expect(set.server.count == 2)
  }

  @Test("Older, forked, foreign and greedy statements change nothing")
  func refused() throws {
    let world = try world()
    let (alder, birch) = (world.parties[0], world.parties[1])
    var set = PinSet(world.manifest)
    try set.take(alder.state(3, pins(50), of: world.federation))
    let before = set
    let older = try alder.state(2, pins(0), of: world.federation)
    #expect(throws: FederationError.membership(.olderPins(alder.name, held: 3, found: 2))) { try set.take(older) }
    let forked = try alder.state(3, pins(51), of: world.federation)
    #expect(throws: FederationError.membership(.forkedPins(alder.name, sequence: 3))) { try set.take(forked) }
    // Signed by birch for alder, and by alder for another federation.
    let foreign = try SignedPins(
      federation: world.federation, name: alder.name, sequence: 4, pins: pins(52), signedWith: birch.identity)
    let elsewhere = try alder.state(4, pins(52), of: OrganizationName("other.example"))
    for statement in [foreign, elsewhere] {
      #expect(throws: FederationError.membership(.foreignPins(alder.name))) { try set.take(statement) }
    }
    for taken in [pins(1), pins(53, next: 1), pins(100)] {
      let greedy = try alder.state(4, taken, of: world.federation)
      #expect(throws: FederationError.membership(.pinOfAnother(alder.name))) { try set.take(greedy) }
    }
    #expect(set == before)
    #expect(throws: FederationError.membership(.malformedPins(alder.name))) {
      _ = try alder.state(5, pins(9, next: 9), of: world.federation)
    }
    #expect(throws: FederationError.membership(.malformedPins(alder.name))) {
      _ = try alder.state(0, pins(9), of: world.federation)
    }
  }

  @Test("A statement reads back as it was written, and no altered byte of it is taken")
  func text() throws {
    let world = try world()
    let statement = try world.parties[0].state(7, pins(50, next: 51), of: world.federation)
    let bytes = statement.serialized
    #expect(try SignedPins(parsing: bytes) == statement)
    for index in bytes.indices {
      var altered = bytes
      altered[index] ^= 0x01
      guard let other = try? SignedPins(parsing: altered) else { continue }
      var set = PinSet(world.manifest)
      #expect(throws: FederationError.self) { try set.take(other) }
    }
    for count in 0..<bytes.count {
      #expect(throws: FederationError.self) { try SignedPins(parsing: Array(bytes.prefix(count))) }
    }
    // What members sign as a manifest is no statement, and the reverse.
    var manifest = try SignedManifest(world.manifest)
    try manifest.approve(as: world.parties[0].name, with: world.parties[0].identity)
    #expect(throws: FederationError.self) { try SignedPins(parsing: manifest.serialized) }
    #expect(throws: FederationError.self) { try SignedManifest(parsing: bytes) }
  }

  @Test("A new identity key ends what the one before had stated")
  func newIdentity() throws {
    let world = try world()
    let alder = world.parties[0]
    let statement = try alder.state(9, pins(50), of: world.federation)
    let anew = try Party("alder.example", pin: 60)
    let manifest = try Manifest.founding(
      federation: world.federation, server: world.manifest.server,
      organizations: [anew.member] + world.parties.dropFirst().map(\.member))
    var set = PinSet(manifest, statements: [statement])
    #expect(set.pins(of: alder.name) == anew.member.pins)
    #expect(try set.take(anew.state(1, pins(60, next: 61), of: world.federation)))
  }

  @Test("The directory keeps the latest statement, the manifest in force, and who is revoked")
  func directory() throws {
    let world = try world()
    let path = NSTemporaryDirectory() + "membership-\(UUID().uuidString)"
    let directory = try ServerDirectory.create(at: path, name: world.server.name)
    let alder = world.parties[0]
    #expect(try directory.store(alder.state(1, pins(0, next: 50), of: world.federation), under: world.manifest))
    #expect(try !directory.store(alder.state(1, pins(0, next: 50), of: world.federation), under: world.manifest))
    #expect(throws: FederationError.self) {
      try directory.store(alder.state(1, pins(0, next: 51), of: world.federation), under: world.manifest)
    }
    #expect(try directory.pins(under: world.manifest).organizations.count == 4)

    var first = try SignedManifest(world.manifest)
    for party in [world.server] + world.parties { try first.approve(as: party.name, with: party.identity) }
    try directory.store(first)
    let revoked = try first.successor(.init(assumedCorrupt: 0, organizations: world.parties.dropFirst().map(\.member)))
    var second = revoked
    try second.approve(as: world.server.name, with: world.server.identity)
    try directory.store(second)
    #expect(try directory.manifest()?.hash == second.hash)
    #expect(try directory.manifestInForce()?.hash == first.hash)
    for party in world.parties.dropFirst() { try second.approve(as: party.name, with: party.identity) }
    try directory.store(second)
    #expect(try directory.manifestInForce()?.hash == second.hash)

    let revocation = Revocation(
      name: alder.name, identity: alder.identity.verifyingKey, reason: "left the programme \"early\"",
      time: "2026-01-01")
    try directory.store(revocation)
    #expect(try directory.revocations() == [revocation])
    #expect(revocation.revokes(alder.member))
    #expect(try !revocation.revokes(Party("alder.example", pin: 0).member))
    try Data("{}".utf8).write(to: URL(fileURLWithPath: "\(path)/revoked/birch.example.json"))
    #expect(throws: FederationError.self) { try directory.revocations() }
  }
}
