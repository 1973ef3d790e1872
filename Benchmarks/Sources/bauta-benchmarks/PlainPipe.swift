import COpenSSL
import Foundation

@testable import MutualTLS

/// TLS 1.3 with AES-256-GCM over loopback and nothing else: one thread writes, another reads, both on blocking sockets.
/// What gRPC's transport is compared with.
final class PlainPipe {
  private let writer: PlainEnd
  private let reader: PlainEnd

  /// Connects; the server shows `identity`, and the client checks nothing.
  init(identity: TLSIdentity) throws {
    let (client, server) = try LoopbackSockets.pair()
    let writer = try PlainEnd(descriptor: client, identity: nil)
    let reader = try PlainEnd(descriptor: server, identity: identity)
    try Self.together({ try writer.handshake() }, { try reader.handshake() })
    self.writer = writer
    self.reader = reader
  }

  /// Seconds of wall time from the first write until the reader has said that it has everything.
  func seconds(sending total: Int, piece: Int) throws -> Double {
    let (writer, reader) = (writer, reader)
    return try measure {
      try Self.together(
        {
          try writer.write(total: total, piece: piece)
          try writer.awaitAnswer()
        },
        {
          try reader.read(total: total, piece: piece)
          try reader.answer()
        })
    }.wall
  }

  /// Runs both, each on a thread of its own, and throws what either of them does.
  private static func together(
    _ first: @escaping @Sendable () throws -> Void, _ second: @escaping @Sendable () throws -> Void
  ) throws {
    let others = Outcome()
    let done = DispatchSemaphore(value: 0)
    Thread.detachNewThread {
      others.set(Result { try second() })
      done.signal()
    }
    let own = Result { try first() }
    done.wait()
    try own.get()
    try others.get()
  }
}

/// What a thread ended with. Written before a semaphore is signalled and read after it was waited for.
private final class Outcome: @unchecked Sendable {
  private var result: Result<Void, any Error> = .success(())

  func set(_ result: Result<Void, any Error>) { self.result = result }

  func get() throws { try result.get() }
}

/// One end, used by one thread at a time.
private final class PlainEnd: @unchecked Sendable {
  private let descriptor: Int32
  private let ssl: OpaquePointer
  private let isServer: Bool

  init(descriptor: Int32, identity: TLSIdentity?) throws {
    self.descriptor = descriptor
    isServer = identity != nil
    guard let context = SSL_CTX_new(TLS_method()) else { throw PlainEnd.failure("create a context") }
    defer { SSL_CTX_free(context) }
    guard mutual_tls_require_tls13(context) == 1, SSL_CTX_set_ciphersuites(context, "TLS_AES_256_GCM_SHA384") == 1,
      SSL_CTX_set_num_tickets(context, 0) == 1
    else { throw PlainEnd.failure("configure the context") }
    if let identity {
      let certificate = try identity.chain[0].makeHandle()
      defer { X509_free(certificate) }
      guard SSL_CTX_use_certificate(context, certificate) == 1,
        SSL_CTX_use_PrivateKey(context, identity.privateKey.handle) == 1
      else { throw PlainEnd.failure("use the certificate") }
    }
    guard let ssl = SSL_new(context), SSL_set_fd(ssl, descriptor) == 1 else {
      throw PlainEnd.failure("create a connection")
    }
    self.ssl = ssl
  }

  deinit {
    SSL_free(ssl)
    close(descriptor)
  }

  func handshake() throws {
    guard (isServer ? SSL_accept(ssl) : SSL_connect(ssl)) == 1 else { throw PlainEnd.failure("shake hands") }
  }

  func write(total: Int, piece: Int) throws {
    let bytes = [UInt8](repeating: 0x5a, count: piece)
    var sent = 0
    while sent < total {
      var count = 0
      guard SSL_write_ex(ssl, bytes, min(piece, total - sent), &count) == 1 else { throw PlainEnd.failure("write") }
      sent += count
    }
  }

  func read(total: Int, piece: Int) throws {
    var bytes = [UInt8](repeating: 0, count: piece)
    var received = 0
    while received < total {
      var count = 0
      guard SSL_read_ex(ssl, &bytes, bytes.count, &count) == 1 else { throw PlainEnd.failure("read") }
      received += count
    }
    guard received == total else { throw BenchmarkError.bytesLost(sent: total, received: received) }
  }

  func answer() throws { try write(total: 1, piece: 1) }

  func awaitAnswer() throws { try read(total: 1, piece: 1) }

  private static func failure(_ step: String) -> BenchmarkError {
    .connection(step: step, reason: OpenSSLSupport.takeErrorDetail())
  }
}

/// Two ends of a TCP connection over 127.0.0.1.
private enum LoopbackSockets {
  static func pair() throws -> (client: Int32, server: Int32) {
    let listener = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    guard listener >= 0 else { throw failure("open a socket") }
    defer { close(listener) }
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_addr.s_addr = in_addr_t(0x7f00_0001).bigEndian
    var length = socklen_t(MemoryLayout<sockaddr_in>.size)
    let isListening = withUnsafeMutablePointer(to: &address) { pointer in
      pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        bind(listener, $0, length) == 0 && listen(listener, 1) == 0 && getsockname(listener, $0, &length) == 0
      }
    }
    guard isListening else { throw failure("listen") }
    let client = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    let isConnected = withUnsafePointer(to: &address) { pointer in
      pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { connect(client, $0, length) == 0 }
    }
    let server = isConnected ? accept(listener, nil, nil) : -1
    guard server >= 0 else {
      close(client)
      throw failure("connect")
    }
    for descriptor in [client, server] {
      var on: Int32 = 1
      setsockopt(descriptor, Int32(IPPROTO_TCP), TCP_NODELAY, &on, socklen_t(MemoryLayout<Int32>.size))
    }
    return (client, server)
  }

  private static func failure(_ step: String) -> BenchmarkError {
    .connection(step: step, reason: String(cString: strerror(errno)))
  }
}
