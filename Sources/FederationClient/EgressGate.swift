import AuditLog
import Cryptography
import Federation
import FederationWire
import GRPCCore
import MutualTLS

/// One message on its way out, with what its record says beside its bytes.
struct OutboundMessage: ~Copyable, Sendable {
  let message: ClientMessage
  let draft: AuditRecord.Draft
  /// The record under which the same message of the secure sum left in another envelope.
  let resendOf: UInt64?

  init(_ message: ClientMessage, draft: AuditRecord.Draft, resendOf: UInt64? = nil) {
    self.message = message
    self.draft = draft
    self.resendOf = resendOf
  }
}

/// The way to the server, as the gate uses it.
///
/// An implementation sends nothing but what `EgressRecorded` proves to be on the record.
protocol ServerExchange: Sendable {
  /// The server as its certificate proved it, for the record of what is about to be sent.
  var destination: AuditRecord.Peer? { get async }
  /// Connects if there is no connection.
  func connect() async throws(TransportError)
  /// Sends one recorded message and returns the server's answer.
  ///
  /// - Throws: `RPCError`; one of code `unavailable` means that the connection was lost.
  func exchange(_ recorded: consuming EgressRecorded) async throws -> [UInt8]
  func close() async
  /// The server has been told of these certificate keys of this organisation's.
  func announced(_ pins: Manifest.Pins) async
}

extension ServerExchange {
  func announced(_ pins: Manifest.Pins) async {}
}

/// The one door through which anything leaves the organisation.
///
/// A message needs a policy decision and a privacy charge, each used up by it; it is recorded and the record is on disk
/// before its first byte is sent; the bytes sent are those recorded. If the log cannot be written, nothing leaves.
actor EgressGate {
  private let link: any ServerExchange
  private let log: AuditLogWriter
  private let backoff: Backoff
  private let progress: @Sendable (ClientEvent) -> Void
  private let recorded: @Sendable (AppendedRecord) -> Void
  private let observe: WritingObserver
  private let barrier: @Sendable () throws(ClientError) -> Void

  /// - Parameters:
  ///   - recorded: is told of every message that is on the record.
  ///   - observe: is told of the steps that are taken here.
  ///   - barrier: throws once nothing may leave any more.
  init(
    link: any ServerExchange, log: AuditLogWriter, backoff: Backoff,
    progress: @escaping @Sendable (ClientEvent) -> Void,
    recorded: @escaping @Sendable (AppendedRecord) -> Void = { _ in }, observe: @escaping WritingObserver = { _ in },
    barrier: @escaping @Sendable () throws(ClientError) -> Void = { () throws(ClientError) in }
  ) {
    self.barrier = barrier
    self.recorded = recorded
    self.observe = observe
    self.link = link
    self.log = log
    self.backoff = backoff
    self.progress = progress
  }

  /// Records and sends, again and again if the connection is lost, until the server has answered.
  ///
  /// Copies carry the same identifier and the same bytes, each under a record of its own.
  /// - Parameter isLast: nothing depends on the answer, so a lost connection ends the sending at once.
  /// - Throws: ``ClientError``; an `AuditLogError` within means that nothing was sent.
  func send(
    _ outbound: consuming OutboundMessage, decision: consuming PolicyDecision, charge: consuming PrivacyCharge,
    isLast: Bool = false
  ) async throws(ClientError) -> [UInt8] {
    let message = outbound.message
    var draft = outbound.draft
    // A decision about one kind of message lets no other out.
    let kind = decision.kind
    guard kind == message.body.outboundKind else { throw .unexpected("a message that was not decided upon") }
    // Nothing of a sum leaves before the sum is paid for, nor for another's money.
    guard charge.covers(message.body.opening, under: decision) else {
      throw .unexpected("a message of a sum that was not charged")
    }
    draft.policy = .init(decision.verdict == .allowed ? .allowed : .refused, rule: decision.rule)
    _ = consume decision
    _ = consume charge
    let payload: [UInt8]
    do throws(WireError) { payload = try message.encoded() } catch { throw .wire(error) }

    var first = outbound.resendOf
    var waits = (isLast ? Backoff(total: .zero) : backoff).makeIterator()
    while true {
      guard !Task.isCancelled else { throw .cancelled }
      try await connect(&waits)
      try barrier()
      draft.destination = await link.destination
      let stage: String? = if case .round(let round) = message.body { round.kind } else { nil }
      let label = MessageLabel(id: message.identifier, kind: message.kind, stage: stage, resendOf: first)
      let egress: EgressRecorded
      do throws(AuditLogError) {
        egress = try log.recordEgress(draft, message: label, payload: payload)
      } catch { throw .log(error) }
      let record = egress.record
      recorded(record)
      first = first ?? record.sequence
      try observe(WritingPoint(step: .recorded, kind: kind, opening: message.body.opening))
      let answer: [UInt8]
      do {
        answer = try await link.exchange(egress)
      } catch {
        try recordUnknown(label, error)
        if (error as? RPCError)?.code == .unimplemented { throw .unimplemented }
        guard Self.isTransient(error) else { throw .call(Self.describe(error)) }
        progress(.connectionLost)
        try await pause(&waits)
        continue
      }
      try observe(WritingPoint(step: .sent, kind: kind, opening: message.body.opening))
      return answer
    }
  }

  /// What became of a message, as the server's receipt says. Brought to disk with the next record.
  func confirm(_ receipt: Receipt, run: String?) throws(ClientError) {
    var draft = AuditRecord.Draft(.delivery)
    draft.run = run
    draft.messageID = receipt.message
    draft.receipt = .init(index: receipt.index, leaf: receipt.leaf)
    draft.outcome = .succeeded
    do throws(AuditLogError) { try log.append(draft, durable: false) } catch { throw .log(error) }
  }

  func close() async { await link.close() }

  func announced(_ pins: Manifest.Pins) async { await link.announced(pins) }

  // MARK: -

  private func connect(_ waits: inout Backoff.Iterator) async throws(ClientError) {
    while true {
      do throws(TransportError) {
        try await link.connect()
        return
      } catch {
        // A refusal is an answer, not an accident: trying again would be refused again, until somebody changes something.
        guard error.isTransient || backoff.isEndless && ClientError.transport(error).isTemporary else {
          throw .transport(error)
        }
        guard !Task.isCancelled else { throw .cancelled }
        if case .handshake(.refusedByPeer) = error {
          progress(.refusedByServer(code: error.code, reason: error.message, remedy: error.remedy))
        } else {
          progress(.unreachable(error.message))
        }
        guard let wait = waits.next() else { throw .transport(error) }
        do { try await Task.sleep(for: wait) } catch { throw .cancelled }
      }
    }
  }

  private func pause(_ waits: inout Backoff.Iterator) async throws(ClientError) {
    guard let wait = waits.next() else { throw .call("the server did not come back") }
    do { try await Task.sleep(for: wait) } catch { throw .cancelled }
  }

  private func recordUnknown(_ label: MessageLabel, _ error: any Error) throws(ClientError) {
    var draft = AuditRecord.Draft(.delivery)
    draft.messageID = label.id
    draft.outcome = .unknown
    draft.error = .init(code: Self.isTransient(error) ? "connection-lost" : "call-failed", blame: .peer)
    do throws(AuditLogError) { try log.append(draft, durable: false) } catch { throw .log(error) }
  }

  private static func isTransient(_ error: any Error) -> Bool {
    guard let error = error as? RPCError else { return false }
    return error.code == .unavailable || error.code == .cancelled || error.code == .aborted
  }

  private static func describe(_ error: any Error) -> String {
    if let fault = error as? EgressFault { return "\(fault.message). \(fault.remedy)" }
    guard let error = error as? RPCError else { return "the call failed (\(type(of: error)))" }
    return "the server answered \(error.code): \(error.message)"
  }
}

extension TransportError {
  /// Whether trying again later can help.
  var isTransient: Bool {
    switch self {
    case .connectionRefused, .unreachable, .timedOut, .nameNotFound: true
    case .handshake(.timedOut), .handshake(.truncated): true
    case .proxy, .proxyUnusable: isProxyFaultTransient
    case .addressInUse, .addressUnavailable, .portNotPermitted, .invalidPort, .handshake, .credential, .system: false
    }
  }
}

/// Waits between attempts: doubling from a quarter of a second to fifteen, with jitter, for a stated time in all; or to a
/// minute, without end.
struct Backoff: Sequence, Sendable {
  /// Nil: without end.
  private let total: Duration?

  init(total: Duration) { self.total = total }
  private init() { total = nil }

  static let endless = Backoff()

  var isEndless: Bool { total == nil }

  struct Iterator: IteratorProtocol {
    private var upcoming = Duration.milliseconds(250)
    private var left: Duration?

    init(total: Duration?) { left = total }

    mutating func next() -> Duration? {
      if let left, left <= .zero { return nil }
      let wait = upcoming * Double.random(in: 0.5...1)
      upcoming = Swift.min(upcoming * 2, .seconds(left == nil ? 60 : 15))
      if let left { self.left = left - wait }
      return wait
    }
  }

  func makeIterator() -> Iterator { Iterator(total: total) }
}
