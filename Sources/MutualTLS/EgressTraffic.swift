public import Cryptography
import Foundation

/// What this side has written to a connection since it began, counted between HTTP/2 and TLS.
///
/// `plaintextByteCount` is the preface of 24 bytes and, of every frame, 9 and its payload. What is counted was handed to
/// TLS; whether the network carried it is not known here.
public struct EgressTraffic: Sendable, Hashable {
  /// The types of frames that a client may write (RFC 9113, section 6).
  public enum FrameType: UInt8, Sendable, CaseIterable {
    case data = 0
    case headers = 1
    case rstStream = 3
    case settings = 4
    case ping = 6
    case goAway = 7
    case windowUpdate = 8
  }

  public struct Count: Sendable, Hashable {
    public internal(set) var frames: UInt64 = 0
    /// Payload bytes.
    public internal(set) var bytes: UInt64 = 0
  }

  public internal(set) var plaintextByteCount: UInt64 = 0
  public internal(set) var frames: [FrameType: Count] = [:]
  /// Header lists written.
  public internal(set) var headerListCount: UInt64 = 0
  /// SHA-256 of the digest before (nothing at first) and of the names and values of a list; nil before the first.
  public internal(set) var headerDigest: SHA256Digest?

  init() {}
}

/// What the meter of a connection has counted so far.
public struct EgressReport: Sendable, Hashable {
  /// Nil for a connection that ended before both sides had accepted each other.
  public let peer: PeerIdentity?
  public let remoteAddress: String
  public let traffic: EgressTraffic
  /// The connection is gone: nothing follows.
  public let isFinal: Bool
  /// Why this side closed it, if it tried to write what may not leave.
  public let fault: EgressFault?
}

/// Told what was written to connections: every 16 MiB or 60 seconds, and at their end. Called on event loops: return at once.
public protocol EgressObserver: Sendable {
  func traffic(_ report: EgressReport)
}

/// One message that may be written to a connection, once.
public struct PermittedMessage: Sendable, Equatable {
  public let bytes: [UInt8]

  /// - Parameter bytes: what is on the record; every byte that leaves is compared with it first.
  public init(_ bytes: [UInt8]) { self.bytes = bytes }

  /// Whether `part` is what the message has from `place` on.
  func has(_ part: UnsafeRawBufferPointer, at place: Int) -> Bool {
    guard part.count <= bytes.count - place else { return false }
    guard let start = part.baseAddress, !part.isEmpty else { return true }
    return bytes.withUnsafeBytes { bytes in
      bytes.baseAddress.map { memcmp($0 + place, start, part.count) == 0 } ?? false
    }
  }
}

/// What a client may write to a connection, and who is told of it.
///
/// Anything else ends the connection before it is written: frames, flags, settings or headers that gRPC does not need for
/// a unary call without metadata, and messages that were not permitted.
public struct EgressRules: Sendable {
  /// The paths that may be called, as `/package.Service/Method`.
  public let paths: Set<String>
  public let observer: any EgressObserver

  public init(paths: Set<String>, observer: any EgressObserver) {
    self.paths = paths
    self.observer = observer
  }
}

/// Something that may not leave, and did not: the connection was closed instead. A fault of this program.
public enum EgressFault: BlamedError, Hashable {
  /// A frame of a type, or with flags, that no call needs.
  case frame(type: UInt8, flags: UInt8)
  /// A frame whose payload does not have the length of its type.
  case length(type: UInt8, byteCount: Int)
  /// A frame on a stream that is not open for it.
  case stream(UInt32)
  /// Settings other than the fixed ones.
  case settings
  /// The answer to a ping that was not received.
  case ping
  /// A header list other than the fixed one; names the first that differs.
  case header(String)
  case headerBlock
  /// Not the length prefix of an uncompressed message, or bytes after it.
  case framing
  /// A message that is not on the record.
  case notPermitted(byteCount: Int)

  public var code: String {
    switch self {
    case .frame: "egress-frame"
    case .length: "egress-frame-length"
    case .stream: "egress-stream"
    case .settings: "egress-settings"
    case .ping: "egress-ping"
    case .header, .headerBlock: "egress-header"
    case .framing: "egress-framing"
    case .notPermitted: "egress-not-recorded"
    }
  }

  public var blame: Blame { .local }

  public var message: String {
    switch self {
    case .frame(let type, let flags): "a frame of type \(type) with flags \(flags) was about to leave"
    case .length(let type, let byteCount): "a frame of type \(type) with \(byteCount) bytes was about to leave"
    case .stream(let stream): "a frame on stream \(stream), which is not open for it, was about to leave"
    case .settings: "settings of HTTP/2 other than the fixed ones were about to leave"
    case .ping: "an answer to no ping was about to leave"
    case .header(let name): "a header list with another \(name) than is allowed was about to leave"
    case .headerBlock: "a header list that cannot be read was about to leave"
    case .framing: "bytes that are no uncompressed message were about to leave"
    case .notPermitted(let byteCount): "a message of \(byteCount) bytes that is not on the record was about to leave"
    }
  }

  public var remedy: String {
    "The connection was closed and nothing of it left. This is a fault of the program: report it with this text."
  }
}
