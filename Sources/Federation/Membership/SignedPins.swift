public import Cryptography
public import TransparencyLog

/// What a member says of its own certificate keys: which one it uses, and which one is to replace it.
///
/// A manifest pins the keys with which its members begin. From then on each member's own statement counts, signed by the
/// identity key that the manifest lists; nobody else has to approve it, no other member's approval is touched by it, and
/// the manifest's hash stays the same, so that runs go on. Of two statements the one with the higher sequence counts.
///
/// It does not show that the member holds the private keys: the handshakes do.
public struct SignedPins: Sendable, Equatable {
  public static let schema = "bauta/pins/1"
  public static let maximumBytes = 4096
  public static let sequences = 1...1_000_000

  public let federation: OrganizationName
  public let name: OrganizationName
  /// From 1; every statement of a member has a higher one than the statement before.
  public let sequence: Int
  public let pins: Manifest.Pins
  public private(set) var note: SignedNote

  /// A statement, signed by its member.
  ///
  /// - Throws: ``FederationError/membership(_:)`` for a sequence out of range or a next pin that is the current one.
  public init(
    federation: OrganizationName, name: OrganizationName, sequence: Int, pins: Manifest.Pins,
    signedWith identity: borrowing IdentitySigningKey
  ) throws(FederationError) {
    guard Self.sequences.contains(sequence), pins.next != pins.current else {
      throw .membership(.malformedPins(name))
    }
    self.federation = federation
    self.name = name
    self.sequence = sequence
    self.pins = pins
    do {
      note = try SignedNote(text: Self.text(federation: federation, name: name, sequence: sequence, pins: pins))
      try note.sign(name: name, key: identity)
    } catch { throw .note(error) }
  }

  /// Reads a statement. Its signature is not checked: see ``isSigned(by:)``.
  ///
  /// - Throws: ``FederationError/note(_:)``, ``FederationError/document(_:_:)``, ``FederationError/membership(_:)``
  ///   unless the text is exactly what this program writes.
  public init(parsing bytes: [UInt8], file: String = "the statement of pins") throws(FederationError) {
    guard bytes.count <= Self.maximumBytes else { throw .note(.malformedNote(.tooLong)) }
    do { note = try SignedNote(parsing: bytes) } catch { throw .note(error) }
    let source = YAMLSource(file: file)
    let top = try YAMLMapping(
      try source.root(of: note.text), source: source, keys: ["schema", "federation", "name", "sequence", "pins"])
    try top.requireSchema(Self.schema)
    federation = try top.required("federation", .organizationName)
    name = try top.required("name", .organizationName)
    sequence = try top.required("sequence", .integer(Self.sequences))
    pins = try Manifest.Pins(try top.mapping("pins", keys: ["current", "next"], isRequired: true))
    let expected = Self.text(federation: federation, name: name, sequence: sequence, pins: pins)
    guard pins.next != pins.current, note.signatures.count == 1, expected.utf8.elementsEqual(note.text) else {
      throw .membership(.malformedPins(name))
    }
  }

  /// The note as it is stored and sent.
  public var serialized: [UInt8] { note.serialized }

  /// Whether the member to whom a manifest gives this identity key has signed it.
  public func isSigned(by identity: NoteVerifierKey<IdentityKeyRole>) -> Bool {
    identity.organization == name && note.status(of: identity) == .valid
  }

  private static func text(
    federation: OrganizationName, name: OrganizationName, sequence: Int, pins: Manifest.Pins
  ) -> String {
    """
    schema: \(schema)
    federation: \(federation)
    name: \(name)
    sequence: \(sequence)
    \(pins.line)

    """
  }
}
