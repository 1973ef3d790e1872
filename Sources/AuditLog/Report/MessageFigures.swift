/// Messages that went one way: how many, how large, of which kind, with whom and when.
public struct MessageFigures: Hashable, Sendable {
  public struct Group: Hashable, Sendable {
    public let kind: String
    public let stage: String?
    /// The other side, as `AuditRecord.Peer.label` tells it.
    public let peer: String
  }

  static let maximumGroups = 128

  public private(set) var total = Tally()
  public private(set) var groups = Grouped<Group, Tally>(limit: maximumGroups)
  public private(set) var peers = Grouped<String, Tally>(limit: 64)
  public private(set) var timeline = Timeline()
  /// Those that say which rule of the policy let them pass.
  public private(set) var underDecision = Tally()

  init() {}

  mutating func add(_ record: AuditRecord, peer: AuditRecord.Peer?) {
    guard let label = record.message?.label else { return }
    let name = peer?.label ?? AuditRecord.Peer.unknownLabel
    total.add(record)
    groups.add(record, to: Group(kind: label.kind, stage: label.stage == label.kind ? nil : label.stage, peer: name))
    peers.add(record, to: name)
    timeline.add(record)
    if record.policy != nil { underDecision.add(record) }
  }
}

extension AuditRecord.Peer {
  static let unknownLabel = "unknown"

  /// The name that the handshake proved; else the one that was only claimed, and said so first, where a long name or
  /// one written from right to left cannot hide it; else the address.
  public var label: String {
    name?.value ?? claimedName.map { "claimed: \($0)" } ?? address ?? Self.unknownLabel
  }
}
