import AuditLog
import Cryptography
import Foundation
import LogService
import TransparencyLog

/// A directory that disappears with its owner.
final class TemporaryDirectory: Sendable {
  let path: String

  init() throws {
    let url = FileManager.default.temporaryDirectory.appendingPathComponent("log-service-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: url, withIntermediateDirectories: true)
    path = url.path
  }

  deinit { try? FileManager.default.removeItem(atPath: path) }
}

func signingKey<Role>(_ role: Role.Type, seed byte: UInt8) throws -> SigningKey<Role> {
  var seed = SecretBytes(count: 32)
  seed.withUnsafeMutableBytes { $0.copyBytes(from: [UInt8](repeating: byte, count: 32)) }
  return try SigningKey<Role>(seed: seed)
}

/// A log in memory of entries "entry 0", "entry 1", …; other ones from `fork` on make another history.
struct TestLog: Sendable {
  let origin: OrganizationName
  let verifier: NoteVerifierKey<LogKeyRole>
  let tree: MerkleTree

  init(_ size: Int, name: String = "alder.example", fork: Int? = nil) throws {
    origin = try OrganizationName(name)
    verifier = NoteVerifierKey(organization: origin, key: try signingKey(LogKeyRole.self, seed: 1).verifyingKey)
    tree = MerkleTree(
      leaves: (0..<size).map { MerkleHashing.leaf(Array("entry \($0)\($0 >= fork ?? .max ? "!" : "")".utf8)) })
  }

  func checkpoint(_ size: UInt64) throws -> SignedCheckpoint {
    try SignedCheckpoint.signing(
      origin: origin, size: size, root: tree.root(size: size), key: signingKey(LogKeyRole.self, seed: 1))
  }

  func request(from old: UInt64, to size: UInt64) throws -> WitnessRequest {
    try WitnessRequest(
      oldSize: old, hashes: tree.consistencyProof(from: old, to: size)?.hashes ?? [], checkpoint: checkpoint(size))
  }

  /// Submits the checkpoint of a size.
  @discardableResult
  func submit(_ size: UInt64, to client: WitnessClient, knownSize: UInt64 = 0) async throws -> Cosignature {
    try await client.submitForTest(checkpoint(size), knownSize: knownSize) {
      (from) throws(TransparencyLogError) in tree.consistencyProof(from: from, to: size)
    }
  }
}

extension WitnessClient {
  /// Records what is sent in a log of its own, since nothing else can be sent.
  func submitForTest(
    _ checkpoint: SignedCheckpoint, knownSize: UInt64 = 0,
    proof: (UInt64) throws(TransparencyLogError) -> ConsistencyProof?
  ) async throws -> Cosignature {
    let folder = try TemporaryDirectory()
    let log = try AuditLogWriter(
      directory: "\(folder.path)/log", organization: OrganizationName("alder.example"),
      logKey: signingKey(LogKeyRole.self, seed: 1))
    return try await submit(
      checkpoint, knownSize: knownSize,
      recording: { (body) throws(AuditLogError) in
        try log.recordEgress(
          .init(.messageSent), message: MessageLabel(id: .random(), kind: AuditRecord.checkpointKind), payload: body)
      }, proof: proof)
  }
}

/// A connection of a client that need not keep to HTTP. Calls block, on threads of their own.
final class RawConnection: Sendable {
  private let descriptor: Int32

  struct Failure: Error { let code: Int32 }

  init(port: Int, receiveBuffer: Int32? = nil) throws {
    descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    guard descriptor >= 0 else { throw Failure(code: errno) }
    if var receiveBuffer { setsockopt(descriptor, SOL_SOCKET, SO_RCVBUF, &receiveBuffer, 4) }
    // Longer than any limit of these tests: only a server that never closes is waited for so long.
    var timeout = timeval(tv_sec: 60, tv_usec: 0)
    setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &timeout, socklen_t(MemoryLayout<timeval>.size))
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_port = in_port_t(UInt16(port).bigEndian)
    address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
    let result = withUnsafePointer(to: &address) { pointer in
      pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
      }
    }
    guard result == 0 else {
      let code = errno
      close(descriptor)
      throw Failure(code: code)
    }
  }

  deinit { close(descriptor) }

  /// False when the other side has closed.
  @discardableResult
  func send(_ bytes: [UInt8]) -> Bool {
    var sent = 0
    while sent < bytes.count {
      let count = bytes.withUnsafeBytes {
        Foundation.send(descriptor, $0.baseAddress?.advanced(by: sent), bytes.count - sent, Int32(MSG_NOSIGNAL))
      }
      guard count > 0 else { return false }
      sent += count
    }
    return true
  }

  @discardableResult
  func send(_ text: String) -> Bool { send(Array(text.utf8)) }

  /// What comes until the other side closes, or `isComplete` is satisfied. Nil if it never does either.
  func receive(until isComplete: @escaping @Sendable ([UInt8]) -> Bool = { _ in false }) async -> [UInt8]? {
    await withCheckedContinuation { continuation in
      DispatchQueue.global().async { [descriptor] in
        var bytes: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 1 << 16)
        while !isComplete(bytes) {
          let count = recv(descriptor, &buffer, buffer.count, 0)
          if count < 0, errno == EAGAIN { return continuation.resume(returning: nil) }
          if count <= 0 { break }
          bytes += buffer[..<count]
        }
        continuation.resume(returning: bytes)
      }
    }
  }

  /// The next whole answer on a connection that stays open.
  func answer() async -> RawAnswer? {
    await receive { RawAnswer($0)?.isComplete ?? false }.flatMap { RawAnswer($0) }
  }
}

struct RawAnswer: Sendable {
  let status: Int
  /// Names in lowercase.
  let headers: [String: String]
  let body: [UInt8]

  init?(_ bytes: [UInt8]) {
    let mark = Array("\r\n\r\n".utf8)
    guard let end = bytes.indices.first(where: { bytes[$0...].starts(with: mark) }) else { return nil }
    let lines = String(decoding: bytes[..<end], as: UTF8.self).components(separatedBy: "\r\n")
    guard let status = lines[0].split(separator: " ").dropFirst().first.flatMap({ Int($0) }) else { return nil }
    self.status = status
    var headers: [String: String] = [:]
    for line in lines.dropFirst() {
      guard let colon = line.firstIndex(of: ":") else { return nil }
      headers[line[..<colon].lowercased()] = line[line.index(after: colon)...].trimmingCharacters(in: .whitespaces)
    }
    self.headers = headers
    body = Array(bytes[(end + 4)...])
  }

  var isComplete: Bool { headers["content-length"].flatMap { Int($0) }.map { body.count >= $0 } ?? true }

  /// One request on a connection of its own, and all that comes back.
  static func of(_ request: String, port: Int, body: [UInt8] = []) async throws -> RawAnswer? {
    let connection = try RawConnection(port: port)
    connection.send(Array(request.utf8) + body)
    return await connection.receive().flatMap { RawAnswer($0) }
  }

  static func get(_ target: String, port: Int, method: String = "GET") async throws -> RawAnswer? {
    try await of("\(method) \(target) HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", port: port)
  }

  static func post(_ request: WitnessRequest, port: Int) async throws -> RawAnswer? {
    let body = request.serialized
    return try await of(
      "POST /add-checkpoint HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: \(body.count)\r\n\r\n",
      port: port,
      body: body)
  }
}
