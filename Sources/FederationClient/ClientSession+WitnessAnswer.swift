import AuditLog
import Cryptography
import Federation
import FederationWire
import TransparencyLog

/// What a server's answer to a witness message is held against.
extension ClientSession {
  /// Looks at what the server's witness holds of this log.
  ///
  /// - Returns: the size from which it is to be proved that this log continues it.
  /// - Throws: ``WitnessFault``: this log was rolled back or forked, or the server shows nothing that says so.
  func judge(
    _ conflict: WitnessConflict, of checkpoint: SignedCheckpoint, witness: Witness
  ) throws(ClientError) -> UInt64 {
    // It has lost what it held, or never had anything.
    guard let held = conflict.held else { return 0 }
    let key = parts.log.verifierKey
    guard held.checkpoint.origin.utf8.elementsEqual(key.name.value.utf8), held.status(of: key) == .valid else {
      throw try fault(.unprovenConflict, held.checkpoint)
    }
    let (size, path) = (held.checkpoint.size, parts.log.directory)
    let own = checkpoint.checkpoint
    guard size <= own.size else {
      witness.keep(.notConsistent, held: held, offered: checkpoint)
      throw try fault(.rolledBack(path: path, entries: own.size, held: size), held.checkpoint)
    }
    let root: TreeHash
    do throws(TransparencyLogError) {
      root = try TileReader(directory: TileDirectory(path: path), size: own.size).root(size: size)
    } catch { throw .log(.storage(error)) }
    guard root == held.checkpoint.root else {
      witness.keep(size == own.size ? .splitView : .notConsistent, held: held, offered: checkpoint)
      throw try fault(.forked(path: path, size: size), held.checkpoint)
    }
    return size
  }

  /// Takes everything that an answer holds, or throws at the first thing that is wrong with this log or the server's.
  func take(_ answer: WitnessAnswer, _ submission: WitnessSubmission, witness: Witness) throws(ClientError) {
    try takeCosignatures(answer.cosignatures)
    try takeIngress(answer, submission, witness: witness)
    try takePeers(answer.peers, submission, witness: witness)
    witnessing.wanted = answer.wanted
  }

  private func takeCosignatures(_ lines: [SizedCosignature]) throws(ClientError) {
    let members = witnessedManifests.flatMap(\.members).filter { $0.name != parts.name }
    var drafts: [AuditRecord.Draft] = []
    var bySize: [UInt64: [Cosignature]] = [:]
    for line in lines {
      let cosignature = line.cosignature
      // Of an earlier process's checkpoint, or under a key of another version: of no use here.
      guard let submitted = witnessing.submitted(size: line.size),
        let key = members.map(\.witnessNoteKey).first(where: {
          $0.name == cosignature.name && $0.id == cosignature.keyID
        })
      else { continue }
      let checkpoint = submitted.checkpoint
      guard cosignature.verifies(text: checkpoint.note.text, witness: key) else {
        throw try fault(.falseCosignature(of: key.name.value), checkpoint.checkpoint)
      }
      guard witnessing.note(cosigner: key.key, size: line.size) else { continue }
      bySize[line.size, default: []].append(cosignature)
      drafts.append(draft(.checkpointCosigned, checkpoint.checkpoint, witness: key))
    }
    do throws(AuditLogError) {
      for (size, cosignatures) in bySize.sorted(by: { $0.key < $1.key }) {
        guard let submitted = witnessing.submitted(size: size) else { continue }
        try parts.log.add(cosignatures, to: submitted.checkpoint)
      }
      try parts.log.append(contentsOf: drafts, durable: false)
    } catch { throw .log(error) }
  }

  /// The server's log: signed by it, holding what it gave receipts for, and continuing what was witnessed.
  private func takeIngress(
    _ answer: WitnessAnswer, _ submission: WitnessSubmission, witness: Witness
  ) throws(ClientError) {
    let server = membership.trusted.server.name
    let keys = witnessedManifests.filter { $0.server.name == server }.map(\.server.member.logNoteKey)
    let shown = answer.checkpoint.checkpoint
    guard shown.origin.utf8.elementsEqual(server.value.utf8),
      keys.contains(where: { answer.checkpoint.status(of: $0) == .valid }),
      let checkpoint = answer.checkpoint.signed(onlyBy: keys)
    else { throw try fault(.serverNotSigned, shown) }
    try requireReceipts(submission.receipts, in: checkpoint, answer.inclusions, witness: witness)
    let outcome = try cosign(checkpoint, from: submission.verified, answer.proof, witness: witness)
    switch outcome.event {
    case .cosigned(_, let size, let previous):
      // The same once more is not given once more.
      guard size != previous, case .cosigned(let lines) = outcome.response else { return }
      give(lines, of: shown, to: server)
      try append([draft(.checkpointWitnessed, shown, witness: witness.verifierKey)])
    case .conflict, .refused:
      let file = witness.latest(origin: server.value).flatMap {
        witness.keep(.notConsistent, held: $0, offered: checkpoint)
      }
      throw try fault(.serverHistory(held: submission.verified, offered: shown.size, evidence: file), shown)
    case .alarm(_, let file):
      throw try fault(.serverHistory(held: submission.verified, offered: shown.size, evidence: file), shown)
    }
  }

  private func requireReceipts(
    _ indices: [UInt64], in checkpoint: SignedCheckpoint, _ proofs: [IndexProof], witness: Witness
  ) throws(ClientError) {
    let (size, root) = (checkpoint.checkpoint.size, checkpoint.checkpoint.root)
    let asked = Set(indices)
    let receipts = witnessing.receipts.filter { asked.contains($0.index) }
    for (place, receipt) in receipts.enumerated() {
      let proof = place < proofs.count ? proofs[place] : nil
      guard let proof, proof.index == receipt.index,
        InclusionProof(index: proof.index, size: size, hashes: proof.hashes).verifies(leaf: receipt.leaf, root: root)
      else {
        let file = witness.keep(checkpoint, withoutEntry: receipt.index, leaf: receipt.leaf)
        throw try fault(
          .receiptNotIncluded(index: receipt.index, size: size, evidence: file), checkpoint.checkpoint
        ) { draft in
          draft.messageID = receipt.message
          draft.receipt = .init(index: receipt.index, leaf: receipt.leaf)
        }
      }
    }
    guard proofs.count == indices.count else { throw .unexpected("proofs of entries that were not asked for") }
    witnessing.remove(receipts: indices)
  }

  /// The others' logs. What is wrong with one that its keeper has signed is on the record and shown, and no reason to leave:
  /// its keeper may be at fault, or the server.
  private func takePeers(
    _ peers: [PeerCheckpoint], _ submission: WitnessSubmission, witness: Witness
  ) throws(ClientError) {
    let server = membership.trusted.server.name
    let known = Dictionary(uniqueKeysWithValues: submission.peers.map { ($0.origin.value, $0.size) })
    var seen: Set<String> = [server.value, parts.name.value]
    var drafts: [AuditRecord.Draft] = []
    for peer in peers {
      let shown = peer.checkpoint.checkpoint
      guard seen.insert(shown.origin).inserted, let name = try? OrganizationName(shown.origin) else {
        throw .unexpected("a checkpoint that is no other member's, or two of one")
      }
      let keys = witnessedManifests.compactMap { $0.organization(named: name)?.logNoteKey }
      // A member, or a key of one, that this organisation has not approved yet.
      guard let claimed = peer.checkpoint.signed(onlyBy: keys) else { continue }
      // What a server can make up by itself is nothing to hold against a member.
      guard let checkpoint = claimed.signed(onlyBy: keys.filter { claimed.status(of: $0) == .valid }) else {
        throw .unexpected("a checkpoint of a member's log that the member has not signed")
      }
      let size = known[shown.origin] ?? 0
      let outcome = try cosign(checkpoint, from: size, peer.proof, witness: witness)
      switch outcome.response {
      case .cosigned(let lines):
        give(lines, of: shown, to: name)
        drafts.append(draft(.checkpointWitnessed, shown, witness: witness.verifierKey))
      case .conflict, .refused:
        guard witnessing.isNewConflict(shown) else { continue }
        var draft = draft(.checkpointConflict, shown, witness: witness.verifierKey)
        draft.source = .init(name: name)
        draft.outcome = .refused
        draft.error = .init(code: "peer-log-conflict", blame: .peer)
        drafts.append(draft)
        progress(.logConflict(name, held: size, offered: shown.size))
      }
    }
    try append(drafts)
  }

  private func cosign(
    _ checkpoint: SignedCheckpoint, from size: UInt64, _ proof: [TreeHash], witness: Witness
  ) throws(ClientError) -> WitnessOutcome {
    guard let request = try? WitnessRequest(oldSize: size, hashes: proof, checkpoint: checkpoint) else {
      return WitnessOutcome(.refused(.badRequest), .refused(.badRequest, origin: checkpoint.checkpoint.origin))
    }
    do throws(WitnessError) { return try witness.answer(request) } catch { throw .witnessStore(error) }
  }

  private func give(_ lines: [NoteSignature], of checkpoint: Checkpoint, to origin: OrganizationName) {
    for line in lines {
      guard let cosignature = try? Cosignature(line) else { continue }
      witnessing.given.append(
        GivenCosignature(origin: origin, size: checkpoint.size, cosignature: cosignature))
    }
  }

  /// Keeps a receipt until the server has proved that its log holds the entry.
  func keep(_ receipt: Receipt) throws(ClientError) {
    guard parts.witness != nil, !witnessing.add(receipt) else { return }
    let fault = WitnessFault.receiptRepeated(index: receipt.index)
    try record(.checkpointConflict) { draft in
      draft.messageID = receipt.message
      draft.receipt = .init(index: receipt.index, leaf: receipt.leaf)
      draft.outcome = .refused
      draft.error = .init(fault)
    }
    throw .witness(fault)
  }

  // MARK: - Records

  /// Puts it on the record; the caller throws what is returned.
  func fault(
    _ fault: WitnessFault, _ checkpoint: Checkpoint, _ more: (inout AuditRecord.Draft) -> Void = { _ in }
  ) throws(ClientError) -> ClientError {
    try record(.checkpointConflict) { draft in
      draft.checkpoint = .init(origin: checkpoint.origin, size: checkpoint.size, root: checkpoint.root)
      draft.outcome = .refused
      draft.error = .init(fault)
      more(&draft)
    }
    return .witness(fault)
  }

  private func draft<Role: NoteKeyRole>(
    _ event: AuditRecord.Event, _ checkpoint: Checkpoint, witness: NoteVerifierKey<Role>
  ) -> AuditRecord.Draft {
    var draft = AuditRecord.Draft(event)
    fill(&draft)
    draft.checkpoint = .init(
      origin: checkpoint.origin, size: checkpoint.size, root: checkpoint.root, witness: witness.name.value,
      witnessKeyID: witness.id)
    return draft
  }

  /// Brought to disk with the next message's record.
  private func append(_ drafts: [AuditRecord.Draft]) throws(ClientError) {
    do throws(AuditLogError) { try parts.log.append(contentsOf: drafts, durable: false) } catch { throw .log(error) }
  }
}
