import Cryptography
import Synchronization

/// What a witness did with a request, for whoever watches it.
public enum WitnessEvent: Hashable, Sendable {
  /// - Parameter previous: the size that it had cosigned before; equal when the same checkpoint came again.
  case cosigned(origin: String, size: UInt64, previous: UInt64)
  /// The log does not start from what was cosigned last. `offered` below `held` is what a log sends whose files were
  /// put back to an earlier state; or somebody sent an old checkpoint again.
  case conflict(origin: String, held: UInt64, offered: UInt64)
  /// Without an origin unless the log is known: anybody could have made it up.
  case refused(WitnessRefusal, origin: String?)
  /// Two checkpoints that do not go together.
  case alarm(WitnessEvidence, file: String?)
}

/// An answer, and what it was.
public struct WitnessOutcome: Hashable, Sendable {
  public let response: WitnessResponse
  public let event: WitnessEvent

  public init(_ response: WitnessResponse, _ event: WitnessEvent) {
    self.response = response
    self.event = event
  }
}

/// A witness: cosigns checkpoints of the logs that it was told to watch, each only if it continues the one before.
///
/// The rule is ``WitnessRule``. A checkpoint is on disk before its cosignature is given out; requests for one log come
/// one after the other, those for different logs do not wait for each other. Calls block for the time of a disk write
/// and may come from any thread.
///
/// It vouches for one history of each log, not for what is in it.
public final class Witness: Sendable {
  public static let maximumLogs = 1024

  public let verifierKey: NoteVerifierKey<WitnessKeyRole>
  private let name: OrganizationName
  private let key: WitnessSigningKey
  private let store: WitnessStore
  private let logs: Mutex<[String: Slot]>
  private let clock: @Sendable () -> UInt64

  private final class Slot: Sendable {
    let content: Mutex<(log: WitnessedLog, state: WitnessState)>

    init(_ log: WitnessedLog, _ state: WitnessState) { content = Mutex((log, state)) }
  }

  /// Opens a witness with what it recorded, or makes it.
  ///
  /// - Parameters:
  ///   - directory: of this witness alone; one process uses it.
  ///   - logs: those that it watches. What was recorded of others stays on disk.
  ///   - clock: Unix seconds.
  /// - Throws: `locked`, `damagedState`, `duplicateLog`, `tooManyLogs`, `storage`.
  public init(
    directory: String, name: OrganizationName, key: consuming WitnessSigningKey, logs: [WitnessedLog],
    clock: @escaping @Sendable () -> UInt64
  ) throws(WitnessError) {
    let verifierKey = NoteVerifierKey<WitnessKeyRole>(organization: name, key: key.verifyingKey)
    try Self.check(logs)
    let store = try WitnessStore(path: directory)
    var slots: [String: Slot] = [:]
    for log in logs { slots[log.origin] = Slot(log, try store.state(origin: log.origin, witness: verifierKey)) }
    self.verifierKey = verifierKey
    self.name = name
    self.key = key
    self.store = store
    self.logs = Mutex(slots)
    self.clock = clock
  }

  /// Watches these logs from now on, under these keys, and no others. What was cosigned of others stays recorded.
  ///
  /// - Throws: `damagedState`, `duplicateLog`, `tooManyLogs`, `storage`; then the logs are as before.
  public func watch(_ watched: [WitnessedLog]) throws(WitnessError) {
    try Self.check(watched)
    try logs.withLock { (slots: inout [String: Slot]) throws(WitnessError) in
      var next = slots
      for log in watched where slots[log.origin] == nil {
        next[log.origin] = Slot(log, try store.state(origin: log.origin, witness: verifierKey))
      }
      // A log that is not watched any more keeps its place, without a key: an answer that is being made and one under a
      // later list of keys share one state.
      let keys = Dictionary(uniqueKeysWithValues: watched.map { ($0.origin, $0.keys) })
      for (origin, slot) in next {
        slot.content.withLock { $0.log = WitnessedLog(origin: origin, keys: keys[origin] ?? []) }
      }
      slots = next
    }
  }

  private static func check(_ logs: [WitnessedLog]) throws(WitnessError) {
    guard logs.count <= maximumLogs else { throw .tooManyLogs(limit: maximumLogs) }
    var origins: Set<String> = []
    for log in logs {
      guard origins.insert(log.origin).inserted else { throw .duplicateLog(origin: log.origin) }
    }
  }

  private func slot(_ origin: String) -> Slot? { logs.withLock { $0[origin] } }

  /// The origins of the logs that it watches, sorted.
  public var origins: [String] {
    logs.withLock { slots in slots.filter { !$0.value.content.withLock(\.log.keys).isEmpty }.keys.sorted() }
  }

  /// The checkpoint of a log that was cosigned last, with the log's signature and ours.
  public func latest(origin: String) -> SignedCheckpoint? {
    slot(origin)?.content.withLock { $0.state.latest }
  }

  /// Keeps a checkpoint in which an entry is missing that its log has given a receipt for, with the receipt.
  ///
  /// - Returns: the file; nil if it could not be kept, or enough of its kind is kept already.
  public func keep(_ checkpoint: SignedCheckpoint, withoutEntry index: UInt64, leaf: LeafHash) -> String? {
    let head = "bauta/witness-receipt/1\nindex \(index)\nleaf \(Base64.encode(leaf.bytes))\n\n"
    return
      (try? store.keep(
        Array(head.utf8) + checkpoint.serialized, of: checkpoint.checkpoint.origin, kind: "notIncluded",
        identifier: "\(index)-\(checkpoint.checkpoint.size)")) ?? nil
  }

  /// Keeps two checkpoints that do not go together, where somebody else than the rule has found that out.
  ///
  /// - Returns: the file; nil if it could not be kept, or enough of its kind is kept already.
  @discardableResult
  public func keep(_ suspicion: WitnessSuspicion, held: SignedCheckpoint, offered: SignedCheckpoint) -> String? {
    keep(WitnessEvidence(suspicion, held: held, offered: offered, time: clock()))
  }

  private func keep(_ evidence: WitnessEvidence) -> String? { (try? store.keep(evidence)) ?? nil }

  /// Answers one request.
  ///
  /// - Throws: `storage` when the checkpoint could not be brought to disk: then nothing was cosigned, and the state is
  ///   as before.
  public func answer(_ request: WitnessRequest) throws(WitnessError) -> WitnessOutcome {
    guard let slot = slot(request.checkpoint.checkpoint.origin) else {
      return WitnessOutcome(.refused(.unknownLog), .refused(.unknownLog, origin: nil))
    }
    let result: Result<WitnessOutcome, WitnessError> = slot.content.withLock { content in
      do throws(WitnessError) { return .success(try answer(request, content.log, &content.state)) } catch {
        return .failure(error)
      }
    }
    return try result.get()
  }

  /// Answers the body of `add-checkpoint`; one that cannot be read is refused.
  public func answer(body: [UInt8]) throws(WitnessError) -> WitnessOutcome {
    let request: WitnessRequest
    do { request = try WitnessRequest(parsing: body) } catch {
      return WitnessOutcome(.refused(.badRequest), .refused(.badRequest, origin: nil))
    }
    return try answer(request)
  }

  private func answer(
    _ request: WitnessRequest, _ log: WitnessedLog, _ state: inout WitnessState
  ) throws(WitnessError) -> WitnessOutcome {
    let decision = WitnessRule.decide(state, log: log, request: request)
    let offered = request.checkpoint.checkpoint.size
    let alarm = decision.suspicion.flatMap { self.alarm($0, request, log, state) }
    switch decision.action {
    case .cosign:
      return try cosign(request, log, &state, next: decision.next)
    case .conflict(let size):
      return WitnessOutcome(
        .conflict(size: size), alarm ?? .conflict(origin: log.origin, held: state.size, offered: offered))
    case .refuse(let refusal):
      return WitnessOutcome(.refused(refusal), alarm ?? .refused(refusal, origin: log.origin))
    }
  }

  private func cosign(
    _ request: WitnessRequest, _ log: WitnessedLog, _ state: inout WitnessState, next: WitnessState
  ) throws(WitnessError) -> WitnessOutcome {
    let previous = state.size
    let cosignature: Cosignature
    let record: SignedCheckpoint
    do {
      cosignature = try Cosignature(of: request.checkpoint.checkpoint, name: name, key: key, time: clock())
      // Kept are the signatures that the rule has checked, and ours. Others are strangers'.
      var signed = request.checkpoint.signed(onlyBy: log.keys) ?? request.checkpoint
      try signed.add(cosignature)
      record = signed
    } catch { throw .storage(error) }
    if next != state {
      try store.record(record)
      state = WitnessState(latest: record)
    }
    return WitnessOutcome(
      .cosigned([cosignature.noteSignature]),
      .cosigned(origin: log.origin, size: request.checkpoint.checkpoint.size, previous: previous))
  }

  private func alarm(
    _ suspicion: WitnessSuspicion, _ request: WitnessRequest, _ log: WitnessedLog, _ state: WitnessState
  ) -> WitnessEvent? {
    // Without an earlier checkpoint there is nothing to contradict.
    guard let held = state.latest else { return nil }
    let evidence = WitnessEvidence(suspicion, held: held, offered: request.checkpoint, time: clock())
    // The refusal stands whether or not the evidence could be kept; the event says so.
    return .alarm(evidence, file: keep(evidence))
  }
}
