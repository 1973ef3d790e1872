import AuditLog
import Federation

@testable import FederationClient

// expected-error@+1 {{'recorded' consumed more than once}}
func record(_ server: any ServerExchange, _ recorded: consuming EgressRecorded) async throws {
  // expected-note@+1 {{consumed here}}
  _ = try await server.exchange(recorded)
  // expected-note@+1 {{consumed again here}}
  _ = try await server.exchange(recorded)
}

// expected-error@+1 {{'recorded' is borrowed and cannot be consumed}}
func lentRecord(_ server: any ServerExchange, _ recorded: borrowing EgressRecorded) async throws {
  // expected-note@+1 {{consumed here}}
  _ = try await server.exchange(recorded)
}

// expected-error@+1 {{'recorded' consumed in a loop}}
func untilAnswered(_ server: any ServerExchange, _ recorded: consuming EgressRecorded) async -> [UInt8] {
  while true {
    // expected-note@+1 {{consumed here}}
    if let answer = try? await server.exchange(recorded) { return answer }
  }
}

func decision(
  // expected-error@+1 {{'decision' consumed more than once}}
  _ gate: EgressGate, _ decision: consuming PolicyDecision, _ one: consuming OutboundMessage,
  _ other: consuming OutboundMessage
) async throws {
  // expected-note@+1 {{consumed here}}
  _ = try await gate.send(one, decision: decision, charge: .notPrivate())
  // expected-note@+1 {{consumed again here}}
  _ = try await gate.send(other, decision: decision, charge: .notPrivate())
}

func charge(
  // expected-error@+1 {{'charge' consumed more than once}}
  _ gate: EgressGate, _ charge: consuming PrivacyCharge, _ one: consuming OutboundMessage,
  _ other: consuming OutboundMessage
) async throws {
  // expected-note@+1 {{consumed here}}
  _ = try await gate.send(one, decision: .protocolControl(.poll), charge: charge)
  // expected-note@+1 {{consumed again here}}
  _ = try await gate.send(other, decision: .protocolControl(.poll), charge: charge)
}

// expected-error@+1 {{'message' consumed more than once}}
func message(_ gate: EgressGate, _ message: consuming OutboundMessage) async throws {
  // expected-note@+1 {{consumed here}}
  _ = try await gate.send(message, decision: .protocolControl(.poll), charge: .notPrivate())
  // expected-note@+1 {{consumed again here}}
  _ = try await gate.send(message, decision: .protocolControl(.poll), charge: .notPrivate())
}
