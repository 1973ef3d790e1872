import AuditLog
import Cryptography
import Federation
import FederationWire
import Foundation
import LogService

/// Too few witnesses have cosigned the log lately: no run is joined meanwhile.
public struct WitnessShortage: BlamedError, Hashable {
  public let found: Int
  public let needed: Int
  /// As the policy writes it.
  public let within: String

  public var code: String { "log-not-cosigned" }
  public var blame: Blame { .local }
  public var message: String {
    "\(found) of the witnesses in policy.yaml have cosigned the log within \(within), and \(needed) must have (audit.quorum)"
  }
  public var remedy: String {
    "see that the witnesses can be reached: bauta audit cosign --directory DIR; no run is joined meanwhile"
  }
}

/// What the policy says of the organisation's own log: who outside the federation vouches for it, and how long it is kept.
///
/// The policy is read each time, as it is then. One that cannot be read names no witnesses; a run is refused for that alone.
final class ExternalWitnesses: Sendable {
  /// How often is submitted and pruned; tests do not wait so long.
  struct Intervals: Sendable {
    var submitting: Duration = .seconds(600)
    var pruning: Duration = .seconds(86_400)
  }

  private let directory: OrganizationDirectory
  private let log: AuditLogWriter
  private let submissions: WitnessSubmissions
  private let intervals: Intervals
  private let progress: @Sendable (ClientEvent) -> Void

  init(
    _ directory: OrganizationDirectory, log: AuditLogWriter, submissions: WitnessSubmissions,
    intervals: Intervals = Intervals(), progress: @escaping @Sendable (ClientEvent) -> Void
  ) {
    self.directory = directory
    self.log = log
    self.submissions = submissions
    self.intervals = intervals
    self.progress = progress
  }

  /// - Throws: `ClientError.externalWitness` once a witness has seen another log.
  func requireNoConflict() throws(ClientError) {
    if let conflict = submissions.conflict { throw .externalWitness(conflict) }
  }

  /// Submits the log's checkpoint to the policy's witnesses; one that cannot be reached is told of, and no error.
  ///
  /// - Parameters:
  ///   - isRoutine: not if nothing has come since.
  ///   - afterRun: the checkpoint that the members have cosigned instead of the latest: see `WitnessSubmissions.submit`.
  /// - Throws: `ClientError.externalWitness`; after a conflict nothing more may leave.
  func submit(isRoutine: Bool = false, afterRun: Bool = false) async throws(ClientError) {
    guard let rules = try? directory.policy().log else { return }
    log.preferCheckpoints(cosignedAs: rules.cosigners, by: .keeper)
    guard !rules.witnesses.isEmpty else { return }
    let cosigned = afterRun ? log.cosignedCheckpoint : nil
    do throws(WitnessSubmissionError) {
      for submission in try await submissions.submit(to: rules.witnesses, isRoutine: isRoutine, joining: cosigned) {
        guard let failure = submission.failure else { continue }
        progress(.witnessSilent(code: failure.code, reason: failure.message, remedy: failure.remedy))
      }
    } catch { throw .externalWitness(error) }
  }

  /// Before a run is judged: asks once more where too few have cosigned lately.
  func refresh() async throws(ClientError) {
    guard let rules = try? directory.policy().log, shortage(rules, at: Date()) != nil else { return }
    try await submit()
  }

  /// What is missing for a run to be joined; nil if nothing is.
  func shortage(_ rules: Policy.LogRules, at moment: Date) -> WitnessShortage? {
    guard rules.quorum > 0 else { return nil }
    let found = submissions.cosigners(among: rules.witnesses, within: rules.within, of: moment).count
    guard found < rules.quorum else { return nil }
    return WitnessShortage(found: found, needed: rules.quorum, within: rules.withinText)
  }

  /// Goes on until it is cancelled or a witness has seen another log: submits every ten minutes, prunes every day.
  ///
  /// A log that cannot be written for a while, as when its disk is full, is told of and tried again.
  func tend() async {
    var pruned = ContinuousClock.now
    while true {
      do { try await Task.sleep(for: intervals.submitting) } catch { return }
      do throws(ClientError) {
        try await submit(isRoutine: true)
        if pruned.duration(to: .now) >= intervals.pruning {
          try prune()
          pruned = .now
        }
      } catch {
        guard !Task.isCancelled else { return }
        progress(.trouble(code: error.code, reason: error.message, remedy: error.remedy))
        // The gate lets nothing out any more, and the session ends there.
        if submissions.conflict != nil { return }
      }
    }
  }

  /// Stops keeping what is older than the policy's retention; where cosigners are asked for, only what has them.
  ///
  /// - Throws: `ClientError.log`.
  func prune() throws(ClientError) {
    guard let rules = try? directory.policy().log, let retention = rules.retention,
      let before = AuditTime(Date() - Double(retention.components.seconds))
    else { return }
    var draft = AuditRecord.Draft(.entriesPruned)
    draft.actor = .init(service: "client")
    draft.retention = rules.retentionText
    draft.policy = .init(.allowed, rule: "audit.retention")
    let manifest = (try? directory.manifest()) ?? nil
    let federation = manifest.map { [$0.manifest.cosigners(ofLogOf: log.verifierKey.name)] } ?? []
    let limit = log.cosignedSize(as: federation + [rules.cosigners])
    do throws(AuditLogError) { try log.prune(before: before, upTo: limit, recording: draft) } catch {
      throw .log(error)
    }
  }
}
