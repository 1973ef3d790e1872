import AuditLog
import Federation

@testable import FederationClient

func record(_ server: any ServerExchange, _ recorded: consuming EgressRecorded) async throws {
  _ = try await server.exchange(recorded)
}

func lentRecord(_ server: any ServerExchange, _ recorded: borrowing EgressRecorded) async throws {
  _ = recorded.bytes
}

func untilAnswered(
  _ server: any ServerExchange, _ next: () throws -> EgressRecorded
) async throws -> [UInt8] {
  while true {
    let recorded = try next()
    if let answer = try? await server.exchange(recorded) { return answer }
  }
}

func decision(
  _ gate: EgressGate, _ plan: AcceptedPlan, _ one: consuming OutboundMessage, _ other: consuming OutboundMessage
) async throws {
  _ = try await gate.send(one, decision: plan.decision(for: .shareKeys), charge: .notPrivate())
  _ = try await gate.send(other, decision: plan.decision(for: .maskedInput), charge: .notPrivate())
}

func charge(
  _ gate: EgressGate, _ charge: consuming PrivacyCharge, _ otherCharge: consuming PrivacyCharge,
  _ one: consuming OutboundMessage, _ other: consuming OutboundMessage
) async throws {
  _ = try await gate.send(one, decision: .protocolControl(.poll), charge: charge)
  _ = try await gate.send(other, decision: .protocolControl(.poll), charge: otherCharge)
}

func message(_ gate: EgressGate, _ message: consuming OutboundMessage) async throws {
  // The gate itself sends a message again, each time under a record of its own.
  _ = try await gate.send(message, decision: .protocolControl(.poll), charge: .notPrivate())
}
