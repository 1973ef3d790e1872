import Cryptography
import Federation
import Foundation
import MutualTLS

/// Which connections go through a proxy: as the owner said, or as the environment says for programs of this machine.
public struct ProxySelection: Sendable {
  /// What is wrong with how a proxy was named.
  public enum Problem: BlamedError, Hashable {
    case malformed(origin: String)
    /// Credentials in the address would be seen in the list of processes and in logs.
    case credentialsInAddress(origin: String)
    case scheme(origin: String, String)

    public var code: String { "proxy-malformed" }
    public var blame: Blame { .caller }

    public var message: String {
      switch self {
      case .malformed(let origin): "\(origin) does not name a proxy as http://HOST:PORT"
      case .credentialsInAddress(let origin): "\(origin) holds a user or password"
      case .scheme(let origin, let scheme): "\(origin) names a proxy of the kind '\(scheme)'; only http is supported"
      }
    }

    public var remedy: String {
      switch self {
      case .malformed: "Give the proxy's host and port, such as http://proxy.example:3128."
      case .credentialsInAddress: "Give them through a descriptor: --proxy http://HOST:PORT --proxy-credentials-fd N"
      case .scheme: "Give an HTTP proxy that opens tunnels with CONNECT; TLS goes through it from end to end."
      }
    }
  }

  public let proxy: HTTPProxy
  /// Who named it: `--proxy`, or a variable of the environment.
  public let origin: String
  private let exceptions: [Exception]

  /// - Parameters:
  ///   - address: `http://HOST:PORT`; the scheme may be left out.
  ///   - exceptions: hosts that are reached directly, as in `NO_PROXY`: names with their subdomains, addresses, blocks of
  ///     addresses, each with or without port, or `*`.
  /// - Throws: ``Problem``.
  public init(
    address: String, origin: String, exceptions: String = "", credentials: ProxyCredentials? = nil
  ) throws(Problem) {
    var rest = address[...]
    if let end = rest.range(of: "://") {
      let scheme = rest[..<end.lowerBound].lowercased()
      guard scheme == "http" else { throw .scheme(origin: origin, scheme) }
      rest = rest[end.upperBound...]
    }
    guard !rest.contains("@") else { throw .credentialsInAddress(origin: origin) }
    if rest.hasSuffix("/") { rest = rest.dropLast() }
    do {
      let place = try NetworkAddress(String(rest))
      proxy = try HTTPProxy(host: place.host, port: place.port, authorization: credentials)
    } catch { throw .malformed(origin: origin) }
    self.origin = origin
    self.exceptions = exceptions.split(whereSeparator: { $0 == "," || $0.isWhitespace }).map { Exception(String($0)) }
  }

  /// The owner's word if there is one, and otherwise the environment's `HTTPS_PROXY` with `NO_PROXY`; the names in small
  /// letters count first, as elsewhere.
  ///
  /// - Returns: nil where neither names one.
  /// - Throws: ``Problem``.
  public static func choose(
    option: String?, environment: [String: String], credentials: ProxyCredentials? = nil
  ) throws(Problem) -> ProxySelection? {
    if let option { return try ProxySelection(address: option, origin: "--proxy", credentials: credentials) }
    for name in ["https_proxy", "HTTPS_PROXY"] {
      guard let address = environment[name], !address.isEmpty else { continue }
      return try ProxySelection(
        address: address, origin: name, exceptions: environment["no_proxy"] ?? environment["NO_PROXY"] ?? "",
        credentials: credentials)
    }
    return nil
  }

  /// Through which an address is reached; nil for directly.
  public func proxy(for address: NetworkAddress) -> HTTPProxy? {
    exceptions.contains { $0.covers(address) } ? nil : proxy
  }

  /// `HOST:PORT`, never credentials.
  public var description: String {
    proxy.host.contains(":") ? "[\(proxy.host)]:\(proxy.port)" : "\(proxy.host):\(proxy.port)"
  }
}

/// One entry of `NO_PROXY`.
private struct Exception: Sendable {
  private enum Kind {
    case everything
    /// A name, and every name under it.
    case domain(String)
    case block(IPBlock)
  }

  private let kind: Kind
  private let port: Int?

  init(_ text: String) {
    if text == "*" {
      kind = .everything
      port = nil
      return
    }
    if let block = IPBlock(text) {
      kind = .block(block)
      port = nil
      return
    }
    let place = try? NetworkAddress(text)
    port = place?.port
    let host = place?.host ?? text
    if let block = IPBlock(host) {
      kind = .block(block)
      return
    }
    var name = host.lowercased()
    while name.hasPrefix("*") || name.hasPrefix(".") { name.removeFirst() }
    kind = .domain(name)
  }

  func covers(_ address: NetworkAddress) -> Bool {
    if let port, port != address.port { return false }
    switch kind {
    case .everything: return true
    case .domain(let name):
      let host = address.host.lowercased()
      return !name.isEmpty && (host == name || host.hasSuffix(".\(name)"))
    case .block(let block): return block.contains(address.host)
    }
  }
}

/// An IP address, or a block of them: `10.0.0.0/8`, `fd00::/8`.
private struct IPBlock: Sendable {
  private let bytes: [UInt8]
  private let bits: Int

  init?(_ text: String) {
    let parts = text.split(separator: "/", omittingEmptySubsequences: false)
    guard parts.count <= 2, let bytes = Self.bytes(String(parts[0])) else { return nil }
    self.bytes = bytes
    guard parts.count == 2 else {
      bits = 8 * bytes.count
      return
    }
    guard let bits = Int(parts[1]), (0...8 * bytes.count).contains(bits) else { return nil }
    self.bits = bits
  }

  func contains(_ host: String) -> Bool {
    guard let other = Self.bytes(host), other.count == bytes.count else { return false }
    return (0..<bits).allSatisfy { bit in
      (bytes[bit / 8] ^ other[bit / 8]) & (0x80 >> UInt8(bit % 8)) == 0
    }
  }

  private static func bytes(_ text: String) -> [UInt8]? {
    var four = in_addr()
    if inet_pton(AF_INET, text, &four) == 1 { return withUnsafeBytes(of: &four) { Array($0) } }
    var six = in6_addr()
    if inet_pton(AF_INET6, text, &six) == 1 { return withUnsafeBytes(of: &six) { Array($0) } }
    return nil
  }
}
