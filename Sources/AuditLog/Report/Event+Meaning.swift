extension AuditRecord.Event {
  /// What it means that this is on the record, for somebody who does not know the program.
  public var meaning: String {
    switch self {
    case .messageSent: "A message was handed over to be sent: recorded, and on disk, before its first byte left."
    case .messageReceived: "A message arrived."
    case .delivery: "What became of a message that was sent, as the answer of the other side tells it."
    case .handshake: "A connection was made, and both sides proved who they are."
    case .handshakeRefused: "A connection was refused."
    case .connectionClosed: "A connection ended."
    case .connectionTraffic: "What had been written to a connection that was still open."
    case .policyDecision: "The organisation's own policy allowed or refused something."
    case .approval: "The owner approved a version of the federation's manifest."
    case .manifestChange: "A version of the federation's manifest was made or taken over."
    case .keyChange: "A key was made or exchanged."
    case .privacyCharge: "The privacy budget was charged, before what it pays for could leave."
    case .runStarted: "A run began."
    case .roundStarted: "A round of a run began."
    case .roundCompleted: "A round ended with a sum."
    case .runEnded: "A run ended."
    case .stopped: "Something ended early, or was refused; the error says why."
    case .serviceStarted: "The service started."
    case .serviceStopped: "The service stopped."
    case .stateAcknowledged: "The owner said why the organisation's state is not the one that the log knows."
    case .checkpointCosigned: "A witness confirmed this log: its cosignature of a checkpoint arrived."
    case .checkpointWitnessed: "This keeper, as a witness, confirmed a checkpoint of another's log."
    case .checkpointConflict: "Two histories of one log do not fit together: somebody has to find out why."
    case .openingRequested: "An auditor asked to have a masked input opened; nothing is unsealed yet."
    case .openingConsented: "This keeper agreed that a masked input is opened."
    case .maskedInputOpened: "A masked input was opened for an auditor and held against the logs."
    case .sealedSecretsErased: "Secrets of masked inputs were erased: their window is over."
    case .entriesPruned: "Entries below a boundary are no longer kept; their hashes are."
    }
  }
}
