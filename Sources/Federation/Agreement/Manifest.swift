public import Cryptography
public import SecureAggregation
public import TransparencyLog

/// Who is in a federation, under which keys, and on which assumptions its sums are safe.
///
/// A value of this type is consistent: names, keys and pins are unique and the assumptions can hold. It says nothing
/// about who has approved it; that is ``SignedManifest``.
public struct Manifest: Sendable, Equatable {
  public static let schema = "bauta/manifest/1"
  public static let maximumOrganizations = AggregationContext.cohortCounts.upperBound
  public static let maximumAddresses = 16

  /// The verifier keys of one member, each for one purpose only.
  public struct Keys: Sendable, Hashable {
    public let identity: IdentityVerifyingKey
    public let log: LogVerifyingKey
    public let witness: WitnessVerifyingKey

    public init(identity: IdentityVerifyingKey, log: LogVerifyingKey, witness: WitnessVerifyingKey) {
      self.identity = identity
      self.log = log
      self.witness = witness
    }

    var all: [[UInt8]] { [identity.bytes, log.bytes, witness.bytes] }
  }

  /// SHA-256 of the SubjectPublicKeyInfo of a member's certificate, and of the one that is to replace it.
  public struct Pins: Sendable, Hashable {
    public let current: CertificateKeyHash
    public let next: CertificateKeyHash?

    public init(current: CertificateKeyHash, next: CertificateKeyHash? = nil) {
      self.current = current
      self.next = next
    }

    /// Those that a connection may present.
    public var accepted: [CertificateKeyHash] { [current] + (next.map { [$0] } ?? []) }
  }

  public struct Member: Sendable, Hashable {
    public let name: OrganizationName
    public let keys: Keys
    public let pins: Pins

    public init(name: OrganizationName, keys: Keys, pins: Pins) {
      self.name = name
      self.keys = keys
      self.pins = pins
    }

    /// The identity key as notes name it.
    public var identityNoteKey: NoteVerifierKey<IdentityKeyRole> {
      NoteVerifierKey(organization: name, key: keys.identity)
    }

    /// The log key as notes name it.
    public var logNoteKey: NoteVerifierKey<LogKeyRole> { NoteVerifierKey(organization: name, key: keys.log) }

    /// The witness key as notes name it.
    public var witnessNoteKey: NoteVerifierKey<WitnessKeyRole> {
      NoteVerifierKey(organization: name, key: keys.witness)
    }
  }

  public struct Server: Sendable, Hashable {
    public let member: Member
    /// Where clients connect, in the order to try.
    public let addresses: [NetworkAddress]

    public init(member: Member, addresses: [NetworkAddress]) {
      self.member = member
      self.addresses = addresses
    }

    public var name: OrganizationName { member.name }
    public var keys: Keys { member.keys }
    public var pins: Pins { member.pins }
  }

  public let federation: OrganizationName
  /// From 1.
  public let version: Int
  /// The hash of the version before; nil for the first.
  public let previous: ManifestHash?
  /// n_c: organisations that may collude with the server.
  public let assumedCorrupt: Int
  /// Fewest organisations in any sum.
  public let minimumCohort: Int
  public let witnessQuorum: Int
  public let server: Server
  /// Sorted by name.
  public let organizations: [Member]

  /// - Throws: ``FederationError/manifest(_:)`` with the rule that is broken.
  public init(
    federation: OrganizationName, version: Int, previous: ManifestHash?, assumedCorrupt: Int, minimumCohort: Int,
    witnessQuorum: Int, server: Server, organizations: [Member]
  ) throws(FederationError) {
    func require(_ condition: Bool, _ fault: ManifestFault) throws(FederationError) {
      guard condition else { throw .manifest(fault) }
    }
    let limit = Self.maximumOrganizations
    try require((1...1_000_000).contains(version), .outOfRange(.version, expected: "from 1 to 1000000"))
    try require(
      (version == 1) == (previous == nil), .outOfRange(.previous, expected: "null in version 1 and only there"))
    try require((0...limit).contains(assumedCorrupt), .outOfRange(.assumedCorrupt, expected: "from 0 to \(limit)"))
    // Two organisations would learn each other's term from the sum.
    try require((3...limit).contains(minimumCohort), .outOfRange(.minimumCohort, expected: "from 3 to \(limit)"))
    try require(
      minimumCohort - assumedCorrupt >= 2,
      .outOfRange(.minimumCohort, expected: "at least 2 above assumedCorrupt"))
    try require(
      (0...limit + 1).contains(witnessQuorum), .outOfRange(.witnessQuorum, expected: "from 0 to \(limit + 1)"))
    try require(
      (1...Self.maximumAddresses).contains(server.addresses.count)
        && Set(server.addresses).count == server.addresses.count,
      .outOfRange(.addresses, expected: "1 to \(Self.maximumAddresses) different addresses"))
    try require(organizations.count <= limit, .outOfRange(.organizations, expected: "at most \(limit)"))
    try Self.requireUnique([server.member] + organizations)
    // A federation grows one by one; the threshold matters once there can be a run.
    let count = organizations.count
    if count >= 3 {
      let threshold = (count + assumedCorrupt) / 2 + 1
      try require(
        threshold <= count && threshold - assumedCorrupt >= 2,
        .tooManyCorrupt(organizations: count, assumedCorrupt: assumedCorrupt))
    }
    self.federation = federation
    self.version = version
    self.previous = previous
    self.assumedCorrupt = assumedCorrupt
    self.minimumCohort = minimumCohort
    self.witnessQuorum = witnessQuorum
    self.server = server
    self.organizations = organizations.sorted { $0.name < $1.name }
  }

  /// The server, then every organisation.
  public var members: [Member] { [server.member] + organizations }

  public func organization(named name: OrganizationName) -> Member? { organizations.first { $0.name == name } }

  /// The server or an organisation.
  public func member(named name: OrganizationName) -> Member? { members.first { $0.name == name } }

  /// The pins a member's certificate may have, current and next; nil if the manifest does not name it.
  public func pins(of name: OrganizationName) -> Pins? { member(named: name)?.pins }

  /// The organisation to which a certificate's key belongs.
  public func organization(pinnedTo key: CertificateKeyHash) -> Member? {
    organizations.first { $0.pins.accepted.contains(key) }
  }

  /// Organisations under their pinned identities, for the context of a sum.
  ///
  /// - Throws: ``FederationError/manifest(_:)`` if one is not named here.
  public func cohort(of names: [OrganizationName]) throws(FederationError) -> [CohortMember] {
    var cohort: [CohortMember] = []
    for name in names {
      guard let member = organization(named: name) else { throw .manifest(.unknownMember(name)) }
      cohort.append(CohortMember(name: member.name, identity: member.keys.identity))
    }
    return cohort
  }

  private static func requireUnique(_ members: [Member]) throws(FederationError) {
    var names = Set<OrganizationName>()
    var keys = Set<[UInt8]>()
    var pins = Set<CertificateKeyHash>()
    for member in members {
      guard names.insert(member.name).inserted else { throw .manifest(.duplicateName(member.name)) }
      for key in member.keys.all where !keys.insert(key).inserted {
        throw .manifest(.duplicateKey(member.name))
      }
      for pin in member.pins.accepted where !pins.insert(pin).inserted {
        throw .manifest(.duplicatePin(member.name))
      }
    }
  }
}
