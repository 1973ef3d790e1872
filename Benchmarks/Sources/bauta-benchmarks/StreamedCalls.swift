import Cryptography
import Foundation
import GRPCCore
import MutualTLS
import NIOPosix

/// An authority, a server and a client of it.
struct BenchmarkFederation {
  let authority: CertificateAuthority
  let server: TLSIdentity
  let client: TLSIdentity

  init() throws {
    authority = try CertificateAuthority.create(
      federation: "Benchmark", key: PrivateKey.generate(), validity: CertificateValidity.days(1))
    server = try Self.identity("server.example", .server(addresses: ["127.0.0.1"]), authority)
    client = try Self.identity("alpha.example", .organization, authority)
  }

  private static func identity(
    _ name: String, _ profile: CertificateProfile, _ authority: CertificateAuthority
  ) throws -> TLSIdentity {
    let key = try PrivateKey.generate()
    let name = try OrganizationName(name)
    let request = try CertificateRequest.create(name: name, key: key)
    // The authority ends with its day; ten minutes before that is enough.
    let certificate = try authority.issue(
      request, name: name, profile: profile, validity: CertificateValidity.hours(23))
    return try TLSIdentity(chain: [certificate], privateKey: key)
  }

  /// The settings of one side, which accepts the other.
  func context(_ role: TLSRole) throws -> TLSContext {
    let (own, other, name) =
      switch role {
      case .server: (server, client, "alpha.example")
      case .client: (client, server, "server.example")
      }
    let pins = PinTable([other.chain[0].publicKeyHash: try OrganizationName(name)])
    return try TLSContext(role: role, identity: own, authorities: [authority.certificate], verifier: pins)
  }
}

/// Takes streams and gives streams.
struct StreamService: RegistrableRPCService {
  static let upload = MethodDescriptor(fullyQualifiedService: "benchmark.Stream", method: "Upload")
  static let download = MethodDescriptor(fullyQualifiedService: "benchmark.Stream", method: "Download")

  func registerMethods<Transport: ServerTransport>(with router: inout RPCRouter<Transport>) {
    router.registerHandler(
      forMethod: Self.upload, deserializer: RawBytesDeserializer(), serializer: RawBytesSerializer()
    ) { request, _ in
      StreamingServerResponse { writer in
        var received = 0
        for try await message in request.messages { received += message.count }
        try await writer.write(Self.encode(received))
        return [:]
      }
    }
    router.registerHandler(
      forMethod: Self.download, deserializer: RawBytesDeserializer(), serializer: RawBytesSerializer()
    ) { request, _ in
      StreamingServerResponse { writer in
        for try await message in request.messages {
          guard let numbers = Self.decode(message), numbers.count == 2 else {
            throw RPCError(code: .invalidArgument, message: "two numbers are wanted")
          }
          let bytes = [UInt8](repeating: 0x5a, count: numbers[1])
          for _ in 0..<numbers[0] { try await writer.write(bytes) }
        }
        return [:]
      }
    }
  }

  static func encode(_ numbers: Int...) -> [UInt8] { Array(numbers.map(String.init).joined(separator: " ").utf8) }

  static func decode(_ message: [UInt8]) -> [Int]? {
    let words = String(decoding: message, as: UTF8.self).split(separator: " ")
    let numbers = words.compactMap { Int($0) }
    return numbers.count == words.count ? numbers : nil
  }
}

/// A connection over which streams are timed.
struct StreamedCalls: Sendable {
  let client: GRPCClient<MutualTLSClientTransport>

  /// Connects a client and a server with one event loop each, as on two machines, while `body` runs.
  static func connected<R: Sendable>(
    _ federation: BenchmarkFederation, _ body: (StreamedCalls) async throws -> R
  ) async throws -> R {
    let (here, there) = (
      MultiThreadedEventLoopGroup(numberOfThreads: 1), MultiThreadedEventLoopGroup(numberOfThreads: 1)
    )
    let transport = try MutualTLSServerTransport.make(
      host: "127.0.0.1", port: 0, context: federation.context(.server), eventLoopGroup: there)
    let result = try await withGRPCServer(
      transport: transport, services: [StreamService()], interceptors: [transport.identityInterceptor]
    ) { _ in
      let connection = try await MutualTLSClientTransport.connect(
        host: "127.0.0.1", port: transport.port, context: federation.context(.client), eventLoopGroup: here)
      return try await withGRPCClient(transport: connection) { try await body(StreamedCalls(client: $0)) }
    }
    try await here.shutdownGracefully()
    try await there.shutdownGracefully()
    return result
  }

  /// Seconds of wall time from the start of the call until the server has said how much it has.
  func secondsOfUpload(total: Int, message: Int) async throws -> Double {
    let bytes = [UInt8](repeating: 0x5a, count: message)
    let count = total / message
    let request = StreamingClientRequest<[UInt8]> { writer in
      for _ in 0..<count { try await writer.write(bytes) }
    }
    let clock = ContinuousClock()
    let start = clock.now
    let received = try await client.clientStreaming(
      request: request, descriptor: StreamService.upload, serializer: RawBytesSerializer(),
      deserializer: RawBytesDeserializer(), options: .defaults
    ) { StreamService.decode(try $0.message)?.first ?? 0 }
    let seconds = (clock.now - start) / .seconds(1)
    guard received == count * message else { throw BenchmarkError.bytesLost(sent: count * message, received: received) }
    return seconds
  }

  /// Seconds of wall time from the start of the call until the client has everything.
  func secondsOfDownload(total: Int, message: Int) async throws -> Double {
    let count = total / message
    let clock = ContinuousClock()
    let start = clock.now
    let received = try await client.serverStreaming(
      request: ClientRequest(message: StreamService.encode(count, message)), descriptor: StreamService.download,
      serializer: RawBytesSerializer(), deserializer: RawBytesDeserializer(), options: .defaults
    ) { response in
      var received = 0
      for try await message in response.messages { received += message.count }
      return received
    }
    let seconds = (clock.now - start) / .seconds(1)
    guard received == count * message else { throw BenchmarkError.bytesLost(sent: count * message, received: received) }
    return seconds
  }
}
