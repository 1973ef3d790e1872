import AuditLog
import Cryptography
import Federation
import Foundation
import SecureAggregation
import Synchronization
import TransparencyLog

/// Keeps the sealed secrets of an organisation's masked inputs for as long as its policy says, and not longer.
///
/// A file is on disk before the masked input leaves that it opens. It is erased when its window is over, and at once when
/// its attempt ends without a sum. Erased means: unlinked, and on the record. What a disk keeps of an unlinked file is
/// sealed to the auditor's key.
final class SealedSecretsKeeper: Sendable {
  /// Why a file was erased, as the record says.
  enum Reason: String, Sendable {
    case windowOver = "the time is over for which the policy keeps them"
    case attemptLeft = "the attempt ended without a sum that this organisation signed for"
    case unsent = "the masked input that they open was never sent"
  }

  let directory: String
  private let store: ClientStore
  private let log: AuditLogWriter
  private let now: @Sendable () -> Date
  /// One erasure at a time.
  private let lock = Mutex(())

  init(
    directory: String, store: ClientStore, log: AuditLogWriter, now: @escaping @Sendable () -> Date = { Date() }
  ) {
    self.directory = directory
    self.store = store
    self.log = log
    self.now = now
  }

  func path(of sealed: ClientStore.SealedEntry) -> String { "\(directory)/\(sealed.file)" }

  /// What a file is called: run, task, round and attempt cannot hold a path.
  static func file(of opening: OpeningIdentifier) -> String {
    "\(opening.run)-\(opening.task.rawValue)-\(opening.round)-\(opening.attempt)"
  }

  /// Seals the secrets of one masked input, on disk when this returns. The caller commits the entry with the message.
  ///
  /// - Throws: ``ClientError/storage(_:)``; nothing may be sent then.
  func seal(
    _ opening: OpeningIdentifier, under rules: Policy.AuditRules, organization: OrganizationName,
    context: AggregationContext, commitment: TermCommitment, subject: SealedSubject,
    secrets: borrowing MaskingSecrets, salt: borrowing SecretBytes, term: some TermSource
  ) throws(ClientError) -> ClientStore.SealedEntry {
    do throws(TransparencyLogError) { try DurableFile.createDirectories(directory, mode: 0o700) } catch {
      throw .storage(.init(path: directory, reason: error.message))
    }
    let encoded = subject.encoded()
    let moment = Int64(now().timeIntervalSince1970)
    let header = SealedHeader(
      organization: organization, opening: opening, context: context.digest, commitment: commitment,
      auditor: rules.auditor.digest, sealedAt: moment, until: moment + max(1, rules.keepSecretsFor.components.seconds),
      subjectByteCount: encoded.count, tensorCount: term.tensorCount, counterCount: term.counterCount)
    let entry = ClientStore.SealedEntry(opening: opening, file: Self.file(of: opening), until: header.until)
    try SealedFileWriter.write(
      header, subject: encoded, secrets: secrets, salt: salt, term: term, to: rules.auditor, path: path(of: entry))
    return entry
  }

  // MARK: - Erasure

  /// When a process begins, and between runs: what is over, and what never came to anything.
  func tidy() throws(ClientError) {
    try abandoned()
    try eraseExpired()
    let known = Set(try store.sealedSecrets().map(\.file))
    let names: [String]
    do throws(TransparencyLogError) { names = try DurableFile.names(in: directory) ?? [] } catch {
      throw .storage(.init(path: directory, reason: error.message))
    }
    for name in names where !known.contains(name) {
      try remove("\(directory)/\(name)")
      // An unfinished file holds nothing that anybody could open.
      guard !name.hasSuffix(DurableFile.temporarySuffix) else { continue }
      try record(nil, .unsent)
    }
  }

  /// No attempt is under way in this process: those in which no statement was signed are over.
  func abandoned() throws(ClientError) { try erase(store.unsignedSealedSecrets(), .attemptLeft) }

  /// What is older than its window.
  func eraseExpired() throws(ClientError) {
    let moment = Int64(now().timeIntervalSince1970)
    try erase(store.sealedSecrets().filter { $0.until <= moment }, .windowOver)
  }

  /// An attempt is entered: lower ones of the same opening are over.
  func left(before opening: OpeningIdentifier) throws(ClientError) {
    try erase(
      store.sealedSecrets().filter {
        $0.opening.run == opening.run && $0.opening.task == opening.task && $0.opening.round == opening.round
          && $0.opening.attempt < opening.attempt && !$0.isSummed
      }, .attemptLeft)
  }

  /// A sum is published: one attempt was it, the others were not.
  func summed(_ opening: OpeningIdentifier) throws(ClientError) {
    let entries = try store.sealedSecrets().filter {
      $0.opening.run == opening.run && $0.opening.task == opening.task && $0.opening.round == opening.round
    }
    guard entries.contains(where: { !$0.isSummed }) else { return }
    try store.noteSummed(opening)
    let kept = try store.sealedSecret(run: opening.run, task: opening.task, round: opening.round)
    try erase(entries.filter { $0.opening != kept?.opening }, .attemptLeft)
  }

  /// A run is over: what was not summed never will be.
  func ended(_ run: RunIdentifier) throws(ClientError) {
    try erase(store.sealedSecrets().filter { $0.opening.run == run && !$0.isSummed }, .attemptLeft)
  }

  /// Erases what is over, again and again, also while the server cannot be reached; until its task is cancelled.
  func watch(every interval: Duration = .seconds(60), failed: @Sendable (ClientError) -> Void) async {
    while !Task.isCancelled {
      do { try await Task.sleep(for: interval) } catch { return }
      do throws(ClientError) { try eraseExpired() } catch { failed(error) }
    }
  }

  /// The file first: a record must not say of a file that is there that it is gone. A process that ends in between finds
  /// the entry again, and records it then.
  private func erase(_ entries: [ClientStore.SealedEntry], _ reason: Reason) throws(ClientError) {
    try lock.withLock { (_) throws(ClientError) in
      for entry in entries {
        try remove(path(of: entry))
        try record(entry.opening, reason)
        try store.forget(entry)
      }
    }
  }

  private func remove(_ path: String) throws(ClientError) {
    guard unlink(path) == 0 || errno == ENOENT else {
      throw .storage(.init(path: path, reason: String(cString: strerror(errno))))
    }
    guard DurableFile.isDirectory(directory) else { return }
    do throws(TransparencyLogError) { try DurableFile.synchronizeDirectory(directory) } catch {
      throw .storage(.init(path: path, reason: error.message))
    }
  }

  private func record(_ opening: OpeningIdentifier?, _ reason: Reason) throws(ClientError) {
    var draft = AuditRecord.Draft(.sealedSecretsErased)
    draft.actor = .init(service: "client")
    draft.run = opening?.run.text
    draft.task = opening?.task.rawValue
    draft.round = opening?.round
    draft.attempt = opening?.attempt
    draft.reason = reason.rawValue
    draft.outcome = .succeeded
    do throws(AuditLogError) { try log.append(draft) } catch { throw .log(error) }
  }
}
