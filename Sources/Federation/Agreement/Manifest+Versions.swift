public import Cryptography

extension Manifest {
  /// The first version of a federation: its server, and no organisation yet.
  ///
  /// - Throws: ``FederationError/manifest(_:)``.
  public static func founding(
    federation: OrganizationName, server: Server, assumedCorrupt: Int = 1, minimumCohort: Int = 3,
    witnessQuorum: Int = 0, organizations: [Member] = []
  ) throws(FederationError) -> Manifest {
    try Manifest(
      federation: federation, version: 1, previous: nil, assumedCorrupt: assumedCorrupt,
      minimumCohort: minimumCohort, witnessQuorum: witnessQuorum, server: server, organizations: organizations)
  }

  /// What may change from one version to the next; nil leaves it as it is.
  public struct Amendment: Sendable {
    public var assumedCorrupt: Int?
    public var minimumCohort: Int?
    public var witnessQuorum: Int?
    public var server: Server?
    public var organizations: [Member]?

    public init(
      assumedCorrupt: Int? = nil, minimumCohort: Int? = nil, witnessQuorum: Int? = nil, server: Server? = nil,
      organizations: [Member]? = nil
    ) {
      self.assumedCorrupt = assumedCorrupt
      self.minimumCohort = minimumCohort
      self.witnessQuorum = witnessQuorum
      self.server = server
      self.organizations = organizations
    }
  }

  /// The differences to an earlier version, in plain words.
  public func changes(since old: Manifest) -> [ManifestChange] {
    var changes: [ManifestChange] = []
    func compare(_ name: String, _ old: some CustomStringConvertible, _ new: some CustomStringConvertible) {
      let (old, new) = (old.description, new.description)
      if old != new { changes.append(.setting(name: name, old: old, new: new)) }
    }
    compare("assumedCorrupt", old.assumedCorrupt, assumedCorrupt)
    compare("minimumCohort", old.minimumCohort, minimumCohort)
    compare("witnessQuorum", old.witnessQuorum, witnessQuorum)
    compare("server.name", old.server.name, server.name)
    compare(
      "server.addresses", old.server.addresses.map(\.description).joined(separator: ", "),
      server.addresses.map(\.description).joined(separator: ", "))
    changes += ManifestChange.between(old.server.member, server.member)
    for member in old.organizations where organization(named: member.name) == nil {
      changes.append(.removed(member.name))
    }
    for member in organizations {
      guard let before = old.organization(named: member.name) else {
        changes.append(.added(member.name))
        continue
      }
      changes += ManifestChange.between(before, member)
    }
    return changes
  }
}

/// One difference between two versions of a manifest.
public enum ManifestChange: Hashable, Sendable, CustomStringConvertible {
  case added(OrganizationName)
  case removed(OrganizationName)
  case key(OrganizationName, role: String)
  /// The next pin was announced.
  case pinAnnounced(OrganizationName)
  /// What was the next pin is now the current one.
  case pinRotated(OrganizationName)
  /// The current pin was replaced by one that had not been announced.
  case pinReplaced(OrganizationName)
  /// The next pin was dropped or exchanged.
  case pinWithdrawn(OrganizationName)
  case setting(name: String, old: String, new: String)

  public var description: String {
    switch self {
    case .added(let name): "\(name) joins"
    case .removed(let name): "\(name) leaves"
    case .key(let name, let role): "\(name) has a new \(role) key"
    case .pinAnnounced(let name): "\(name) announces its next certificate key"
    case .pinRotated(let name): "\(name) moves on to the certificate key it had announced"
    case .pinReplaced(let name): "\(name) has a certificate key that it had not announced"
    case .pinWithdrawn(let name): "\(name) withdraws the certificate key it had announced"
    case .setting(let name, let old, let new): "\(name) changes from \(old) to \(new)"
    }
  }

  static func between(_ old: Manifest.Member, _ new: Manifest.Member) -> [ManifestChange] {
    var changes: [ManifestChange] = []
    if old.keys.identity != new.keys.identity { changes.append(.key(new.name, role: IdentityKeyRole.name)) }
    if old.keys.log != new.keys.log { changes.append(.key(new.name, role: LogKeyRole.name)) }
    if old.keys.witness != new.keys.witness { changes.append(.key(new.name, role: WitnessKeyRole.name)) }
    let rotated = old.pins.current != new.pins.current
    if rotated { changes.append(new.pins.current == old.pins.next ? .pinRotated(new.name) : .pinReplaced(new.name)) }
    let stillAnnounced = rotated && new.pins.current == old.pins.next ? nil : old.pins.next
    if new.pins.next != stillAnnounced {
      changes.append(new.pins.next == nil ? .pinWithdrawn(new.name) : .pinAnnounced(new.name))
    }
    return changes
  }
}
