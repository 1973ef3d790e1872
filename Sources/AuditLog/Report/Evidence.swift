/// What a record can show to somebody who asks whether a control is met.
public enum Evidence: String, Sendable, CaseIterable {
  case messagesSent, messagesReceived, deliveries, receipts, maskedTerms, privacyCharges
  case handshakes, handshakeRefusals, connections, byteCounts
  case decisions, refusals, approvals, manifestChanges, keyChanges, acknowledgements
  case runsAndRounds, service, failures
  case cosignatures, witnessing, conflicts, openings, erasures, prunings
  case purposes, retentionClasses, actors, times, hashes

  public func isGiven(by record: AuditRecord) -> Bool {
    switch self {
    case .messagesSent: record.event == .messageSent
    case .messagesReceived: record.event == .messageReceived
    case .deliveries: record.event == .delivery
    case .receipts: record.receipt != nil
    case .maskedTerms: record.event == .messageSent && record.maskedInput != nil
    case .privacyCharges: record.event == .privacyCharge || record.maskedInput?.epsilonCharged != nil
    case .handshakes: record.event == .handshake
    case .handshakeRefusals: record.event == .handshakeRefused
    case .connections: record.event == .connectionClosed || record.event == .connectionTraffic
    case .byteCounts: record.traffic != nil
    case .decisions: record.policy != nil
    case .refusals: record.policy?.decision == .refused || record.event == .handshakeRefused
    case .approvals: record.event == .approval
    case .manifestChanges: record.event == .manifestChange
    case .keyChanges: record.event == .keyChange
    case .acknowledgements: record.event == .stateAcknowledged
    case .runsAndRounds: Self.isRunEvent(record.event)
    case .service: record.event == .serviceStarted || record.event == .serviceStopped || record.event == .stopped
    case .failures: record.error != nil
    case .cosignatures: record.event == .checkpointCosigned
    case .witnessing: record.event == .checkpointWitnessed
    case .conflicts: record.event == .checkpointConflict
    case .openings: Self.isOpening(record.event)
    case .erasures: record.event == .sealedSecretsErased
    case .prunings: record.event == .entriesPruned
    case .purposes: record.purpose != nil
    case .retentionClasses: record.retention != nil
    case .actors: record.actor != nil
    case .times: true
    case .hashes: record.message != nil
    }
  }

  private static func isRunEvent(_ event: AuditRecord.Event) -> Bool {
    event == .runStarted || event == .roundStarted || event == .roundCompleted || event == .runEnded
  }

  private static func isOpening(_ event: AuditRecord.Event) -> Bool {
    event == .openingRequested || event == .openingConsented || event == .maskedInputOpened
  }

  /// For the line "… records: 12, for instance entry 3".
  public var phrase: String {
    switch self {
    case .messagesSent: "messages sent, each with its recipient, size and SHA-256"
    case .messagesReceived: "messages received, each with its sender, size and SHA-256"
    case .deliveries: "records of what became of a message"
    case .receipts: "receipts of the other side, by entry of its own log"
    case .maskedTerms: "masked inputs with shape, masks and bounds"
    case .privacyCharges: "charges to the privacy budget"
    case .handshakes: "TLS handshakes with version, cipher and the peer's key"
    case .handshakeRefusals: "refused handshakes with the reason"
    case .connections: "ends and counters of connections"
    case .byteCounts: "counts of bytes by connection and type of frame"
    case .decisions: "decisions of the policy, with the rule"
    case .refusals: "refusals"
    case .approvals: "approvals, with who gave them"
    case .manifestChanges: "changes of the federation's manifest"
    case .keyChanges: "keys made or exchanged"
    case .acknowledgements: "explanations by the owner of a changed state"
    case .runsAndRounds: "starts and ends of runs and rounds"
    case .service: "starts and stops of the service"
    case .failures: "errors, with who is at fault"
    case .cosignatures: "cosignatures of witnesses on this log"
    case .witnessing: "checkpoints of other logs that this keeper cosigned"
    case .conflicts: "conflicts between histories"
    case .openings: "openings of a masked input for an auditor"
    case .erasures: "erasures of sealed secrets"
    case .prunings: "removals of old entries"
    case .purposes: "records that name a purpose"
    case .retentionClasses: "records that name a retention class"
    case .actors: "records that name the service or key that acted"
    case .times: "records with a UTC time"
    case .hashes: "records that fix the bytes of a message by hash"
    }
  }
}
