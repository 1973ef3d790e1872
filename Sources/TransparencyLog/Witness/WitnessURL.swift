import Cryptography

/// Where a witness takes checkpoints: `http://HOST[:PORT][/PREFIX]`, to which `/add-checkpoint` is added.
public struct WitnessURL: Hashable, Sendable, CustomStringConvertible {
  public let host: String
  public let port: Int
  /// Empty, or begins with a slash and does not end in one.
  public let prefix: String

  /// Nil for any other form, HTTPS among them.
  public init?(parsing text: String) {
    let scheme = "http://"
    guard text.utf8.count <= 512, text.utf8.starts(with: scheme.utf8) else { return nil }
    let rest = String(text.dropFirst(scheme.count))
    let authority = String(rest.prefix { $0 != "/" })
    var prefix = String(rest.dropFirst(authority.count))
    while prefix.hasSuffix("/") { prefix.removeLast() }
    guard prefix.utf8.allSatisfy(Self.isAllowedInPath), let (host, port) = Self.split(authority) else { return nil }
    self.host = host
    self.port = port
    self.prefix = prefix
  }

  /// `HOST:PORT`, as a connection is made to it.
  public var authority: String { host.utf8.contains(0x3A) ? "[\(host)]:\(port)" : "\(host):\(port)" }

  public var description: String { "http://\(authority)\(prefix)" }

  private static func split(_ authority: String) -> (host: String, port: Int)? {
    var host = authority
    var port = 80
    if let colon = authority.lastIndex(of: ":"), !authority.hasSuffix("]") {
      let digits = authority[authority.index(after: colon)...]
      guard let number = UInt16(digits), number > 0, String(number) == digits else { return nil }
      port = Int(number)
      host = String(authority[..<colon])
    }
    let isBracketed = host.hasPrefix("[") && host.hasSuffix("]")
    if isBracketed { host = String(host.dropFirst().dropLast()) }
    let isAllowed = host.utf8.allSatisfy {
      isLetterOrDigit($0) || $0 == 0x2D || $0 == 0x2E || (isBracketed && $0 == 0x3A)
    }
    return host.isEmpty || !isAllowed ? nil : (host, port)
  }

  private static func isLetterOrDigit(_ byte: UInt8) -> Bool {
    switch byte {
    case 0x30...0x39, 0x41...0x5A, 0x61...0x7A: true
    case _: false
    }
  }

  /// Unreserved characters and the slash: no escapes, no query.
  private static func isAllowedInPath(_ byte: UInt8) -> Bool {
    isLetterOrDigit(byte) || [0x2D, 0x2E, 0x2F, 0x5F, 0x7E].contains(byte)
  }
}

/// A witness outside the federation: its key, and where it takes checkpoints.
public struct WitnessAddress: Hashable, Sendable, CustomStringConvertible {
  public let key: NoteVerifierKey<WitnessKeyRole>
  public let url: WitnessURL

  public init(key: NoteVerifierKey<WitnessKeyRole>, url: WitnessURL) {
    self.key = key
    self.url = url
  }

  /// `KEY@URL`, as in `watch.example+1b2c…+BA…@http://watch.example:7481`; nil for any other form.
  public init?(parsing text: String) {
    // The name of a key may hold an at sign; a URL of ours does not.
    guard text.utf8.count <= 1024, let at = text.lastIndex(of: "@"),
      let url = WitnessURL(parsing: String(text[text.index(after: at)...])),
      let key = try? NoteVerifierKey<WitnessKeyRole>(String(text[..<at]))
    else { return nil }
    self.init(key: key, url: url)
  }

  public var description: String { "\(key)@\(url)" }
}
