public import Cryptography

/// How many masked inputs of one sum may be opened to auditors, and how many members must agree to each.
///
/// An opened organisation counts as corrupt: its pairwise seeds strip one mask from each of its neighbours. So of the
/// survivors of a sum, |U3| − n_c − openings must stay at least the honest minimum. Openings take numbered slots; a
/// member agrees to one organisation a slot, and a quorum is so large that any two of one slot share a member who is not
/// corrupt: in no slot two organisations can have one, whatever n_c members agree to.
public struct OpeningRule: Hashable, Sendable {
  /// Two honest members keep each other's terms apart; one alone would be what is left of the sum.
  public static let smallestHonestMinimum = 2

  /// |U3|
  public let survivors: Int
  /// n_c
  public let assumedCorrupt: Int
  public let minimumHonest: Int

  /// - Parameter minimumHonest: taken as ``smallestHonestMinimum`` if it is less.
  public init(survivors: Int, assumedCorrupt: Int, minimumHonest: Int) {
    self.survivors = max(survivors, 0)
    self.assumedCorrupt = max(assumedCorrupt, 0)
    self.minimumHonest = max(minimumHonest, Self.smallestHonestMinimum)
  }

  /// Openings that one sum admits: slots 1 … this.
  public var slots: Int { max(0, survivors - assumedCorrupt - minimumHonest) }

  /// ⌊(|U3| + n_c)/2⌋ + 1 members of U3, who is opened among them: two quorums share n_c + 1 members or more.
  public var quorum: Int { (survivors + assumedCorrupt) / 2 + 1 }
}

/// What one member has agreed to in one context: at most one organisation a slot.
///
/// A pure value: the shell stores what was granted before anything of it leaves.
public struct OpeningConsents: Hashable, Sendable {
  public let rule: OpeningRule
  public private(set) var granted: [Int: OrganizationName]

  public init(rule: OpeningRule, granted: [Int: OrganizationName] = [:]) {
    self.rule = rule
    self.granted = granted
  }

  /// Agrees that an organisation is opened in a slot. Agreeing to the same again changes nothing.
  ///
  /// - Throws: ``OpeningRefusal``; nothing has changed then.
  public mutating func grant(slot: Int, to organization: OrganizationName) throws(OpeningRefusal) {
    guard slot >= 1, slot <= rule.slots else { throw .noSuchSlot(slot, rule) }
    if let other = granted[slot], other != organization { throw .slotTaken(slot, by: other) }
    granted[slot] = organization
  }

  /// The slot that an organisation has, or the lowest that nobody is known to have.
  ///
  /// - Throws: ``OpeningRefusal/noSuchSlot(_:_:)`` if all are taken, or there are none.
  public func slot(for organization: OrganizationName) throws(OpeningRefusal) -> Int {
    if let slot = granted.filter({ $0.value == organization }).map(\.key).min() { return slot }
    var slot = 1
    while granted[slot] != nil { slot += 1 }
    guard slot <= rule.slots else { throw .noSuchSlot(slot, rule) }
    return slot
  }
}

/// Why a member does not agree to an opening.
public enum OpeningRefusal: BlamedError, Hashable {
  /// One opening more would leave fewer honest members than the minimum.
  case noSuchSlot(Int, OpeningRule)
  /// Agreed to for another organisation, once and for all.
  case slotTaken(Int, by: OrganizationName)

  public var code: String {
    switch self {
    case .noSuchSlot: "opening-beyond-honest-minimum"
    case .slotTaken: "opening-slot-taken"
    }
  }

  public var blame: Blame { .caller }

  public var message: String {
    switch self {
    case .noSuchSlot(let slot, let rule):
      "slot \(slot) is not open: of \(rule.survivors) organisations in the sum \(rule.assumedCorrupt) are assumed "
        + "corrupt and \(rule.minimumHonest) must stay honest, so that \(rule.slots) may be opened"
    case .slotTaken(let slot, let other): "this organisation has agreed that \(other) is opened in slot \(slot)"
    }
  }

  public var remedy: String {
    switch self {
    case .noSuchSlot: "Nobody else of this sum is opened; ask for an opening in another round."
    case .slotTaken: "Ask for another slot, if the sum has one."
    }
  }
}

extension ConsistencyStatement {
  /// A statement that was stored.
  public init(
    stored transcript: TranscriptDigest, shareSurvivors: SurvivorsHash, inputSurvivors: SurvivorsHash,
    maskedInputRoot: MaskedInputRoot
  ) {
    self.init(
      transcript: transcript, shareSurvivors: shareSurvivors, inputSurvivors: inputSurvivors,
      maskedInputRoot: maskedInputRoot)
  }

  /// Whether it says that exactly these survived.
  ///
  /// - Parameter names: in any order; false if one is not in the cohort.
  public func isAbout(survivors names: [OrganizationName], in context: AggregationContext) -> Bool {
    var positions: [Int] = []
    for name in names {
      guard let position = context.position(of: name) else { return false }
      positions.append(position)
    }
    let set = MemberSet(cohortCount: context.cohort.count, positions: positions)
    return set.count == names.count && Transcript.survivors(set) == inputSurvivors
  }
}
