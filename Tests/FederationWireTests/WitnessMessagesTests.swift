import AuditLog
import Cryptography
import Federation
import Foundation
import Testing
import TransparencyLog

@testable import FederationWire

@Suite("Witness messages on the wire")
struct WitnessMessagesTests {
  private let alder = try? OrganizationName("alder.example")

  private func checkpoint(_ size: UInt64, signers: Int = 0) throws -> SignedCheckpoint {
    var checkpoint = try SignedCheckpoint.signing(
      origin: #require(alder), size: size, root: TreeHash(hashing: [UInt8(size & 0xFF)]), key: LogSigningKey.generate())
    for index in 0..<signers {
      try checkpoint.add(cosignature(checkpoint, name: "organisation-number-\(1000 + index).example"))
    }
    return checkpoint
  }

  private func cosignature(_ checkpoint: SignedCheckpoint, name: String = "birch.example") throws -> Cosignature {
    try Cosignature(
      of: checkpoint.checkpoint, name: OrganizationName(name), key: WitnessSigningKey.generate(), time: 1_800_000_000)
  }

  private func hashes(_ count: Int) -> [TreeHash] { (0..<count).map { TreeHash(hashing: [UInt8($0)]) } }

  private func submission() throws -> WitnessSubmission {
    let checkpoint = try checkpoint(9)
    return WitnessSubmission(
      checkpoint: checkpoint, oldSize: 4, proof: hashes(3),
      proofs: [SizeProof(size: 0, hashes: []), SizeProof(size: 7, hashes: hashes(63))],
      given: [GivenCosignature(origin: try #require(alder), size: 9, cosignature: try cosignature(checkpoint))],
      verified: 1 << 40, receipts: [0, 3, 1 << 40],
      peers: [
        KnownSize(origin: try OrganizationName("birch.example"), size: 1),
        KnownSize(origin: try OrganizationName("cedar.example"), size: 1 << 50),
      ])
  }

  private func answer() throws -> WitnessAnswer {
    let checkpoint = try checkpoint(9)
    return WitnessAnswer(
      cosignatures: [SizedCosignature(size: 9, cosignature: try cosignature(checkpoint))],
      conflict: WitnessConflict(held: checkpoint), checkpoint: try self.checkpoint(20, signers: 3), proof: hashes(5),
      inclusions: [IndexProof(index: 3, hashes: hashes(2))],
      peers: [PeerCheckpoint(checkpoint: checkpoint, proof: hashes(1))], wanted: [1, 2])
  }

  private func parse(_ submission: WitnessSubmission) throws -> ClientMessage {
    try ClientMessage(
      parsing: ClientMessage(identifier: .random(), run: nil, answers: 1, body: .witness(submission)).encoded())
  }

  private func parse(_ answer: WitnessAnswer) throws -> ServerMessage {
    try ServerMessage(
      parsing: ServerMessage(instruction: 1, receipt: nil, body: .witnessed(answer)).encoded(), run: nil)
  }

  @Test("Both read back as they were written, empty or full")
  func roundTrip() throws {
    let full = try submission()
    #expect(try parse(full).body == .witness(full))
    #expect(try parse(full).kind == "witness")
    let bare = WitnessSubmission(checkpoint: try checkpoint(0))
    #expect(try parse(bare).body == .witness(bare))
    let reply = try answer()
    #expect(try parse(reply).body == .witnessed(reply))
    for conflict in [nil, WitnessConflict(held: nil)] {
      let empty = WitnessAnswer(conflict: conflict, checkpoint: try checkpoint(1))
      #expect(try parse(empty).body == .witnessed(empty))
    }
  }

  @Test("An answer with everything at its limit is shorter than a part")
  func largest() throws {
    // Notes and names as long as they are taken.
    let line = try cosignature(checkpoint(1), name: String(repeating: "a", count: 50) + ".example")
    let long = try checkpoint(1, signers: 22)
    #expect((3000...4096).contains(long.serialized.count))
    let largest = WitnessAnswer(
      cosignatures: [SizedCosignature](
        repeating: SizedCosignature(size: .max, cosignature: line), count: WireLimits.cosignatures),
      conflict: WitnessConflict(held: long), checkpoint: try checkpoint(1, signers: 200), proof: hashes(64),
      inclusions: (0..<UInt64(WireLimits.receipts)).map { IndexProof(index: .max - $0, hashes: hashes(64)) },
      peers: [PeerCheckpoint](
        repeating: PeerCheckpoint(checkpoint: long, proof: hashes(64)), count: WireLimits.answeredPeers),
      wanted: (0..<UInt64(WireLimits.wantedProofs)).map { $0 + (1 << 60) })
    let bytes = try ServerMessage(instruction: .max, receipt: nil, body: .witnessed(largest)).encoded()
    #expect(bytes.count < WireLimits.partBytes)
    #expect(try ServerMessage(parsing: bytes, run: nil).body == .witnessed(largest))
  }

  private func refused(_ what: String, _ change: (inout WitnessSubmission) throws -> Void) throws -> WireError? {
    var submission = try submission()
    try change(&submission)
    return refusal { _ = try parse(submission) }
  }

  private func refused(answer what: String, _ change: (inout WitnessAnswer) throws -> Void) throws -> WireError? {
    var answer = try answer()
    try change(&answer)
    return refusal { _ = try parse(answer) }
  }

  private func refusal(_ parse: () throws -> Void) -> WireError? {
    do { try parse() } catch { return error as? WireError }
    return nil
  }

  @Test("A submission beyond its bounds or out of order is refused by the field")
  func hostileSubmissions() throws {
    let birch = try OrganizationName("birch.example")
    let line = try GivenCosignature(origin: birch, size: 1, cosignature: cosignature(checkpoint(1)))
    let table: [(WireError, (inout WitnessSubmission) throws -> Void)] = [
      (.oversized(field: "proofs", limit: 64), { $0.proofs = (0..<65).map { SizeProof(size: $0, hashes: []) } }),
      (.oversized(field: "given", limit: 128), { $0.given = .init(repeating: line, count: 129) }),
      (.oversized(field: "receipts", limit: 64), { $0.receipts = Array(0..<65) }),
      (
        .oversized(field: "peers", limit: Manifest.maximumOrganizations),
        {
          $0.peers = try (0...Manifest.maximumOrganizations).map {
            KnownSize(origin: try OrganizationName("org-\(1000 + $0).example"), size: 1)
          }
        }
      ),
      (.oversized(field: "proof", limit: 64), { $0.proof = hashes(65) }),
      (.oversized(field: "proofs", limit: 64), { $0.proofs = [SizeProof(size: 1, hashes: hashes(65))] }),
      (.oversized(field: "checkpoint", limit: 4096), { $0.checkpoint = try checkpoint(1, signers: 40) }),
      (.invalid(field: "receipts"), { $0.receipts = [2, 1] }),
      (.invalid(field: "receipts"), { $0.receipts = [1, 1] }),
      (.invalid(field: "proofs"), { $0.proofs = [SizeProof(size: 2, hashes: []), SizeProof(size: 1, hashes: [])] }),
      (.invalid(field: "peers"), { $0.peers = $0.peers.reversed() }),
      (.invalid(field: "peers"), { $0.peers = [KnownSize(origin: birch, size: 0)] }),
    ]
    for (error, change) in table { #expect(try refused("\(error)", change) == error) }
  }

  @Test("An answer beyond its bounds or out of order is refused by the field")
  func hostileAnswers() throws {
    let line = try SizedCosignature(size: 1, cosignature: cosignature(checkpoint(1)))
    let peer = PeerCheckpoint(checkpoint: try checkpoint(1), proof: [])
    let table: [(WireError, (inout WitnessAnswer) throws -> Void)] = [
      (.oversized(field: "cosignatures", limit: 128), { $0.cosignatures = .init(repeating: line, count: 129) }),
      (
        .oversized(field: "inclusions", limit: 64),
        { $0.inclusions = (0..<65).map { IndexProof(index: $0, hashes: []) } }
      ),
      (.oversized(field: "inclusions", limit: 64), { $0.inclusions = [IndexProof(index: 0, hashes: hashes(65))] }),
      (.oversized(field: "peers", limit: 32), { $0.peers = .init(repeating: peer, count: 33) }),
      (.oversized(field: "wanted", limit: 64), { $0.wanted = Array(0..<65) }),
      (.oversized(field: "proof", limit: 64), { $0.proof = hashes(65) }),
      (.oversized(field: "checkpoint", limit: 32768), { $0.checkpoint = try checkpoint(1, signers: 300) }),
      (.oversized(field: "held", limit: 4096), { $0.conflict = WitnessConflict(held: try checkpoint(1, signers: 40)) }),
      (.invalid(field: "wanted"), { $0.wanted = [2, 1] }),
    ]
    for (error, change) in table { #expect(try refused(answer: "\(error)", change) == error) }
  }

  @Test("Pieces of another form are refused: cut hashes, lines of another length, notes that are none")
  func malformedPieces() throws {
    func witness(_ change: (inout Bauta_V1_Witness) -> Void) throws -> WireError? {
      let message = try ClientMessage(identifier: .random(), run: nil, answers: 1, body: .witness(submission()))
      var envelope = try Bauta_V1_ClientEnvelope(serializedBytes: message.encoded())
      change(&envelope.witness)
      let bytes: [UInt8] = try envelope.serializedBytes()
      return refusal { _ = try ClientMessage(parsing: bytes) }
    }
    #expect(try witness { _ in } == nil)
    #expect(try witness { $0.proof.removeLast() } == .invalid(field: "proof"))
    #expect(try witness { $0.checkpoint = Data("no note\n".utf8) } == .invalid(field: "checkpoint"))
    #expect(try witness { $0.checkpoint = Data() } == .invalid(field: "checkpoint"))
    #expect(try witness { $0.given[0].cosignature.signature.removeLast() } == .invalid(field: "given"))
    #expect(try witness { $0.given[0].cosignature.signature = Data(count: 72) } == .invalid(field: "given"))
    #expect(try witness { $0.given[0].cosignature.name = "two words" } == .invalid(field: "given"))
    #expect(try witness { $0.given[0].origin = "" } == .invalid(field: "given"))
    #expect(try witness { $0.peers[0].origin = "NOT A NAME" } == .invalid(field: "peers"))
    #expect(
      try witness { $0.peers[0].origin = String(repeating: "a", count: 300) }
        == .oversized(field: "peers", limit: 253))
  }
}
