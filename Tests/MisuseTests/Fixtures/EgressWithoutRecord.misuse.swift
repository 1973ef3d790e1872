import AuditLog
import FederationWire
import TransparencyLog

@testable import FederationClient
@testable import LogService

func bytes(_ server: any ServerExchange, _ payload: [UInt8]) async throws -> [UInt8] {
  // expected-error@+1 {{cannot convert value of type '[UInt8]' to expected argument type 'EgressRecorded'}}
  try await server.exchange(payload)
}

func message(_ server: any ServerExchange, _ message: consuming OutboundMessage) async throws -> [UInt8] {
  // expected-error@+1 {{cannot convert value of type 'OutboundMessage' to expected argument type 'EgressRecorded'}}
  try await server.exchange(message)
}

func onTheLink(_ link: ServerLink, _ payload: [UInt8]) async throws -> [UInt8] {
  // expected-error@+1 {{cannot convert value of type '[UInt8]' to expected argument type 'EgressRecorded'}}
  try await link.exchange(payload)
}

func forged(_ log: AuditLogWriter, _ draft: AuditRecord.Draft, _ label: MessageLabel, _ payload: [UInt8]) throws {
  // expected-error@+1 {{'EgressRecorded' initializer is inaccessible due to 'fileprivate' protection level}}
  _ = EgressRecorded.init
}

func afterwards(_ recorded: consuming EgressRecorded, _ payload: [UInt8]) -> EgressRecorded {
  // expected-error@+1 {{cannot assign to property: 'chunks' is a 'let' constant}}
  recorded.chunks = [payload]
  return recorded
}

func toAWitness(_ witness: WitnessClient, _ checkpoint: SignedCheckpoint) async throws -> Cosignature {
  // expected-error@+1 {{missing argument for parameter 'recording' in call}}
  try await witness.submit(checkpoint, proof: { (_) throws(TransparencyLogError) in nil })
}
