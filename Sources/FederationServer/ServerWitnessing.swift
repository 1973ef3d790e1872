import AuditLog
import Cryptography
import Federation
import FederationWire
import Foundation
import Synchronization
import TransparencyLog

/// A log of a member that does not continue what the server's witness has seen of it.
public struct LogConflict: Codable, Hashable, Sendable {
  public let organization: String
  /// The sizes of the checkpoint that was cosigned last, and of the one that came.
  public let held: UInt64
  public let offered: UInt64
  /// `rolledBack`, `splitView` or `notConsistent`.
  public let kind: String
}

/// The server as a witness of its members' logs, and the messenger between members who witness each other's.
///
/// Its witness cosigns what continues the checkpoint before, and remembers that across restarts. What it carries for members
/// (their latest checkpoints with proofs, their cosignatures of others') is in memory only: after a restart members are asked
/// again. Nobody has to believe it: whoever receives a checkpoint verifies signature and proof. It can hold messages back,
/// and then cosignatures are missing.
final class ServerWitnessing: Sendable {
  /// The server's own checkpoints whose cosignatures may still come.
  private static let recentServed = 16

  private struct State {
    var members: [OrganizationName: WitnessedMember] = [:]
    /// The server's own checkpoints that members were shown last, with the cosignatures since.
    var served: [SignedCheckpoint] = []
    var conflicts: [OrganizationName: LogConflict] = [:]
    /// Under which versions of the manifest the logs are watched.
    var versions: [ManifestHash] = []
  }

  private let log: AuditLogWriter
  private let witness: Witness
  private let membership: ServerMembership
  private let progress: @Sendable (RunEvent) -> Void
  private let state = Mutex(State())

  /// - Parameter witness: that of the server's directory; which logs it watches is told from here.
  /// - Throws: `WitnessError`.
  init(
    log: AuditLogWriter, witness: Witness, membership: ServerMembership,
    progress: @escaping @Sendable (RunEvent) -> Void
  ) throws(WitnessError) {
    self.log = log
    self.witness = witness
    self.membership = membership
    self.progress = progress
    try followMembership()
  }

  /// The latest of each member, by name.
  var conflicts: [LogConflict] {
    state.withLock { $0.conflicts.values.sorted { $0.organization < $1.organization } }
  }

  /// Answers one message. A copy of the message before it gets the same cosignatures again.
  ///
  /// - Throws: `AuditLogError`, `WitnessError`, `TransparencyLogError`: of this server's own files.
  func answer(
    _ submission: WitnessSubmission, _ identifier: MessageIdentifier, from organization: OrganizationName
  ) throws -> ServerMessage.Body {
    try followMembership()
    guard submission.checkpoint.checkpoint.origin == organization.value else {
      return .refused(.foreignLog(submission.checkpoint.checkpoint.origin))
    }
    try take(submission.given, by: organization)
    let request = try? WitnessRequest(
      oldSize: submission.oldSize, hashes: submission.proof, checkpoint: submission.checkpoint)
    guard let request else { return .refused(.unusableCheckpoint(.badRequest)) }
    let outcome = try witness.answer(request)
    var conflict: WitnessConflict?
    var own: SizedCosignature?
    switch outcome.response {
    case .cosigned(let lines):
      own = try lines.first.map {
        SizedCosignature(size: submission.checkpoint.checkpoint.size, cosignature: try Cosignature($0))
      }
      try noteCosigned(outcome.event, submission, of: organization)
    case .conflict, .refused(.notConsistent):
      conflict = WitnessConflict(
        held: witness.latest(origin: organization.value)?.signed(onlyBy: keys(of: organization)))
      try noteConflict(outcome.event, submission, of: organization)
    case .refused(let refusal): return .refused(.unusableCheckpoint(refusal))
    }
    let checkpoint = try ingressCheckpoint(covering: submission.receipts)
    let reader = TileReader(directory: TileDirectory(path: log.directory), size: checkpoint.checkpoint.size)
    var answer = WitnessAnswer(conflict: conflict, checkpoint: checkpoint)
    answer.proof = try reader.consistencyProof(from: submission.verified)?.hashes ?? []
    for index in submission.receipts {
      guard let proof = try reader.inclusionProof(index: index) else { break }
      answer.inclusions.append(IndexProof(index: index, hashes: proof.hashes))
    }
    fill(&answer, submission, identifier, for: organization)
    if let own { answer.cosignatures.insert(own, at: 0) }
    return .witnessed(answer)
  }

  // MARK: - As a witness

  private func noteCosigned(
    _ event: WitnessEvent, _ submission: WitnessSubmission, of organization: OrganizationName
  ) throws(AuditLogError) {
    guard case .cosigned(_, let size, let previous) = event else { return }
    // Lines of others are not carried further.
    var taken = submission
    taken.checkpoint = submission.checkpoint.signed(onlyBy: keys(of: organization)) ?? submission.checkpoint
    let isNew = state.withLock { state in
      state.members[organization, default: WitnessedMember()].take(taken)
    }
    // The same checkpoint again is no news; after a restart it is, for those who carry it further.
    guard isNew, size != previous else { return }
    try record(.checkpointWitnessed, submission.checkpoint.checkpoint)
  }

  /// A log that is behind what was cosigned, or does not continue it, is on the record once for each checkpoint. One that
  /// merely does not know how far the witness has come is told, and is no conflict.
  private func noteConflict(
    _ event: WitnessEvent, _ submission: WitnessSubmission, of organization: OrganizationName
  ) throws(AuditLogError) {
    let offered = submission.checkpoint.checkpoint
    let kind: String
    switch event {
    case .cosigned, .refused: return
    case .conflict(_, let held, let size):
      guard size < held else { return }
      kind = "rolledBack"
    case .alarm(let evidence, _): kind = evidence.suspicion.rawValue
    }
    let held = witness.latest(origin: organization.value)?.checkpoint.size ?? 0
    let conflict = LogConflict(
      organization: organization.value, held: held, offered: offered.size, kind: kind)
    let isKnown = state.withLock { state in state.conflicts.updateValue(conflict, forKey: organization) == conflict }
    guard !isKnown else { return }
    progress(.logConflict(conflict))
    try record(.checkpointConflict, offered) {
      $0.source = .init(name: organization)
      $0.outcome = .refused
      $0.error = .init(code: "log-\(kind)", blame: .peer)
      $0.reason = "size \(held) was cosigned before"
    }
  }

  // MARK: - As a messenger

  /// What a member has cosigned: of this server's log it is kept beside the log, of another's it waits for its keeper.
  private func take(_ given: [GivenCosignature], by organization: OrganizationName) throws(AuditLogError) {
    let keys = members(named: organization).map(\.witnessNoteKey)
    for item in given {
      let line = item.cosignature
      func isCosigned(_ checkpoint: SignedCheckpoint) -> Bool {
        checkpoint.checkpoint.size == line.size
          && keys.contains { line.cosignature.verifies(text: checkpoint.note.text, witness: $0) }
      }
      guard item.origin == log.organization else {
        state.withLock { state in
          guard state.members[item.origin]?.checkpoints.contains(where: isCosigned) == true else { return }
          state.members[item.origin]?.queue(line)
        }
        continue
      }
      let found = state.withLock { state -> SignedCheckpoint? in
        guard let place = state.served.firstIndex(where: isCosigned) else { return nil }
        let before = state.served[place]
        guard keys.allSatisfy({ before.cosignature(by: $0) == .absent }) else { return nil }
        var more = before
        guard (try? more.add(line.cosignature)) != nil, more.serialized.count <= WireLimits.cosignedCheckpoint else {
          return before
        }
        state.served[place] = more
        return before
      }
      guard let found else { continue }
      try log.add([line.cosignature], to: found)
      try record(.checkpointCosigned, found.checkpoint, by: line.cosignature)
    }
  }

  /// The server's latest checkpoint; a new one if a receipt that was given out is in none yet.
  private func ingressCheckpoint(covering receipts: [UInt64]) throws(AuditLogError) -> SignedCheckpoint {
    let last = receipts.last
    // A receipt that was never given out makes no checkpoint.
    let isDue = last.map { $0 >= log.checkpoint?.checkpoint.size ?? 0 && $0 < log.size } ?? false
    let latest = if !isDue, let known = log.checkpoint { known } else { try log.publish() }
    return state.withLock { state in
      if let served = state.served.last(where: { $0.checkpoint == latest.checkpoint }) { return served }
      let bare = latest.signed(onlyBy: [log.verifierKey]) ?? latest
      state.served.append(bare)
      if state.served.count > Self.recentServed { state.served.removeFirst() }
      return bare
    }
  }

  /// Others' cosignatures and checkpoints, and for what the member is asked.
  private func fill(
    _ answer: inout WitnessAnswer, _ submission: WitnessSubmission, _ identifier: MessageIdentifier,
    for organization: OrganizationName
  ) {
    let known = Dictionary(uniqueKeysWithValues: submission.peers.map { ($0.origin, $0.size) })
    let names = membership.current.organizations.sorted()
    // Everybody begins with those who follow by name: so each log has as many witnesses as one answer has places.
    let start = names.firstIndex { $0 > organization } ?? 0
    state.withLock { state in
      var places = WireLimits.answeredPeers
      for peer in names[start...] + names[..<start] where peer != organization && places > 0 {
        let size = known[peer] ?? 0
        guard let latest = latest(of: peer, &state), latest.checkpoint.size > size else { continue }
        places -= 1
        if let proof = state.members[peer]?.proof(from: size) {
          answer.peers.append(PeerCheckpoint(checkpoint: latest, proof: proof))
        } else {
          state.members[peer]?.want(size)
        }
      }
      answer.cosignatures += state.members[organization, default: WitnessedMember()].deliver(to: identifier)
      answer.wanted = state.members[organization]?.wanted(below: submission.checkpoint.checkpoint.size) ?? []
    }
  }

  /// What a member has sent, or what the witness remembers of an earlier process.
  private func latest(of peer: OrganizationName, _ state: inout State) -> SignedCheckpoint? {
    if let known = state.members[peer]?.checkpoints.last { return known }
    guard let held = witness.latest(origin: peer.value)?.signed(onlyBy: keys(of: peer)) else { return nil }
    state.members[peer, default: WitnessedMember()].recall(held)
    return held
  }

  // MARK: - Members

  /// Watches the logs of those who are members now.
  private func followMembership() throws(WitnessError) {
    let view = membership.current
    let versions = [view.newest.hash] + (view.inForce.map { [$0.hash] } ?? [])
    guard state.withLock({ $0.versions != versions }) else { return }
    var names = Set(view.newest.manifest.organizations.map(\.name))
    names.formUnion(view.inForce?.manifest.organizations.map(\.name) ?? [])
    try witness.watch(names.sorted().map { WitnessedLog(origin: $0.value, keys: keys(of: $0)) })
    let cosigners = view.current.manifest.cosigners(ofLogOf: log.verifierKey.name)
    log.preferCheckpoints(cosignedAs: cosigners, by: .federation)
    state.withLock { $0.versions = versions }
  }

  /// An organisation as the versions that count name it.
  private func members(named name: OrganizationName) -> [Manifest.Member] {
    let view = membership.current
    let versions = [view.newest] + (view.inForce.map { [$0] } ?? [])
    return versions.compactMap { $0.manifest.organization(named: name) }
  }

  private func keys(of name: OrganizationName) -> [NoteVerifierKey<LogKeyRole>] {
    var keys: [NoteVerifierKey<LogKeyRole>] = []
    for key in members(named: name).map(\.logNoteKey) where !keys.contains(key) { keys.append(key) }
    return keys
  }

  private func record(
    _ event: AuditRecord.Event, _ checkpoint: Checkpoint, by cosignature: Cosignature? = nil,
    _ fill: (inout AuditRecord.Draft) -> Void = { _ in }
  ) throws(AuditLogError) {
    var draft = AuditRecord.Draft(event)
    let manifest = membership.current.newest
    draft.federation = manifest.manifest.federation.value
    draft.manifest = manifest.hash
    draft.checkpoint = .init(
      origin: checkpoint.origin, size: checkpoint.size, root: checkpoint.root,
      witness: cosignature?.name.value ?? witness.verifierKey.name.value,
      witnessKeyID: cosignature?.keyID ?? witness.verifierKey.id)
    fill(&draft)
    // Brought to disk with the next message's record.
    try log.append(draft, durable: false)
  }
}

extension FederationWire.Refusal {
  fileprivate static func foreignLog(_ origin: String) -> FederationWire.Refusal {
    FederationWire.Refusal(
      code: "witness-foreign-log", message: "the checkpoint is of the log \(origin), which is not the sender's",
      remedy: "send a checkpoint of the organisation's own log")
  }

  fileprivate static func unusableCheckpoint(_ refusal: WitnessRefusal) -> FederationWire.Refusal {
    FederationWire.Refusal(
      code: "witness-refused", message: refusal.explanation,
      remedy: "compare log.vkey with the organisation's entry in the manifest")
  }
}
