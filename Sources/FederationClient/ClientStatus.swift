import AuditLog
import Cryptography
import Federation
import Foundation
import MutualTLS
import Synchronization

/// How a client is doing, for its owner: one that runs as it knows itself, one that does not as its log tells.
public final class ClientStatus: Sendable {
  static let schema = "bauta/client-status/1"

  fileprivate struct State {
    var name = "starting"
    var run: String?
    var address: String?
    var isConnected = false
    var lastExchange: Date?
    var lastTrouble: String?
    var refusal: Refusal?
  }

  /// Why the server does not let the client in, or takes nothing of it.
  fileprivate struct Refusal {
    let code: String
    /// The log holds no words.
    var message: String?
    let at: AuditTime?

    var json: CanonicalJSON {
      .object(["code": .string(code), "message": ClientStatus.text(message), "at": ClientStatus.text(at?.description)])
    }
  }

  private let directory: any ParticipantDirectory
  private let isService: Bool
  private let state = Mutex(State())

  /// How the client of a directory stopped, as one line of JSON.
  public static func ofStopped(_ directory: OrganizationDirectory) -> String {
    let status = ClientStatus(directory: directory, isService: false)
    status.readLog()
    return status.line
  }

  init(directory: some ParticipantDirectory, isService: Bool) {
    self.directory = directory
    self.isService = isService
  }

  /// A message was answered.
  func exchanged() { state.withLock { $0.lastExchange = Date() } }

  func note(_ event: ClientEvent) {
    state.withLock { state in
      switch event {
      case .connecting: state.name = "connecting"
      case .connected(let address, _):
        state.address = address.description
        state.isConnected = true
      case .unreachable, .connectionLost: state.isConnected = false
      case .greeted:
        if state.run == nil { state.name = "idle" }
        state.lastTrouble = nil
        state.refusal = nil
      case .refusedByServer(let code, let reason, _):
        state.isConnected = false
        state.lastTrouble = code
        state.refusal = Refusal(code: code, message: reason, at: AuditTime(Date()))
      case .accepted(let run, _, _):
        state.name = "running"
        state.run = run.text
      case .ended:
        state.name = "idle"
        state.run = nil
      case .trouble(let code, _, _):
        state.isConnected = false
        state.lastTrouble = code
      case .stopping: state.name = "stopping"
      case .announced, .refused, .training, .trained, .charged, .sent, .completed, .metrics, .credentialsChanged,
        .credentialsUnusable, .certificateDates, .serverPins, .forgedPins, .proposed, .inForce, .unreadable,
        .witnessSilent, .logConflict, .quorumMissed:
        break
      }
    }
  }

  /// One line of JSON. Versions and dates are those of the files as they are now.
  var line: String {
    let state = state.withLock { $0 }
    var members: [String: CanonicalJSON] = [
      "schema": .string(Self.schema), "organization": .string(directory.name.value), "state": .string(state.name),
      "service": .boolean(isService), "connected": .boolean(state.isConnected), "run": Self.text(state.run),
      "server": Self.text(state.address), "lastExchange": Self.text(state.lastExchange.flatMap(Self.moment)),
      "trouble": Self.text(state.lastTrouble), "refusal": state.refusal?.json ?? .null,
    ]
    let approved = try? directory.manifest()
    let inForce = try? directory.manifestInForce()
    let proposed = try? directory.proposedManifest()
    members["manifest"] = .object([
      "federation": Self.text(approved?.manifest.federation.value), "approved": Self.version(approved),
      "inForce": Self.version(inForce), "proposed": Self.version(proposed),
    ])
    let certificate = try? Certificate(contentsOfFile: directory.tlsCertificatePath)
    members["certificate"] = .object([
      "notAfter": Self.text(certificate.flatMap { Self.moment($0.notAfter) }),
      "publicKeySHA256": Self.text(certificate?.publicKeyHash.hexadecimal),
    ])
    return CanonicalJSON.object(members).text
  }

  /// What the log says of the end of the client before: as far as it can be read, for its state is others' business.
  private func readLog() {
    var told = State()
    told.name = "stopped"
    if var reader = try? AuditLogReader(directory: directory.logPath) {
      while let record = try? reader.next()?.record { told.take(record) }
    }
    state.withLock { $0 = told }
  }

  private static func text(_ text: String?) -> CanonicalJSON { text.map { .string($0) } ?? .null }
  private static func version(_ manifest: SignedManifest?) -> CanonicalJSON {
    manifest.map { .integer(Int64($0.manifest.version)) } ?? .null
  }
  private static func moment(_ date: Date) -> String? { AuditTime(date)?.description }
}

extension ClientStatus.State {
  private static let refusedByServer = HandshakeRefusal.refusedByPeer(role: .client, alert: .accessDenied).code

  /// What a record says of how it went on. A connection that was made ends what came before.
  fileprivate mutating func take(_ record: AuditRecord) {
    switch record.event {
    case .handshake:
      refusal = nil
      lastTrouble = nil
    case .handshakeRefused where record.error?.code == Self.refusedByServer:
      refusal = ClientStatus.Refusal(code: Self.refusedByServer, at: record.time)
      lastTrouble = Self.refusedByServer
    case .stopped: lastTrouble = record.error?.code
    case _: break
    }
  }
}
