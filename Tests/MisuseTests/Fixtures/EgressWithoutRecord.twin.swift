import AuditLog
import FederationWire
import TransparencyLog

@testable import FederationClient
@testable import LogService

func bytes(_ server: any ServerExchange, _ recorded: consuming EgressRecorded) async throws -> [UInt8] {
  try await server.exchange(recorded)
}

func message(_ gate: EgressGate, _ message: consuming OutboundMessage) async throws -> [UInt8] {
  try await gate.send(message, decision: .protocolControl(.poll), charge: .notPrivate())
}

func onTheLink(_ link: ServerLink, _ recorded: consuming EgressRecorded) async throws -> [UInt8] {
  try await link.exchange(recorded)
}

func forged(_ log: AuditLogWriter, _ draft: AuditRecord.Draft, _ label: MessageLabel, _ payload: [UInt8]) throws {
  _ = try log.recordEgress(draft, message: label, payload: payload)
}

func afterwards(_ recorded: consuming EgressRecorded, _ payload: [UInt8]) -> EgressRecorded {
  _ = recorded.chunks == [payload]
  return recorded
}

func toAWitness(
  _ witness: WitnessClient, _ checkpoint: SignedCheckpoint, _ log: AuditLogWriter, _ label: MessageLabel
) async throws -> Cosignature {
  try await witness.submit(
    checkpoint,
    recording: { (body) throws(AuditLogError) in
      try log.recordEgress(.init(.messageSent), message: label, payload: body)
    }, proof: { (_) throws(TransparencyLogError) in nil })
}
