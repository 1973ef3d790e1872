import Cryptography

/// A log that a witness watches: the origin line of its checkpoints, and the keys that may sign them.
public struct WitnessedLog: Hashable, Sendable {
  public let origin: String
  public let keys: [NoteVerifierKey<LogKeyRole>]

  /// A log whose origin is the name of its key, as all of ours.
  public init(_ key: NoteVerifierKey<LogKeyRole>) {
    self.init(origin: key.name.value, keys: [key])
  }

  /// - Parameter keys: several while a key is being replaced.
  public init(origin: String, keys: [NoteVerifierKey<LogKeyRole>]) {
    self.origin = origin
    self.keys = keys
  }
}

/// What a witness knows of one log: the checkpoint that it cosigned last.
public struct WitnessState: Hashable, Sendable {
  public let latest: SignedCheckpoint?

  /// - Parameter latest: nil for a log of which nothing was cosigned yet.
  public init(latest: SignedCheckpoint? = nil) {
    self.latest = latest
  }

  public var size: UInt64 { latest?.checkpoint.size ?? 0 }
  public var root: TreeHash { latest?.checkpoint.root ?? TreeHashing.emptyRoot }
}

/// What is wrong between two checkpoints that one log has signed.
public enum WitnessSuspicion: String, Hashable, Sendable, CaseIterable {
  /// One size, two roots: the log showed two histories. Both signatures together prove it.
  case splitView
  /// The proof that came with it does not show that the one continues the other. Either the log changed its history,
  /// or whoever sent the request made the proof up: requests are not authenticated.
  case notConsistent
}

/// What the rule makes of a request.
public struct WitnessDecision: Hashable, Sendable {
  public enum Action: Hashable, Sendable {
    /// The state after it must be on disk before the cosignature is given out.
    case cosign
    case conflict(size: UInt64)
    case refuse(WitnessRefusal)
  }

  public let action: Action
  /// Differs from the state before only after `cosign`.
  public let next: WitnessState
  /// Raised by an authentic checkpoint only.
  public let suspicion: WitnessSuspicion?
}

/// Whether a witness cosigns: a function of what it knows and what it is asked. Implements C2SP tlog-witness.
public enum WitnessRule {
  /// Checks in the order of the specification: origin, signature, sizes, proof, root.
  ///
  /// - Parameter log: the one that the origin of the checkpoint names; nil if the witness does not know it.
  public static func decide(
    _ state: WitnessState, log: WitnessedLog?, request: WitnessRequest
  ) -> WitnessDecision {
    func refuse(_ refusal: WitnessRefusal, _ suspicion: WitnessSuspicion? = nil) -> WitnessDecision {
      WitnessDecision(action: .refuse(refusal), next: state, suspicion: suspicion)
    }
    let checkpoint = request.checkpoint.checkpoint
    guard let log, log.origin.utf8.elementsEqual(checkpoint.origin.utf8) else { return refuse(.unknownLog) }
    let statuses = log.keys.map { request.checkpoint.status(of: $0) }
    guard statuses.contains(.valid), !statuses.contains(.invalid) else { return refuse(.notSigned) }

    // Two roots of one size are evidence whatever else the request says: anyone can check both signatures.
    let isSplitView = state.latest != nil && checkpoint.size == state.size && checkpoint.root != state.root
    let suspicion: WitnessSuspicion? = isSplitView ? .splitView : nil
    guard request.oldSize <= checkpoint.size else { return refuse(.badRequest, suspicion) }
    guard request.oldSize == state.size else {
      return WitnessDecision(action: .conflict(size: state.size), next: state, suspicion: suspicion)
    }
    if isSplitView, request.hashes.isEmpty {
      return WitnessDecision(action: .conflict(size: state.size), next: state, suspicion: suspicion)
    }
    guard isConsistent(request, with: state) else { return refuse(.notConsistent, suspicion ?? .notConsistent) }
    // The same tree again gets a new time; what is recorded stays.
    let isNew = state.latest == nil || checkpoint.size > state.size
    return WitnessDecision(
      action: .cosign, next: isNew ? WitnessState(latest: request.checkpoint) : state, suspicion: nil)
  }

  private static func isConsistent(_ request: WitnessRequest, with state: WitnessState) -> Bool {
    request.consistency.verifies(oldRoot: state.root, newRoot: request.checkpoint.checkpoint.root)
  }
}
