import AuditLog
import Cryptography
import Federation
import FederationWire
import TransparencyLog

/// Showing this organisation's log to the server's witness, and witnessing the server's and the other members'.
///
/// What is shown is a hash over the log and proofs, and nothing of its entries.
extension ClientSession {
  /// Once in a process, before anything but a greeting leaves: a log that was put back to an earlier state is noticed here.
  func beginWitnessing(answering number: UInt64) async throws(ClientError) {
    guard !witnessing.hasBegun else { return }
    try await showLog(answering: number)
    witnessing.hasBegun = true
  }

  /// After a result, when no attempt is under way.
  func witnessResult(answering number: UInt64) async throws(ClientError) {
    witnessing.resultSize = parts.log.size
    try await showLog(answering: number)
  }

  /// While there is nothing else to do, as soon as one message can ask for no more receipts: those that wait do not grow
  /// without end where no run begins or ends.
  func witnessReceipts(answering number: UInt64) async throws(ClientError) {
    guard witnessing.receipts.count >= WireLimits.receipts else { return }
    try await showLog(answering: number)
  }

  /// In as many messages as the receipts need that were given for a long upload.
  private func showLog(answering number: UInt64) async throws(ClientError) {
    guard parts.witness != nil else { return }
    let checkpoint = try published()
    repeat { try await witness(checkpoint, answering: number) } while witnessing.receipts.count >= WireLimits.receipts
  }

  /// At the end of a run: until the others have cosigned the checkpoint over all of it, for a short time.
  ///
  /// - Parameter run: nil for one in which this organisation took no part.
  func settleWitnessing(_ run: ActiveRun?, isCompleted: Bool, answering number: UInt64) async throws(ClientError) {
    guard parts.witness != nil, run != nil || witnessing.hasGrown else { return }
    // Whoever was not in the last sum has gone, and is not waited for.
    let others = (run?.lastSurvivors ?? run?.cohort ?? []).filter { $0 != parts.name }
    // As many as have places in one answer: see `WireLimits.answeredPeers`.
    let expected = isCompleted ? min(others.count, WireLimits.answeredPeers) + 1 : 1
    do throws(ClientError) {
      try await settle(expected: expected, answering: number)
    } catch {
      // The server is gone: what was witnessed until then stands.
      switch error {
      case .call, .transport: break
      default: throw error
      }
    }
    guard let needed = run?.agreement.manifest.witnessQuorum, needed > 0, isCompleted else { return }
    let found = witnessing.cosigners(covering: witnessing.resultSize)
    if found < needed { progress(.quorumMissed(found: found, needed: needed)) }
  }

  /// At the orderly end of a service, if there is anything to witness: once, and only while the server answers.
  ///
  /// - Returns: what the exchange has shown to be wrong.
  func endWitnessing() async -> ClientError? {
    guard parts.witness != nil, witnessing.hasBegun, witnessing.hasGrown else { return nil }
    do throws(ClientError) {
      try await witness(try published(), answering: 0, isLast: true)
      return nil
    } catch {
      if case .witness = error { return error }
      return nil
    }
  }

  private func settle(expected: Int, answering number: UInt64) async throws(ClientError) {
    let checkpoint = try published()
    // Only receipts from before: the server makes no new checkpoint for the others meanwhile, so all cosign the same.
    let last = witnessing.receipts.last?.index
    let deadline = ContinuousClock.now + parts.settling
    var pause = Duration.milliseconds(50)
    while true {
      try await witness(checkpoint, answering: number, receiptsUpTo: last ?? 0, isLast: true)
      if let last, let next = witnessing.receipts.first?.index, next <= last { continue }
      let size = checkpoint.checkpoint.size
      let isDone = (witnessing.submitted(size: size)?.cosigners.count ?? 0) >= expected && witnessing.given.isEmpty
      guard !isDone, .now < deadline else { return }
      do { try await Task.sleep(for: pause) } catch { throw .cancelled }
      pause = min(pause * 2, .milliseconds(400))
    }
  }

  /// One exchange, and one more if the server's witness holds an earlier checkpoint than was said.
  private func witness(
    _ checkpoint: SignedCheckpoint, answering number: UInt64, receiptsUpTo last: UInt64 = .max, isLast: Bool = false
  ) async throws(ClientError) {
    guard let witness = parts.witness else { return }
    try watchMembers(witness)
    witnessing.submit(checkpoint)
    for isRepeated in [false, true] {
      let submission = try submission(of: checkpoint, witness: witness, receiptsUpTo: last)
      let reply = try await send(Answer(.witness(submission)), answering: number, isLast: isLast)
      guard case .witnessed(let answer) = reply.body else {
        if case .refused(let refusal) = reply.body { throw .refused(refusal) }
        throw .unexpected("another answer than that of a witness")
      }
      let given = Set(submission.given)
      witnessing.given.removeAll { given.contains($0) }
      if let conflict = answer.conflict {
        guard !isRepeated else { throw try fault(.unprovenConflict, checkpoint.checkpoint) }
        witnessing.serverHolds = try judge(conflict, of: checkpoint, witness: witness)
      }
      try take(answer, submission, witness: witness)
      guard answer.conflict != nil else { break }
    }
    witnessing.serverHolds = checkpoint.checkpoint.size
    witnessing.hasGrown = false
  }

  private func submission(
    of checkpoint: SignedCheckpoint, witness: Witness, receiptsUpTo last: UInt64
  ) throws(ClientError) -> WitnessSubmission {
    let reader = TileReader(
      directory: TileDirectory(path: parts.log.directory), size: checkpoint.checkpoint.size)
    var submission = WitnessSubmission(checkpoint: checkpoint, oldSize: witnessing.serverHolds)
    do throws(TransparencyLogError) {
      submission.proof = try reader.consistencyProof(from: witnessing.serverHolds)?.hashes ?? []
      for size in witnessing.wanted {
        guard let proof = try reader.consistencyProof(from: size) else { continue }
        submission.proofs.append(SizeProof(size: size, hashes: proof.hashes))
      }
    } catch { throw .log(.storage(error)) }
    submission.given = Array(witnessing.given.prefix(WireLimits.cosignatures))
    submission.receipts = Array(
      witnessing.receipts.lazy.map(\.index).filter { $0 <= last }.prefix(WireLimits.receipts))
    let server = membership.trusted.server.name
    for origin in witness.origins {
      guard let size = witness.latest(origin: origin)?.checkpoint.size, size > 0,
        let name = try? OrganizationName(origin)
      else { continue }
      if name == server {
        submission.verified = size
      } else {
        submission.peers.append(KnownSize(origin: name, size: size))
      }
    }
    submission.peers = Array(submission.peers.sorted { $0.origin < $1.origin }.prefix(WireLimits.witnessedPeers))
    return submission
  }

  /// The log's latest checkpoint over all its entries, with its own signature alone.
  private func published() throws(ClientError) -> SignedCheckpoint {
    do throws(AuditLogError) {
      let checkpoint = try parts.log.publish()
      return checkpoint.signed(onlyBy: [parts.log.verifierKey]) ?? checkpoint
    } catch { throw .log(error) }
  }

  /// The logs of the others and the server, as the versions of the manifest that count here name them.
  private func watchMembers(_ witness: Witness) throws(ClientError) {
    let manifests = witnessedManifests
    let versions = [membership.approved.hash] + (membership.inForce.map { [$0.hash] } ?? [])
    guard witnessing.versions != versions else { return }
    var logs: [String: [NoteVerifierKey<LogKeyRole>]] = [:]
    for member in manifests.flatMap(\.members) where member.name != parts.name {
      let key = member.logNoteKey
      if logs[key.name.value]?.contains(key) != true { logs[key.name.value, default: []].append(key) }
    }
    do throws(WitnessError) {
      try witness.watch(logs.map { WitnessedLog(origin: $0.key, keys: $0.value) })
    } catch { throw .witnessStore(error) }
    let cosigners = membership.trusted.cosigners(ofLogOf: parts.log.verifierKey.name)
    parts.log.preferCheckpoints(cosignedAs: cosigners, by: .federation)
    witnessing.versions = versions
  }

  var witnessedManifests: [Manifest] {
    [membership.approved.manifest] + (membership.inForce.map { [$0.manifest] } ?? [])
  }
}
