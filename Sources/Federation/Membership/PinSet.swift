public import Cryptography

/// The certificate keys that count now: the manifest's, each replaced by its member's own latest statement.
public struct PinSet: Sendable, Equatable {
  public let manifest: Manifest
  /// The statements that count, by member.
  public private(set) var statements: [OrganizationName: SignedPins] = [:]

  /// - Parameter statements: those that do not count under this manifest (of another federation, signed by a key that it
  ///   does not list, older ones, with a key of another member) are left out.
  public init(_ manifest: Manifest, statements: [SignedPins] = []) {
    self.manifest = manifest
    for statement in statements.sorted(by: { ($0.sequence, $0.name) < ($1.sequence, $1.name) }) {
      _ = try? take(statement)
    }
  }

  /// The keys that a member's certificate may have; nil if the manifest does not name it.
  public func pins(of name: OrganizationName) -> Manifest.Pins? {
    statements[name]?.pins ?? manifest.pins(of: name)
  }

  /// Which key belongs to which organisation, for a server that judges its clients.
  public var organizations: [CertificateKeyHash: OrganizationName] {
    var table: [CertificateKeyHash: OrganizationName] = [:]
    for member in manifest.organizations {
      for pin in (pins(of: member.name) ?? member.pins).accepted { table[pin] = member.name }
    }
    return table
  }

  /// The keys of the server, for a client that judges it.
  public var server: [CertificateKeyHash: OrganizationName] {
    let name = manifest.server.name
    let pins = pins(of: name) ?? manifest.server.pins
    return Dictionary(pins.accepted.map { ($0, name) }) { first, _ in first }
  }

  /// Takes a member's statement.
  ///
  /// - Returns: whether anything has changed; a statement that is there already changes nothing.
  /// - Throws: ``FederationError/membership(_:)``, and nothing has changed then.
  @discardableResult
  public mutating func take(_ statement: SignedPins) throws(FederationError) -> Bool {
    let name = statement.name
    guard statement.federation == manifest.federation, let member = manifest.member(named: name),
      statement.isSigned(by: member.identityNoteKey)
    else { throw .membership(.foreignPins(name)) }
    if let held = statements[name] {
      if held.sequence == statement.sequence {
        // Two statements under one number: somebody else uses the identity key, or a directory was restored.
        guard held.pins == statement.pins else { throw .membership(.forkedPins(name, sequence: held.sequence)) }
        return false
      }
      guard held.sequence < statement.sequence else {
        throw .membership(.olderPins(name, held: held.sequence, found: statement.sequence))
      }
    }
    for other in manifest.members where other.name != name {
      let taken = pins(of: other.name)?.accepted ?? []
      guard Set(taken).isDisjoint(with: statement.pins.accepted) else { throw .membership(.pinOfAnother(name)) }
    }
    statements[name] = statement
    return true
  }
}
