import Cryptography

/// Why a server cannot listen or a client cannot connect.
public enum TransportError: BlamedError, Hashable {
  case addressInUse(host: String, port: Int)
  case addressUnavailable(host: String)
  case portNotPermitted(port: Int)
  case invalidPort(Int)
  case nameNotFound(host: String)
  case connectionRefused(host: String, port: Int)
  case unreachable(host: String, port: Int, reason: String)
  case timedOut(host: String, port: Int)
  /// The connection was made, but one side did not accept the other.
  case handshake(HandshakeRefusal)
  case credential(CredentialError)
  /// The proxy, not the server, refused: it answered the request for a tunnel with this status.
  case proxy(host: String, port: Int, status: Int)
  /// The proxy cannot be used.
  case proxyUnusable(host: String, port: Int, fault: ProxyFault)
  case system(operation: String, reason: String)

  public var code: String {
    switch self {
    case .addressInUse: "address-in-use"
    case .addressUnavailable: "address-unavailable"
    case .portNotPermitted: "port-not-permitted"
    case .invalidPort: "port-invalid"
    case .nameNotFound: "name-not-found"
    case .connectionRefused: "connection-refused"
    case .unreachable: "host-unreachable"
    case .timedOut: "connection-timed-out"
    case .handshake(let refusal): refusal.code
    case .credential(let error): error.code
    case .proxy: "proxy-refused"
    case .proxyUnusable: "proxy-unusable"
    case .system: "transport-failure"
    }
  }

  public var blame: Blame {
    switch self {
    case .addressInUse, .addressUnavailable, .portNotPermitted, .system: .local
    case .invalidPort, .nameNotFound: .caller
    case .connectionRefused, .unreachable, .timedOut, .proxy, .proxyUnusable: .peer
    case .handshake(let refusal): refusal.blame
    case .credential(let error): error.blame
    }
  }

  public var message: String {
    switch self {
    case .addressInUse(let host, let port): "Port \(port) on \(host) is in use by another process."
    case .addressUnavailable(let host): "\(host) is not an address of this machine."
    case .portNotPermitted(let port): "This user may not listen on port \(port)."
    case .invalidPort(let port): "\(port) is not a TCP port."
    case .nameNotFound(let host): "The host name \(host) was not found."
    case .connectionRefused(let host, let port): "Nobody listens at \(host), port \(port)."
    case .unreachable(let host, let port, let reason): "\(host), port \(port), cannot be reached: \(reason)."
    case .timedOut(let host, let port): "No answer from \(host), port \(port), in the time allowed."
    case .handshake(let refusal): refusal.message
    case .credential(let error): error.message
    case .proxy(let host, let port, let status):
      "The proxy \(host), port \(port), refused to connect to the server: it answered \(status)\(TransportError.meaning(ofProxyStatus: status))."
    case .proxyUnusable(let host, let port, let fault):
      "The proxy \(host), port \(port), cannot be used: \(fault.explanation)."
    case .system(let operation, let reason): "Could not \(operation): \(reason)."
    }
  }

  public var remedy: String {
    switch self {
    case .addressInUse: "Stop the other process, or choose another port."
    case .addressUnavailable: "Give one of this machine's addresses, or 0.0.0.0 for all."
    case .portNotPermitted: "Choose a port above 1023, or grant CAP_NET_BIND_SERVICE."
    case .invalidPort: "Give a port between 1 and 65535; a server may give 0 to be assigned one."
    case .nameNotFound: "Check the spelling and the name servers of this machine."
    case .connectionRefused: "Check that the server runs, and that address and port are right."
    case .unreachable, .timedOut: "Check the network, and whether a firewall lets this port through."
    case .handshake(let refusal): refusal.remedy
    case .credential(let error): error.remedy
    case .proxy(_, _, 407): "Give the proxy's user and password."
    case .proxy(_, _, let status):
      status >= 500
        ? "Try again; if it persists, ask whoever runs the proxy whether it can reach the server."
        : "Ask whoever runs the proxy to allow connections to the server's host and port."
    case .proxyUnusable: "Check the proxy's address and port, and that it is an HTTP proxy that allows CONNECT."
    case .system: "Check the limits of this process and the system's log."
    }
  }
  /// Whether the same attempt can succeed later without anybody changing anything.
  public var isProxyFaultTransient: Bool {
    switch self {
    case .proxy(_, _, let status): status >= 500 || status == 429
    case .proxyUnusable(_, _, let fault):
      switch fault {
      case .nameNotFound, .unreachable, .timedOut, .closed: true
      case .notHTTP, .answerTooLong: false
      }
    case .addressInUse, .addressUnavailable, .portNotPermitted, .invalidPort, .nameNotFound, .connectionRefused,
      .unreachable, .timedOut, .handshake, .credential, .system:
      false
    }
  }

  private static func meaning(ofProxyStatus status: Int) -> String {
    switch status {
    case 403: " (forbidden)"
    case 407: " (it wants a user and a password)"
    case 502: " (it cannot reach the server)"
    case 503: " (it is overloaded)"
    case 504: " (the server did not answer it in time)"
    default: ""
    }
  }
}
