import Cryptography

// What the server keeps of R0 and R1, and the rules about lists of organisations.

/// Who shares with whom.
enum SharingGraph: Sendable {
  case complete(members: Int)
  case regular(NeighborGraph)

  /// - Parameter beacon: nil on the complete graph.
  init(beacon: BeaconDigest?, context: AggregationContext) throws(AggregationError) {
    guard let beacon, let parameters = context.regularGraph else {
      self = .complete(members: context.cohort.count)
      return
    }
    do throws(CryptographyError) {
      self = .regular(
        try NeighborGraph(count: context.cohort.count, neighborCount: parameters.neighborCount, seed: beacon))
    } catch { throw .local(error) }
  }

  /// Cohort positions in ascending order.
  func neighbors(of position: Int) -> [Int] {
    switch self {
    case .complete(let members): (0..<members).filter { $0 != position }
    case .regular(let graph): graph.neighbors(of: position)
    }
  }
}

/// U1 with T1, as the server collected it.
struct CollectedRoster: Sendable {
  let transcript: TranscriptDigest
  /// U1.
  let members: MemberSet
  let advertisements: Answers<AdvertiseKeysMessage>
  private let graph: SharingGraph
  private let tree: MerkleTree
  private let nonces: [UInt8]

  /// On the complete graph.
  init(closing stage: AdvertiseKeysStage, context: AggregationContext) throws(AggregationError) {
    let messages = stage.received.members.positions.compactMap { stage.received[$0] }
    try self.init(
      advertisements: stage.received, tree: MerkleTree(leaves: messages.map { Transcript.advertisementLeaf($0) }),
      beacon: nil, nonces: [], context: context)
  }

  /// On a k-regular graph.
  init(closing stage: GraphBeaconStage, context: AggregationContext) throws(AggregationError) {
    let nonces = stage.nonces
    try self.init(
      advertisements: stage.advertisements, tree: stage.tree,
      beacon: GraphBeacon.digest(context: context.digest, list: stage.request.digest, nonces: nonces), nonces: nonces,
      context: context)
  }

  private init(
    advertisements: Answers<AdvertiseKeysMessage>, tree: MerkleTree, beacon: BeaconDigest?, nonces: [UInt8],
    context: AggregationContext
  ) throws(AggregationError) {
    self.advertisements = advertisements
    self.tree = tree
    self.nonces = nonces
    members = advertisements.members
    graph = try SharingGraph(beacon: beacon, context: context)
    transcript = Transcript.digest(context: context.digest, members: members, root: tree.root, beacon: beacon)
  }

  /// Neighbours of a member in U1, in cohort order.
  func peers(of position: Int) -> [Int] { graph.neighbors(of: position).filter { members.contains($0) } }

  /// What a member is sent.
  func roster(for position: Int, context: AggregationContext) -> AdvertisementRoster {
    let shown = (peers(of: position) + [position]).sorted()
    return AdvertisementRoster(
      context: context.digest, members: members,
      advertisements: shown.compactMap { position in
        context.verifiesEveryShare ? advertisements[position] : advertisements[position]?.withoutCommitments
      }, siblings: tree.siblings(of: shown.map { members.rank(of: $0) }), nonces: nonces)
  }
}

/// Rules about lists of organisations.
enum CohortOrder {
  /// The positions of names that are known, strictly ascending, without repetition.
  @discardableResult
  static func positions(
    of names: [OrganizationName], in context: AggregationContext, kind: MessageKind, by party: Party = .server
  ) throws(AggregationError) -> [Int] {
    var positions: [Int] = []
    positions.reserveCapacity(names.count)
    for name in names {
      guard let position = context.position(of: name) else {
        throw .misbehaviour(.unknownOrganization(name), by: party)
      }
      if let previous = positions.last {
        guard position != previous else { throw .misbehaviour(.duplicateOrganization(name), by: party) }
        guard position > previous else { throw .misbehaviour(.unsortedOrganizations(kind), by: party) }
      }
      positions.append(position)
    }
    return positions
  }

  /// Enough of those who could have answered `stage` did.
  static func require(
    _ present: MemberSet, of candidates: MemberSet, stage: RoundStage, context: AggregationContext,
    required: Int? = nil
  ) throws(AggregationError) {
    let required = required ?? context.requiredParticipants(in: stage)
    guard present.count < required else { return }
    throw .tooFewParticipants(
      Shortage(
        stage: stage, present: present.count, required: required,
        missing: context.names(candidates.subtracting(present))))
  }
}

/// The ciphertexts of R1 with the trees over them, from which the server serves R2.
struct ShareRelay: Sendable {
  let roster: CollectedRoster
  /// U2.
  let members: MemberSet
  private let shares: Answers<ShareKeysMessage>
  private let trees: [MerkleTree?]
  /// To whom each member of U2 sent a ciphertext, in the order of its entries.
  private let recipients: [[Int]]

  init(closing stage: ShareKeysStage) {
    roster = stage.roster
    members = stage.received.members
    shares = stage.received
    trees = (0..<members.cohortCount).map { position in
      stage.received[position].map { MerkleTree(leaves: $0.leaves) }
    }
    recipients = (0..<members.cohortCount).map { position in
      stage.received[position] == nil ? [] : stage.roster.peers(of: position)
    }
  }

  /// Neighbours of a member in U2, in cohort order.
  ///
  /// Who shares with it is whom it shares with.
  func peers(of position: Int) -> [Int] { recipients[position].filter { members.contains($0) } }

  /// The ciphertext from one member to another.
  func ciphertext(from sender: Int, to recipient: Int) -> [UInt8]? {
    entry(from: sender, to: recipient)?.entry.ciphertext
  }

  /// What a member of U2 is sent: the ciphertexts of its neighbours in U2 for it.
  func delivery(for recipient: Int, context: AggregationContext) -> ShareDelivery {
    let entries: [ShareDelivery.Entry] = peers(of: recipient).compactMap { sender in
      guard let message = shares[sender], let tree = trees[sender],
        let found = entry(from: sender, to: recipient)
      else { return nil }
      return ShareDelivery.Entry(
        sender: message.organization, ciphertext: found.entry.ciphertext, path: tree.siblings(of: [found.index]),
        index: found.index, count: message.entries.count, root: ShareRoot(tree.root), signature: message.signature)
    }
    return ShareDelivery(
      context: context.digest, transcript: roster.transcript, members: members, entries: entries)
  }

  private func entry(from sender: Int, to recipient: Int) -> (index: Int, entry: ShareKeysMessage.Entry)? {
    // Ascending: searched by halving.
    let positions = recipients[sender]
    var low = 0
    var high = positions.count
    while low < high {
      let middle = (low + high) / 2
      if positions[middle] < recipient { low = middle + 1 } else { high = middle }
    }
    guard low < positions.count, positions[low] == recipient, let message = shares[sender] else { return nil }
    return (low, message.entries[low])
  }
}
