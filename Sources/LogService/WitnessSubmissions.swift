public import AuditLog
public import Cryptography
import Foundation
import Synchronization
public import TransparencyLog

/// Why nothing more may leave after a checkpoint was submitted to witnesses.
public enum WitnessSubmissionError: BlamedError, Equatable {
  case log(AuditLogError)
  /// A witness has seen more of the log than there is, or another history.
  case conflict(WitnessClientError)

  private var underlying: any BlamedError {
    switch self {
    case .log(let error): error
    case .conflict(let error): error
    }
  }

  public var code: String { underlying.code }
  public var blame: Blame { underlying.blame }
  public var message: String { underlying.message }
  public var remedy: String { underlying.remedy }
}

/// One checkpoint that was submitted to one witness.
public struct SubmittedCheckpoint: Sendable {
  public let witness: WitnessAddress
  /// Entries under the checkpoint.
  public let size: UInt64
  /// Unix seconds, the witness's word; nil if there is no cosignature this time.
  public let time: UInt64?
  public let failure: WitnessClientError?
}

/// Submits the published checkpoints of one open log to witnesses outside the federation.
///
/// A submission is an egress like any other: the body of each request is an entry of the log (`messageSent`, kind
/// `checkpoint`) before its first byte leaves, and what became of it is another (`delivery`). A cosignature is verified, kept
/// in `checkpoint.cosigned`, and is an entry too (`checkpointCosigned`).
///
/// A witness that says that it has seen more of this log than there is, or another history, is believed: the log has been put
/// back to an earlier state or changed, and with it what the organisation remembers to have sent. That is an entry
/// (`checkpointConflict`), and from then on ``conflict`` stands and nothing more is submitted. Answers of HTTP are not
/// signed: whoever sits between can make one up, and so can stop this process, and no more than that.
public final class WitnessSubmissions: Sendable {
  private let log: AuditLogWriter
  private let service: String
  private let timeout: Duration
  private let state = Mutex(State())

  private struct State {
    var conflict: WitnessClientError?
    /// When each witness cosigned last, and which size.
    var cosigned: [NoteVerifierKey<WitnessKeyRole>: (size: UInt64, time: UInt64)] = [:]
    /// The size of the log after its own records of the last round of submissions, if all succeeded.
    var settledSize: UInt64?
    var turn: Task<Void, Never>?
    var isEnding = false
  }

  /// - Parameters:
  ///   - service: who acts, for the records.
  ///   - timeout: for one request and its answer.
  public init(log: AuditLogWriter, service: String, timeout: Duration = .seconds(5)) {
    self.log = log
    self.service = service
    self.timeout = timeout
  }

  /// The conflict that was met; nothing more may leave then.
  public var conflict: WitnessSubmissionError? { state.withLock { $0.conflict }.map { .conflict($0) } }

  /// Publishes, and submits the checkpoint to each witness in turn. Rounds follow one another.
  ///
  /// - Parameters:
  ///   - isRoutine: does nothing if nothing but records of the last round has come since.
  ///   - cosigned: one of this log that others have cosigned. Submitted instead to a witness that has not come so far yet,
  ///     so that all cosignatures are of one checkpoint: a log keeps those of one.
  /// - Returns: what became of each; a witness that cannot be reached is no error.
  /// - Throws: ``WitnessSubmissionError``.
  @discardableResult
  public func submit(
    to witnesses: [WitnessAddress], isRoutine: Bool = false, joining cosigned: SignedCheckpoint? = nil
  ) async throws(WitnessSubmissionError) -> [SubmittedCheckpoint] {
    let task = state.withLock { state in
      let before = state.turn
      let task = Task { () -> Result<[SubmittedCheckpoint], WitnessSubmissionError> in
        await before?.value
        do throws(WitnessSubmissionError) {
          return .success(try await perform(witnesses, isRoutine: isRoutine, joining: cosigned))
        } catch { return .failure(error) }
      }
      state.turn = Task { _ = await task.value }
      return task
    }
    return try await task.value.get()
  }

  /// Submits nothing more, and waits for the request that is under way.
  public func end() async {
    let turn = state.withLock { state in
      state.isEnding = true
      return state.turn
    }
    await turn?.value
  }

  private func perform(
    _ witnesses: [WitnessAddress], isRoutine: Bool, joining cosigned: SignedCheckpoint?
  ) async throws(WitnessSubmissionError) -> [SubmittedCheckpoint] {
    if let conflict { throw conflict }
    let isSettled = state.withLock { $0.settledSize == log.size }
    guard !witnesses.isEmpty, !(isRoutine && isSettled) else { return [] }
    let published = try publish()
    var submissions: [SubmittedCheckpoint] = []
    for witness in witnesses where !state.withLock({ $0.isEnding }) {
      let isBehind = (cosigned?.checkpoint.size ?? 0) > knownSize(of: witness.key)
      var checkpoint = isBehind ? cosigned ?? published : published
      var failure: WitnessClientError?
      var time: UInt64?
      // A second time where another process of this log was ahead of the checkpoint, and not of the log.
      for attempt in 1...2 {
        do throws(WitnessClientError) {
          time = try await submit(checkpoint, to: witness)
          failure = nil
        } catch {
          failure = error
          if attempt == 1, case .rolledBack(_, let size) = error, size <= log.size {
            checkpoint = try publish()
            continue
          }
        }
        break
      }
      if let failure { try judge(failure, checkpoint, witness) }
      submissions.append(
        SubmittedCheckpoint(witness: witness, size: checkpoint.checkpoint.size, time: time, failure: failure))
    }
    let isComplete = submissions.count == witnesses.count && submissions.allSatisfy { $0.failure == nil }
    state.withLock { $0.settledSize = isComplete && cosigned == nil ? log.size : nil }
    return submissions
  }

  private func publish() throws(WitnessSubmissionError) -> SignedCheckpoint {
    do throws(AuditLogError) { return try log.publish() } catch { throw .log(error) }
  }

  private func submit(
    _ checkpoint: SignedCheckpoint, to witness: WitnessAddress
  ) async throws(WitnessClientError) -> UInt64 {
    // Who else has cosigned it is not the witness's business.
    let checkpoint = checkpoint.signed(onlyBy: [log.verifierKey]) ?? checkpoint
    let client = WitnessClient(url: witness.url, key: witness.key, timeout: timeout)
    let reader = TileReader(directory: TileDirectory(path: log.directory), size: checkpoint.checkpoint.size)
    let cosignature = try await client.submit(
      checkpoint, knownSize: knownSize(of: witness.key),
      recording: { (body) throws(AuditLogError) in
        let label = MessageLabel(id: .random(), kind: AuditRecord.checkpointKind)
        var draft = self.draft(.messageSent, checkpoint, witness)
        draft.policy = .init(.allowed, rule: "audit.witnesses")
        return try log.recordEgress(draft, message: label, payload: body)
      },
      answered: { (message, error) throws(AuditLogError) in
        var draft = self.draft(.delivery, nil, witness)
        draft.messageID = message
        draft.outcome = error == nil ? .succeeded : .unknown
        draft.error = error.map { AuditRecord.Failure($0) }
        try log.append(draft, durable: false)
      },
      proof: { (from) throws(TransparencyLogError) in try reader.consistencyProof(from: from) })
    do throws(AuditLogError) {
      try log.add([cosignature], to: checkpoint)
      try log.append(draft(.checkpointCosigned, checkpoint, witness), durable: false)
    } catch { throw .notRecorded(error) }
    state.withLock { $0.cosigned[witness.key] = (checkpoint.checkpoint.size, cosignature.time) }
    return cosignature.time
  }

  private func knownSize(of witness: NoteVerifierKey<WitnessKeyRole>) -> UInt64 {
    if let known = state.withLock({ $0.cosigned[witness]?.size }) { return known }
    guard let kept = log.cosignedCheckpoint, case .valid = kept.cosignature(by: witness) else { return 0 }
    return kept.checkpoint.size
  }

  private func draft(
    _ event: AuditRecord.Event, _ checkpoint: SignedCheckpoint?, _ witness: WitnessAddress
  ) -> AuditRecord.Draft {
    var draft = AuditRecord.Draft(event)
    draft.actor = .init(service: service)
    draft.destination = .init(name: witness.key.organization, address: witness.url.authority)
    draft.checkpoint = checkpoint.map { checkpoint in
      .init(
        origin: checkpoint.checkpoint.origin, size: checkpoint.checkpoint.size, root: checkpoint.checkpoint.root,
        witness: witness.key.name.value, witnessKeyID: witness.key.id)
    }
    return draft
  }

  /// Puts a conflict on record, and ends the submissions with it; everything else is only a cosignature that is missing.
  private func judge(
    _ failure: WitnessClientError, _ checkpoint: SignedCheckpoint, _ witness: WitnessAddress
  ) throws(WitnessSubmissionError) {
    switch failure {
    case .notRecorded(let error): throw .log(error)
    case .rolledBack, .otherHistory, .notConsistent: break
    case .malformedURL, .unreachable, .timedOut, .invalidAnswer, .malformedMessage, .refused, .conflict, .notCosigned,
      .log:
      return
    }
    state.withLock { $0.conflict = failure }
    var draft = self.draft(.checkpointConflict, checkpoint, witness)
    draft.error = .init(failure)
    do throws(AuditLogError) {
      try log.append(draft)
      try log.publish()
    } catch { throw .log(error) }
    throw .conflict(failure)
  }
}

/// How lately witnesses have cosigned the log.
extension WitnessSubmissions {
  /// How many witnesses have cosigned a checkpoint of the log, by their word, at most so long ago.
  ///
  /// Counted are the cosignatures of this process and those in `checkpoint.cosigned`. A time further ahead than `within` is
  /// no better than one that is too old.
  public func cosigners(
    among witnesses: [WitnessAddress], within: Duration, of now: Date
  ) -> [NoteVerifierKey<WitnessKeyRole>] {
    let (kept, known) = (log.cosignedCheckpoint, state.withLock { $0.cosigned })
    let limit = Double(within.components.seconds)
    return witnesses.map(\.key).filter { key in
      var times = known[key].map { [$0.time] } ?? []
      if case .valid(let time) = kept?.cosignature(by: key) { times.append(time) }
      return times.contains { abs(now.timeIntervalSince1970 - Double($0)) <= limit }
    }
  }
}
