/// The name of an organisation: like a host name, in lowercase.
///
/// Labels of 1 to 63 letters, digits and hyphens with dots between them, no hyphen at the edge of a label, at most 253
/// characters. So a name is safe in a note's signature line, a certificate and a file name; it has no spaces, `+`, `/`
/// or capitals. A name says nothing about who controls it: the manifest's keys do.
public struct OrganizationName: Hashable, Comparable, Sendable, CustomStringConvertible {
  public static let maximumByteCount = 253

  public let value: String

  /// - Throws: ``CryptographyError/invalidOrganizationName(_:)``.
  public init(_ text: String) throws(CryptographyError) {
    let bytes = Array(text.utf8.prefix(Self.maximumByteCount + 1))
    guard !bytes.isEmpty else { throw .invalidOrganizationName(.empty) }
    guard bytes.count <= Self.maximumByteCount else { throw .invalidOrganizationName(.tooLong) }
    guard bytes.allSatisfy(Self.isAllowed) else { throw .invalidOrganizationName(.forbiddenCharacter) }
    for label in bytes.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false) {
      guard let first = label.first, let last = label.last else { throw .invalidOrganizationName(.labelEmpty) }
      guard label.count <= 63 else { throw .invalidOrganizationName(.labelTooLong) }
      guard first != UInt8(ascii: "-"), last != UInt8(ascii: "-") else {
        throw .invalidOrganizationName(.hyphenAtEdge)
      }
    }
    value = text
  }

  public var description: String { value }

  /// The order of the byte strings.
  public static func < (left: OrganizationName, right: OrganizationName) -> Bool {
    left.value.utf8.lexicographicallyPrecedes(right.value.utf8)
  }

  private static func isAllowed(_ byte: UInt8) -> Bool {
    switch byte {
    case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"),
      UInt8(ascii: "."):
      true
    default: false
    }
  }
}
