import Cryptography
import TransparencyLog

extension Manifest {
  /// The one text of this manifest: what is signed.
  public var text: String {
    var lines = [
      "schema: \(Self.schema)",
      "federation: \(federation)",
      "version: \(version)",
      "previous: \(previous?.hexadecimal ?? "null")",
      "assumedCorrupt: \(assumedCorrupt)",
      "minimumCohort: \(minimumCohort)",
      "witnessQuorum: \(witnessQuorum)",
      "server:",
      "  name: \(server.name)",
      "  addresses: [\(server.addresses.map { YAMLText.quoted($0.description) }.joined(separator: ", "))]",
    ]
    lines += Self.lines(server.member).map { "  " + $0 }
    lines.append(organizations.isEmpty ? "organizations: []" : "organizations:")
    for organization in organizations {
      lines.append("  - name: \(organization.name)")
      lines += Self.lines(organization).map { "    " + $0 }
    }
    return lines.map { $0 + "\n" }.joined()
  }

  /// Reads a manifest's text, which must be exactly what this program writes: one manifest, one text, one hash.
  ///
  /// - Throws: ``FederationError/document(_:_:)``, ``FederationError/manifest(_:)``.
  public init(parsing text: String, file: String = "federation.note") throws(FederationError) {
    let source = YAMLSource(file: file)
    let keys = [
      "schema", "federation", "version", "previous", "assumedCorrupt", "minimumCohort", "witnessQuorum", "server",
      "organizations",
    ]
    let top = try YAMLMapping(try source.root(of: Array(text.utf8)), source: source, keys: keys)
    try top.requireSchema(Self.schema)
    let server = try top.mapping("server", keys: ["name", "addresses", "keys", "pins"], isRequired: true)
    var organizations: [Member] = []
    let entries = try top.mappings(
      "organizations", keys: ["name", "keys", "pins"], maximum: Self.maximumOrganizations)
    for entry in entries { organizations.append(try Member(entry)) }
    let small = YAMLField<Int>.integer(0...1_000_000)
    try self.init(
      federation: try top.required("federation", .organizationName),
      version: try top.required("version", small), previous: try top.nullable("previous", .digest()),
      assumedCorrupt: try top.required("assumedCorrupt", small),
      minimumCohort: try top.required("minimumCohort", small),
      witnessQuorum: try top.required("witnessQuorum", small),
      server: Server(
        member: try Member(server),
        addresses: try server.list("addresses", of: .address, maximum: Self.maximumAddresses)),
      organizations: organizations)
    try requireCanonical(text, file: file)
  }

  private func requireCanonical(_ text: String, file: String) throws(FederationError) {
    let expected = self.text
    guard !expected.utf8.elementsEqual(text.utf8) else { return }
    let found = Array(text.utf8)
    let position = zip(expected.utf8, found).prefix { $0 == $1 }.count
    let before = found.prefix(position)
    let column = before.count - (before.lastIndex(of: 0x0A) ?? -1)
    throw .document(
      SourcePosition(file: file, line: before.count { $0 == 0x0A } + 1, column: column), .notCanonical)
  }

  private static func lines(_ member: Member) -> [String] {
    [
      "keys:",
      "  identity: \(member.identityNoteKey.text)",
      "  log: \(member.logNoteKey.text)",
      "  witness: \(member.witnessNoteKey.text)",
      member.pins.line,
    ]
  }
}

extension Manifest.Member {
  fileprivate init(_ entry: YAMLMapping) throws(FederationError) {
    let name = try entry.required("name", .organizationName)
    let keys = try entry.mapping("keys", keys: ["identity", "log", "witness"], isRequired: true)
    self.init(
      name: name,
      keys: Manifest.Keys(
        identity: try keys.required("identity", .verifierKey(of: name)),
        log: try keys.required("log", .verifierKey(of: name)),
        witness: try keys.required("witness", .verifierKey(of: name))),
      pins: try Manifest.Pins(try entry.mapping("pins", keys: ["current", "next"], isRequired: true)))
  }
}

extension Manifest.Pins {
  /// Both pins on one line of YAML.
  var line: String { "pins: {current: \(current.hexadecimal), next: \(next?.hexadecimal ?? "null")}" }

  init(_ entry: YAMLMapping) throws(FederationError) {
    self.init(current: try entry.required("current", .digest()), next: try entry.nullable("next", .digest()))
  }
}

extension YAMLField {
  fileprivate static func verifierKey<Role: NoteKeyRole>(
    of name: OrganizationName
  ) -> YAMLField<VerifyingKey<Role>> {
    YAMLField<VerifyingKey<Role>>(expected: "the \(Role.name) verifier key of \(name)") { text, _ in
      guard let key = try? NoteVerifierKey<Role>(text), key.organization == name, key.text == text else { return nil }
      return key.key
    }
  }

  fileprivate static func digest<Role>() -> YAMLField<Digest<Role>> {
    YAMLField<Digest<Role>>(expected: "64 hexadecimal digits") { text, _ in
      guard let digest = try? Digest<Role>(hexadecimal: text), digest.hexadecimal == text else { return nil }
      return digest
    }
  }
}

extension YAMLField<OrganizationName> {
  static let organizationName = YAMLField(expected: "a name such as alder.example") { text, _ in
    try? OrganizationName(text)
  }
}

extension YAMLField<NetworkAddress> {
  static let address = YAMLField(expected: "an address such as \"127.0.0.1:7443\"") { text, _ in
    try? NetworkAddress(text)
  }
}
