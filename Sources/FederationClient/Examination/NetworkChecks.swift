import AuditLog
import Cryptography
import Federation
import FederationWire
import Foundation
import MutualTLS
import NIOCore
import NIOPosix

/// The way to the server, step by step: names, connections, proxy, and the handshake of both sides.
struct NetworkChecks {
  let directory: any ParticipantDirectory
  let proxy: ProxySelection?
  /// For the record of the handshake.
  let log: AuditLogWriter?
  let isRunning: Bool
  var passphrase: Passphrase?

  static var protocolVersions: Finding {
    let versions = WireLimits.protocolVersions
    let text =
      versions.lowerBound == versions.upperBound
      ? "version \(versions.lowerBound)" : "versions \(versions.lowerBound) to \(versions.upperBound)"
    return Finding(
      "protocol", .ok, "this program speaks \(text) of the protocol; the server's is known with the first message")
  }

  /// Names and TCP connections, of the proxy where there is one. Over the connections nothing is sent.
  func reachability() async -> [Finding] {
    guard let membership = try? Membership(directory) else {
      return [Finding("address", .skipped, "without an approved manifest the server's address is not known")]
    }
    var findings: [Finding] = []
    var seen: Set<String> = []
    for address in membership.addresses {
      if let proxy = self.proxy, let through = proxy.proxy(for: address) {
        let place = proxy.description
        guard seen.insert(place).inserted else { continue }
        let role = "proxy \(place) (named by \(proxy.origin))"
        findings += await reach(through.host, through.port, role: role, check: "proxy")
      } else {
        findings += await reach(address.host, address.port, role: "server \(address)", check: "address")
      }
    }
    return findings
  }

  /// The handshake that the client will make, with both sides' pins; on the record like every other.
  func handshake(isPossible: Bool) async -> Finding {
    guard !isRunning else {
      return Finding("handshake", .skipped, "the client that runs holds the log in which a handshake would be recorded")
    }
    guard let log else {
      return Finding("handshake", .skipped, "without the log no handshake can be recorded, so none is made")
    }
    guard isPossible else {
      return Finding("handshake", .skipped, "what is wrong with the certificate is to be mended first")
    }
    let membership: Membership
    do throws(FederationError) { membership = try Membership(directory) } catch {
      return Finding("handshake", .skipped, "there is no manifest that is approved here")
    }
    let federation = membership.trusted.federation.value
    let recorder = HandshakeRecorder(log: log, federation: federation)
    let source = ConnectionSource(directory: directory, observer: recorder, passphrase: passphrase)
    let link = ServerLink(
      source: source, limits: TransportLimits(), traffic: TrafficRecorder(log: log, federation: federation),
      proxy: proxy)
    do throws(TransportError) {
      try await link.connect()
    } catch {
      if case .proxy = error { return Finding("proxy", error) }
      if case .proxyUnusable = error { return Finding("proxy", error) }
      return Finding("handshake", error)
    }
    let peer = await link.destination
    await link.close()
    let name = peer?.name?.value ?? "the server"
    return Finding(
      "handshake", .ok,
      "\(name) and \(directory.name) accept each other's certificates over TLS 1.3 at \(peer?.address ?? "its address")"
    )
  }

  private func reach(_ host: String, _ port: Int, role: String, check: String) async -> [Finding] {
    let isAddress = (try? SocketAddress(ipAddress: host, port: port)) != nil
    var findings: [Finding] = []
    if !isAddress {
      guard let found = await Self.resolve(host) else {
        return [
          Finding(
            "\(check)-name", .failed, "the name of the \(role) was not found",
            remedy: "Check the spelling and this machine's name servers: getent ahosts \(host)")
        ]
      }
      findings.append(Finding("\(check)-name", .ok, "\(host) is \(found.joined(separator: ", "))"))
    }
    do {
      let channel = try await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
        .connectTimeout(.seconds(5)).connect(host: host, port: port).get()
      try? await channel.close()
      findings.append(Finding("\(check)-connection", .ok, "the \(role) takes connections"))
    } catch {
      findings.append(
        Finding(
          "\(check)-connection", .failed, "the \(role) cannot be reached: \(Self.reason(error))",
          remedy: check == "proxy"
            ? "Ask whoever runs the proxy for its address, or leave it out: NO_PROXY names what is reached without it."
            : "Ask the operator whether it runs, and whoever keeps the firewalls whether TCP port \(port) is let through."
        ))
    }
    return findings
  }

  private static func reason(_ error: any Error) -> String {
    switch error {
    case let error as NIOConnectionError: error.connectionErrors.first.map { reason($0.error) } ?? "no address answers"
    case ChannelError.connectTimeout: "no answer within 5 seconds"
    case let error as IOError: String(cString: strerror(error.errnoCode))
    default: "\(type(of: error))"
    }
  }

  /// Addresses of a host, sorted; nil if it has none. On a thread of its own: name servers take their time.
  private static func resolve(_ host: String) async -> [String]? {
    await withCheckedContinuation { continuation in
      DispatchQueue.global().async { continuation.resume(returning: lookUp(host)) }
    }
  }

  private static func lookUp(_ host: String) -> [String]? {
    var hints = addrinfo()
    hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
    var list: UnsafeMutablePointer<addrinfo>?
    guard getaddrinfo(host, nil, &hints, &list) == 0, let list else { return nil }
    defer { freeaddrinfo(list) }
    var found: Set<String> = []
    var entry: UnsafeMutablePointer<addrinfo>? = list
    while let current = entry {
      var text = [CChar](repeating: 0, count: Int(NI_MAXHOST))
      let length = socklen_t(text.count)
      if getnameinfo(current.pointee.ai_addr, current.pointee.ai_addrlen, &text, length, nil, 0, NI_NUMERICHOST) == 0 {
        found.insert(String(decoding: text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self))
      }
      entry = current.pointee.ai_next
    }
    return found.isEmpty ? nil : found.sorted()
  }
}
