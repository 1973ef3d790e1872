import Cryptography

/// What the members of a cohort have answered in one stage, by their position.
struct Answers<Message: Hashable & Sendable>: Sendable {
  private var messages: [Message?]
  private(set) var members: MemberSet

  init(cohortCount: Int) {
    messages = Array(repeating: nil, count: cohortCount)
    members = MemberSet(cohortCount: cohortCount)
  }

  subscript(position: Int) -> Message? {
    get { messages[position] }
    set {
      guard let newValue else { return }
      messages[position] = newValue
      members.insert(position)
    }
  }

  /// False for an exact resend, which is harmless.
  /// - Throws: ``PeerFault/duplicateMessage(_:)`` for a second message that differs.
  func isNew(_ message: Message, from name: OrganizationName, at position: Int, _ kind: MessageKind)
    throws(AggregationError) -> Bool
  {
    guard let earlier = messages[position] else { return true }
    guard earlier == message else { throw .misbehaviour(.duplicateMessage(kind), by: .organization(name)) }
    return false
  }
}
