public import Cryptography

/// A participant of a round that can be at fault.
public enum Party: Hashable, Sendable, CustomStringConvertible {
  case server
  case organization(OrganizationName)

  public var description: String {
    switch self {
    case .server: "the server"
    case .organization(let name): "organisation \(name)"
    }
  }
}

/// What goes wrong in a secure sum, ordered by who has to act.
///
/// Payloads hold public data only: names, counts and stages, never a share, a key or a value of a term.
public enum AggregationError: BlamedError, Hashable {
  /// The parameters or the cohort cannot give a private and exact sum. Blame: caller.
  case parameters(ParameterFault)
  /// The program above used a machine or a type wrongly. Blame: caller.
  case misuse(Misuse)
  /// A message does not follow the protocol. Blame: peer.
  case misbehaviour(PeerFault, by: Party)
  /// Fewer participants than the protocol needs to go on. Blame: participants.
  case tooFewParticipants(Shortage)
  /// The members answered, but a secret cannot be recovered. Blame: participants.
  case unrecoverable(RecoveryFault)
  /// A primitive failed on this machine. Blame: local.
  case local(CryptographyError)
  /// Bytes that were spooled on this machine could not be read again as they were. Blame: local.
  case spool(SpoolFault)

  public var code: String {
    switch self {
    case .parameters(let fault): fault.code
    case .misuse(let misuse): misuse.code
    case .misbehaviour(let fault, _): fault.code
    case .tooFewParticipants: "too-few-participants"
    case .unrecoverable(let fault): fault.code
    case .local(let error): error.code
    case .spool(let fault): fault.rawValue
    }
  }

  public var blame: Blame {
    switch self {
    case .parameters, .misuse: .caller
    case .misbehaviour: .peer
    case .tooFewParticipants, .unrecoverable: .participants
    case .local, .spool: .local
    }
  }

  public var message: String {
    switch self {
    case .parameters(let fault): fault.message
    case .misuse(let misuse): misuse.message
    case .misbehaviour(let fault, let party): "Protocol violation by \(party): \(fault.message)."
    case .tooFewParticipants(let shortage): shortage.message
    case .unrecoverable(let fault): fault.message
    case .local(let error): error.message
    case .spool(let fault): fault.message
    }
  }

  public var remedy: String {
    switch self {
    case .parameters: "Change the plan or the cohort so that the condition holds; both sides refuse it as it is."
    case .misuse: "Correct the calling program; the state of the round has not changed."
    case .misbehaviour(_, .server):
      "Leave this attempt, keep the log, and ask the operator; do not lower any minimum to make it pass."
    case .misbehaviour(_, .organization(let name)):
      "Ask \(name) to check its program and its keys; the round can go on without it if enough others remain."
    case .tooFewParticipants: "Bring the missing organisations back and start another attempt."
    case .unrecoverable: "Start a new round without the organisations named."
    case .local(let error): error.remedy
    case .spool: "Check the disk on which masked inputs are spooled, and start another attempt."
    }
  }
}

/// What is wrong with spooled bytes.
public enum SpoolFault: String, Hashable, Sendable {
  case unreadable = "spool-unreadable"
  case changed = "spool-changed"

  var message: String {
    switch self {
    case .unreadable: "A spooled masked input could not be read."
    case .changed: "A spooled masked input is not the one that was checked."
    }
  }
}

/// Why parameters or a cohort are refused.
public enum ParameterFault: Hashable, Sendable {
  public enum Field: String, Hashable, Sendable {
    case tensorCount, bits, clip, counterCount, counterName, counterBound, weightCap, minimumCohort, minimumHonest
    case assumedCorrupt, dimension, scale
  }

  case outOfRange(Field)
  case duplicateCounter(String)
  case cohortSize(Int, allowed: ClosedRange<Int>)
  /// No k-regular graph keeps terms private and the sum recoverable at these rates.
  case graph(GraphFault)
  case duplicateName(OrganizationName)
  case duplicateIdentity(OrganizationName, OrganizationName)
  case serverIdentityInCohort(OrganizationName)
  /// t − n_c < 2: the corrupt members and one honest member could unmask a term.
  case thresholdTooLow(threshold: Int, assumedCorrupt: Int)
  case minimumExceedsCohort(Field, required: Int, cohort: Int)
  /// n · ⌈clip · scale⌉ cannot stay below 2^(bits − 1), whatever the scale.
  case tensorsWrap(members: Int, bits: Int)
  /// n · bound ≥ 2⁶³.
  case counterWraps(String)

  var code: String {
    switch self {
    case .outOfRange: "parameter-out-of-range"
    case .duplicateCounter: "duplicate-counter"
    case .cohortSize: "cohort-size"
    case .graph(let fault): fault.code
    case .duplicateName: "duplicate-name"
    case .duplicateIdentity: "duplicate-identity"
    case .serverIdentityInCohort: "server-identity-in-cohort"
    case .thresholdTooLow: "threshold-too-low"
    case .minimumExceedsCohort: "minimum-exceeds-cohort"
    case .tensorsWrap: "tensors-wrap"
    case .counterWraps: "counter-wraps"
    }
  }

  var message: String {
    switch self {
    case .outOfRange(let field): "The parameter \(field.rawValue) is outside its range."
    case .duplicateCounter(let name): "The counter group '\(name)' is declared twice."
    case .cohortSize(let count, let allowed):
      "A cohort of \(count) is outside the range \(allowed) of a secure sum on this graph."
    case .graph(let fault): fault.message
    case .duplicateName(let name): "The organisation \(name) is in the cohort twice."
    case .duplicateIdentity(let first, let second): "\(first) and \(second) have the same identity key."
    case .serverIdentityInCohort(let name): "\(name) has the identity key of the server."
    case .thresholdTooLow(let threshold, let corrupt):
      "The threshold \(threshold) is not at least two above the \(corrupt) organisations assumed corrupt."
    case .minimumExceedsCohort(let field, let required, let cohort):
      "\(field.rawValue) asks for \(required) organisations, but the cohort has \(cohort)."
    case .tensorsWrap(let members, let bits): "The sum of \(members) terms can wrap in \(bits) bits."
    case .counterWraps(let name): "The sum of the counter group '\(name)' can reach 2^63."
    }
  }
}

/// Wrong use by the program above a machine. Nothing changes.
public enum Misuse: Hashable, Sendable {
  case wrongClientStage(ClientStage)
  case wrongServerStage(RoundStage)
  case notInCohort(OrganizationName)
  /// The signing key given is not the one the cohort lists for this participant.
  case wrongSigner
  case wrongTermShape(tensors: Int, counters: Int)
  case valueIsNotANumber(index: Int)
  case counterOutOfBounds(group: String, index: Int)
  case storedTermIsCorrupt
  /// Integers for a sum of clipped values, or values for one of integers.
  case otherEncoding
  case attempt(AttemptFault)

  var code: String {
    switch self {
    case .wrongClientStage, .wrongServerStage: "wrong-stage"
    case .notInCohort: "not-in-cohort"
    case .wrongSigner: "wrong-signer"
    case .wrongTermShape: "wrong-term-shape"
    case .valueIsNotANumber: "value-is-not-a-number"
    case .counterOutOfBounds: "counter-out-of-bounds"
    case .storedTermIsCorrupt: "stored-term-is-corrupt"
    case .otherEncoding: "other-encoding"
    case .attempt(let fault): fault.rawValue
    }
  }

  var message: String {
    switch self {
    case .wrongClientStage(let stage):
      "The client machine is in the stage \(stage.rawValue) and does not take this input."
    case .wrongServerStage(let stage): "The server machine is in the stage \(stage.rawValue) and cannot advance."
    case .notInCohort(let name): "\(name) is not in the cohort."
    case .wrongSigner: "The signing key is not the pinned identity of this participant."
    case .wrongTermShape(let tensors, let counters):
      "A term with \(tensors) tensor values and \(counters) counters does not have the shape of the plan."
    case .valueIsNotANumber(let index): "The tensor value at index \(index) is not a number."
    case .counterOutOfBounds(let group, let index):
      "The counter \(index) of the group '\(group)' is outside its declared bound."
    case .storedTermIsCorrupt: "The stored term does not decode or does not belong to these parameters."
    case .otherEncoding: "The term is of clipped values and its sum of integers, or the other way round."
    case .attempt(let fault): fault.message
    }
  }
}

/// Why the attempt ledger refuses a step.
public enum AttemptFault: String, Hashable, Sendable {
  case notHigher = "attempt-not-higher"
  case alreadyReleased = "attempt-already-released"
  case alreadySigned = "attempt-already-signed"
  case tooMany = "attempt-too-many"
  case notCurrent = "attempt-not-current"
  case otherStatement = "attempt-other-statement"
  case otherReply = "attempt-other-reply"
  case noStatement = "attempt-no-statement"
  case corruptLedger = "attempt-ledger-corrupt"

  var message: String {
    switch self {
    case .notHigher: "Only an attempt above every earlier one may be entered."
    case .alreadyReleased: "Shares were released for this opening; no other attempt may be entered."
    case .alreadySigned: "A statement was signed for this opening, which spends it on a k-regular graph."
    case .tooMany: "An opening may be attempted \(AttemptLedger.maximumAttempt) times at most."
    case .notCurrent: "The attempt is not the one entered last."
    case .otherStatement: "Another statement was signed in this attempt."
    case .otherReply: "Another reply was released for this opening."
    case .noStatement: "No statement was signed in this attempt."
    case .corruptLedger: "The stored attempt ledger does not decode or contradicts itself."
    }
  }
}

/// Fewer participants than a stage needs.
public struct Shortage: Hashable, Sendable {
  /// The stage that cannot be closed.
  public var stage: RoundStage
  public var present: Int
  public var required: Int
  /// Members that could have answered and did not, in cohort order.
  public var missing: [OrganizationName]

  public init(stage: RoundStage, present: Int, required: Int, missing: [OrganizationName]) {
    self.stage = stage
    self.present = present
    self.required = required
    self.missing = missing
  }

  var message: String {
    let names = missing.map(\.value).joined(separator: ", ")
    return "\(stage.rawValue): \(present) of the \(required) organisations needed took part"
      + (missing.isEmpty ? "." : "; missing: \(names).")
  }
}

/// Everybody answered, and still the sum cannot be computed.
public enum RecoveryFault: Hashable, Sendable {
  /// Too few good shares of a secret of `owner`; one or more of `blamed` dealt or gave wrong ones.
  case tooFewShares(of: OrganizationName, present: Int, required: Int, blamed: [OrganizationName])
  /// The sum is outside what bounded terms can give: at least one masked term broke its declared bounds.
  case sumOutOfRange

  var code: String {
    switch self {
    case .tooFewShares: "too-few-shares"
    case .sumOutOfRange: "sum-out-of-range"
    }
  }

  var message: String {
    switch self {
    case .tooFewShares(let owner, let present, let required, let blamed):
      "Only \(present) of \(required) good shares of a secret of \(owner) were given"
        + (blamed.isEmpty
          ? "." : "; dealt or given wrong by one or more of \(blamed.map(\.value).joined(separator: ", ")).")
    case .sumOutOfRange: "The sum is outside the range of terms within their declared bounds."
    }
  }
}
