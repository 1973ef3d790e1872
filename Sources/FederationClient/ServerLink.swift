import AuditLog
import Cryptography
import Federation
import FederationWire
import GRPCCore
import MutualTLS

/// The connection to the server: made when needed, over whichever of the server's addresses answers.
///
/// Sends nothing but what ``EgressRecorded`` proves to be on the record.
actor ServerLink: ServerExchange {
  private struct Connection {
    let transport: MutualTLSClientTransport
    let client: GRPCClient<MutualTLSClientTransport>
    let service: Task<Void, Never>
    let address: NetworkAddress
  }

  private let addresses: [NetworkAddress]
  private let context: TLSContext
  private let limits: TransportLimits
  private var current: Connection?

  init(addresses: [NetworkAddress], context: TLSContext, limits: TransportLimits) {
    self.addresses = addresses
    self.context = context
    self.limits = limits
  }

  /// The server as its certificate proved it, for records of what is sent to it.
  var destination: AuditRecord.Peer? {
    current.map {
      .init(
        name: $0.transport.peer.name, address: $0.address.description, tlsPeer: $0.transport.peer.fingerprint,
        exporter: try? SHA256Digest(hexadecimal: $0.transport.peer.exporter))
    }
  }

  /// Connects if there is no connection.
  ///
  /// - Throws: the error of the last address tried.
  func connect() async throws(TransportError) {
    guard current == nil else { return }
    var last = TransportError.nameNotFound(host: "")
    for address in addresses {
      do throws(TransportError) {
        let transport = try await MutualTLSClientTransport.connect(
          host: address.host, port: address.port, context: context, limits: limits)
        let client = GRPCClient(transport: transport)
        let service = Task { try? await client.runConnections() } as Task<Void?, Never>
        current = Connection(
          transport: transport, client: client, service: Task { _ = await service.value }, address: address)
        return
      } catch { last = error }
    }
    throw last
  }

  /// Sends one recorded message and returns the server's answer.
  ///
  /// - Throws: `RPCError`; after one of code `unavailable` the connection is gone and ``connect()`` makes another.
  func exchange(_ recorded: consuming EgressRecorded) async throws -> [UInt8] {
    guard let connection = current else { throw RPCError(code: .unavailable, message: "not connected") }
    let bytes = recorded.bytes
    do {
      return try await connection.client.unary(
        request: ClientRequest(message: bytes),
        descriptor: MethodDescriptor(
          service: ServiceDescriptor(fullyQualifiedService: WireLimits.service), method: WireLimits.method),
        serializer: RawBytesSerializer(), deserializer: RawBytesDeserializer(), options: .defaults
      ) { try $0.message }
    } catch {
      drop()
      // Lost before the call began: as when it is lost in the middle, a new connection may do.
      if let error = error as? RuntimeError, error.code == .clientIsStopped {
        throw RPCError(code: .unavailable, message: "the connection is gone")
      }
      throw error
    }
  }

  /// Lets the connection go.
  func drop() {
    guard let connection = current else { return }
    current = nil
    connection.client.beginGracefulShutdown()
    connection.transport.closeNow()
    connection.service.cancel()
  }

  /// Closes in order, so that the server sees an end and not a loss.
  func close() async {
    guard let connection = current else { return }
    current = nil
    connection.client.beginGracefulShutdown()
    await connection.service.value
  }
}
