import AuditLog
import Cryptography
import Federation
import Foundation

/// State and log held against each other, before anything may leave.
///
/// Reads the whole log once.
struct StateReview {
  /// Whether state and log agree; what is wrong otherwise.
  let fault: StateFault?
  /// The highest version on the record.
  let recordedVersion: UInt64
  /// Runs in which anything was sent.
  let runs: Set<String>
  /// Messages on the record of which nothing says what became of them, in order.
  let unresolved: [(message: MessageIdentifier, run: String?)]

  /// - Throws: ``ClientError/log(_:)``, ``ClientError/storage(_:)``.
  init(store: ClientStore, log: AuditLogWriter) throws(ClientError) {
    try self.init(store: store, logDirectory: log.directory)
  }

  /// - Parameter logDirectory: a log that may be open elsewhere.
  /// - Throws: ``ClientError/log(_:)``, ``ClientError/storage(_:)``.
  init(store: ClientStore, logDirectory: String) throws(ClientError) {
    try self.init(
      path: store.path, version: store.version, remembered: store.rememberedRecord, logDirectory: logDirectory)
  }

  /// - Parameters:
  ///   - path: of the state.
  ///   - version: 0 where there is none.
  /// - Throws: ``ClientError/log(_:)``.
  init(
    path: String, version: UInt64, remembered: ClientStore.LogPosition?, logDirectory: String
  ) throws(ClientError) {
    var size: UInt64 = 0
    var recorded: UInt64 = 0
    var runs: Set<String> = []
    var pending: [MessageIdentifier: (sequence: UInt64, run: String?)] = [:]
    var found: LeafHash?
    do throws(AuditLogError) {
      // An unpublished tail may still be on its way to the disk; it is in the file all the same.
      var reader = try AuditLogReader(directory: logDirectory)
      while let entry = try reader.next() {
        let record = entry.record
        size = record.sequence + 1
        if record.sequence == remembered?.sequence { found = entry.leaf }
        // A message that left without a version left under some state; a checkpoint for a witness needs none.
        let isOfState = record.event == .messageSent && !record.isCheckpointForWitness
        let version = record.stateVersion ?? (isOfState ? 1 : 0)
        recorded = max(recorded, version)
        if record.event == .messageSent, let message = record.message {
          pending[message.id] = (record.sequence, record.run)
          if let run = record.run { runs.insert(run) }
        } else if record.event == .delivery, let id = record.messageID ?? record.message?.id {
          pending[id] = nil
        }
      }
    } catch { throw .log(error) }
    recordedVersion = recorded
    self.runs = runs
    unresolved = pending.sorted { $0.value.sequence < $1.value.sequence }.map { ($0.key, $0.value.run) }
    fault =
      if version < recorded {
        version == 0
          ? .missing(path: path, recorded: recorded)
          : .olderThanLog(path: path, version: version, recorded: recorded)
      } else if let remembered, found != remembered.leaf {
        size <= remembered.sequence
          ? .logShorter(path: logDirectory, entries: size, remembered: remembered.sequence)
          : .logDiffers(path: logDirectory, entry: remembered.sequence)
      } else {
        nil
      }
  }

  /// An earlier process ended between recording a message and learning what became of it: that is said now.
  func resolve(in log: AuditLogWriter) throws(ClientError) {
    let drafts = unresolved.map { message, run in
      var draft = AuditRecord.Draft(.delivery)
      draft.run = run
      draft.messageID = message
      draft.outcome = .unknown
      draft.error = .processEnded
      return draft
    }
    do throws(AuditLogError) { try log.append(contentsOf: drafts) } catch { throw .log(error) }
  }
}

extension ClientStore {
  /// Opens the state of an organisation whose log is open, if both agree.
  ///
  /// - Throws: ``ClientError/state(_:)`` if they do not: nothing may leave then until the owner says what happened.
  convenience init(path: String, reviewedAgainst log: AuditLogWriter) throws(ClientError) {
    try self.init(path: path)
    let review = try StateReview(store: self, log: log)
    if let fault = review.fault { throw .state(fault) }
    try review.resolve(in: log)
    try begin()
  }
}

/// The owner's word on why state and log do not agree.
public struct StateAcknowledgement: Sendable, Equatable {
  public let organization: OrganizationName
  /// What was wrong.
  public let fault: StateFault
  /// The entry of the log that holds the reason.
  public let entry: UInt64
  /// From here on the state's version.
  public let version: UInt64
  /// Whether signed survivor sets may be lost, so that every opening counts as near an unknown one for a time.
  public let isHistoryLost: Bool
  /// For so many days, by the policy as it stands.
  public let days: Int
  /// So many sums are allowed in that time, by the policy as it stands.
  public let budget: Int

  /// Records the reason and lets the client go on.
  ///
  /// The record comes first: a state that is lifted without one would hide that it was older. Where the state is the older
  /// one, the runs of the log are not taken part in again, and every later opening is charged to the policy's budget of
  /// near openings until the policy's days have passed.
  ///
  /// - Parameters:
  ///   - path: the organisation's directory; no client may be running in it.
  ///   - reason: 1 to 1,024 bytes without control characters.
  /// - Throws: ``ClientError``; ``StateFault/nothingToAcknowledge(path:)`` if state and log agree.
  public static func record(
    directory path: String, reason: String, at moment: Date = Date()
  ) throws(ClientError) -> StateAcknowledgement {
    let directory: OrganizationDirectory
    let policy: Policy
    let key: LogSigningKey
    do throws(FederationError) {
      directory = try OrganizationDirectory(opening: path)
      policy = try directory.policy()
      key = try directory.logKey()
    } catch { throw .federation(error) }
    let log: AuditLogWriter
    do throws(AuditLogError) {
      log = try AuditLogWriter(
        directory: directory.logPath, organization: directory.name, logKey: key, clock: { moment })
    } catch { throw .log(error) }
    let store = try ClientStore(path: directory.statePath)
    let acknowledged = try record(
      reason, path: path, organization: directory.name, near: policy.cohort.nearOpenings, store: store, log: log,
      at: moment)
    do throws(AuditLogError) { try log.close() } catch { throw .log(error) }
    return acknowledged
  }

  static func record(
    _ reason: String, path: String, organization: OrganizationName, near: Policy.NearOpenings, store: ClientStore,
    log: AuditLogWriter, at moment: Date
  ) throws(ClientError) -> StateAcknowledgement {
    let review = try StateReview(store: store, log: log)
    guard let fault = review.fault else { throw .state(.nothingToAcknowledge(path: path)) }
    let isHistoryLost =
      switch fault {
      case .olderThanLog, .missing: true
      case .logShorter, .logDiffers, .nothingToAcknowledge, .otherOpening, .closed, .notReleased, .otherMessage,
        .lostRun:
        false
      }
    let version = max(try store.version, review.recordedVersion) + 1
    var draft = AuditRecord.Draft(.stateAcknowledged)
    draft.error = .init(fault)
    draft.reason = reason
    draft.stateVersion = version
    draft.outcome = .succeeded
    let record: AppendedRecord
    do throws(AuditLogError) { record = try log.append(draft) } catch { throw .log(error) }
    try store.acknowledge(
      version: version, loss: isHistoryLost ? (Int64(moment.timeIntervalSince1970), review.runs) : nil, record: record)
    try review.resolve(in: log)
    return StateAcknowledgement(
      organization: organization, fault: fault, entry: record.sequence, version: try store.version,
      isHistoryLost: isHistoryLost, days: near.days, budget: near.count)
  }
}
