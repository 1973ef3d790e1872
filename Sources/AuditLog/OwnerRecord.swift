public import Cryptography

/// What the owner of a directory decided outside a run: keys made or exchanged, manifests made or approved.
///
/// A command records it by itself, or, while a service holds the log, by asking that service: hence the form as text.
public struct OwnerRecord: Sendable, Equatable {
  public static let events: Set<AuditRecord.Event> = [.keyChange, .manifestChange, .approval]

  public let event: AuditRecord.Event
  public let federation: String?
  public let manifest: ManifestHash?
  /// Who approved, for an approval.
  public let approver: String?
  /// In the owner's words: one line, at most 1,024 bytes.
  public let reason: String?

  public init(
    _ event: AuditRecord.Event, federation: String? = nil, manifest: ManifestHash? = nil, approver: String? = nil,
    reason: String? = nil
  ) {
    self.event = event
    self.federation = federation
    self.manifest = manifest
    self.approver = approver
    self.reason = reason
  }

  /// From the arguments of a request.
  ///
  /// - Returns: nil for an event that no owner decides, or a manifest hash that is none.
  public init?(arguments: [String: String]) {
    guard let event = arguments["event"].flatMap(AuditRecord.Event.init), Self.events.contains(event) else {
      return nil
    }
    var manifest: ManifestHash?
    if let text = arguments["manifest"] {
      guard let hash = try? ManifestHash(hexadecimal: text) else { return nil }
      manifest = hash
    }
    self.init(
      event, federation: arguments["federation"], manifest: manifest, approver: arguments["approver"],
      reason: arguments["reason"])
  }

  public var arguments: [String: String] {
    var arguments = ["event": event.rawValue]
    arguments["federation"] = federation
    arguments["manifest"] = manifest?.hexadecimal
    arguments["approver"] = approver
    arguments["reason"] = reason
    return arguments
  }

  /// The record, made by the command or by the service in its place.
  public func draft(actor: AuditRecord.Actor) -> AuditRecord.Draft {
    var draft = AuditRecord.Draft(event)
    draft.actor = actor
    draft.federation = federation
    draft.manifest = manifest
    draft.approver = approver
    draft.reason = reason
    draft.outcome = .succeeded
    return draft
  }
}
