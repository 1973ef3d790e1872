/// HOST:PORT; an IPv6 host stands in brackets.
public struct NetworkAddress: Hashable, Sendable, CustomStringConvertible {
  /// A name or an address, without brackets.
  public let host: String
  /// 1…65535.
  public let port: Int

  /// - Throws: ``FederationError/malformed(_:)``.
  public init(_ text: String) throws(FederationError) {
    guard text.utf8.count <= 320, let colon = text.lastIndex(of: ":"),
      let port = strictInteger(String(text[text.index(after: colon)...])), (1...65535).contains(port)
    else { throw .malformed(.networkAddress) }
    var host = text[..<colon]
    let isBracketed = host.hasPrefix("[") && host.hasSuffix("]")
    if isBracketed { host = host.dropFirst().dropLast() }
    let isAllowed = host.utf8.allSatisfy { byte in
      switch byte {
      case 0x30...0x39, 0x41...0x5A, 0x61...0x7A, 0x2D, 0x2E: true
      case 0x3A: isBracketed
      default: false
      }
    }
    guard !host.isEmpty, isAllowed, host.utf8.first != 0x2D else { throw .malformed(.networkAddress) }
    self.host = String(host)
    self.port = port
  }

  public var description: String { host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)" }
}
