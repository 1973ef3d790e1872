import AuditLog
import Cryptography
import Federation
import FederationWire
import Learning
import LogService
import MutualTLS
import SecureAggregation
import ServiceControl
import TransparencyLog

/// Why a client stops. Nothing leaves after one of these.
public enum ClientError: BlamedError {
  case log(AuditLogError)
  case wire(WireError)
  case transport(TransportError)
  case federation(FederationError)
  case aggregation(AggregationError)
  case progression(ProgressionError)
  case data(DataError)
  case storage(StorageFailure)
  /// The organisation's own state forbids it, or does not agree with its log.
  case state(StateFault)
  /// An RPC failed in a way that trying again cannot mend.
  case call(String)
  /// The server refused what this client sent.
  case refused(FederationWire.Refusal)
  /// The server sent something that does not fit where the run stands.
  case unexpected(String)
  case cancelled
  case noData(path: String)
  /// The server does not know the protocol's one method.
  case unimplemented
  case control(ControlError)
  /// The privacy budget does not reach the next sum.
  case budget(BudgetShortage)
  /// A witness outside the federation has seen another log than this one, or the log could not be published for it.
  case externalWitness(WitnessSubmissionError)
  /// This organisation's log, or the server's, is not what was witnessed before.
  case witness(WitnessFault)
  /// What this organisation's own witness has recorded cannot be used.
  case witnessStore(WitnessError)

  private var underlying: (any BlamedError)? {
    switch self {
    case .log(let error): error
    case .wire(let error): error
    case .transport(let error): error
    case .federation(let error): error
    case .aggregation(let error): error
    case .progression(let error): error
    case .data(let error): error
    case .storage(let error): error
    case .state(let error): error
    case .control(let error): error
    case .budget(let error): error
    case .witness(let error): error
    case .externalWitness(let error): error
    case .witnessStore(let error): error
    case .call, .refused, .unexpected, .cancelled, .noData, .unimplemented: nil
    }
  }

  public var code: String {
    if let underlying { return underlying.code }
    return switch self {
    case .call: "call-failed"
    case .refused(let refusal): refusal.code
    case .unexpected: "server-out-of-order"
    case .noData: "no-data"
    case .unimplemented: "wire-version"
    default: "cancelled"
    }
  }

  public var blame: Blame {
    if let underlying { return underlying.blame }
    return switch self {
    case .call, .unexpected, .unimplemented: .peer
    case .refused, .noData: .caller
    default: .local
    }
  }

  public var message: String {
    if let underlying { return underlying.message }
    return switch self {
    case .call(let reason): reason
    case .refused(let refusal): "the server refused: \(refusal.message)"
    case .unexpected(let what): "the server sent \(what), which does not fit where the run stands"
    case .noData(let path): "cannot read the data file \(path)"
    case .unimplemented: "the server does not know the protocol that this program speaks"
    default: "the client was told to stop"
    }
  }

  public var remedy: String {
    if let underlying { return underlying.remedy }
    return switch self {
    case .call: "ask the operator whether the server is well, then start the client again"
    case .refused(let refusal): refusal.remedy
    case .unexpected: "nothing more leaves this organisation; keep the log and ask the operator"
    case .noData: "give the organisation's CSV file with --data FILE; 'bauta data check FILE' reads it without sending"
    case .unimplemented:
      "the server's program is older, or it is no server of bauta: ask the operator which release it runs"
    default: "start it again when you are ready"
    }
  }

  var isOfBudget: Bool {
    if case .budget = self { true } else { false }
  }

  /// Whether a client that stays goes on after it: greets again, by and by.
  ///
  /// It ends where it cannot keep its records, where its own files are of no use, and where the server does what no server
  /// of this protocol does.
  var isTemporary: Bool {
    switch self {
    case .transport(.credential), .transport(.invalidPort): false
    case .transport, .call, .refused, .noData, .data: true
    // The sums gave no model: the run is over, and it is nobody's doing.
    case .progression(.learning): true
    case .log, .wire, .federation, .aggregation, .progression, .storage, .state, .unexpected, .cancelled,
      .unimplemented, .witness, .witnessStore, .externalWitness, .control, .budget:
      false
    }
  }
}
