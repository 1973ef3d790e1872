import AuditLog
import Cryptography
import Federation
import Foundation
import SwiftProtobuf
import TransparencyLog

extension WitnessSubmission {
  var wire: Bauta_V1_Witness {
    .with {
      $0.checkpoint = Data(checkpoint.serialized)
      $0.oldSize = oldSize
      $0.proof = Wire.data(proof)
      $0.proofs = proofs.map { proof in
        .with {
          $0.size = proof.size
          $0.proof = Wire.data(proof.hashes)
        }
      }
      $0.given = given.map { given in
        .with {
          $0.origin = given.origin.value
          $0.cosignature = given.cosignature.wire
        }
      }
      $0.verified = verified
      $0.receipts = receipts
      $0.peers = peers.map { peer in
        .with {
          $0.origin = peer.origin.value
          $0.size = peer.size
        }
      }
    }
  }

  /// - Throws: ``WireError``: counts are checked before anything of a list is read.
  init(_ wire: Bauta_V1_Witness) throws(WireError) {
    try Wire.require(wire.proofs.count, atMost: WireLimits.wantedProofs, field: "proofs")
    try Wire.require(wire.given.count, atMost: WireLimits.cosignatures, field: "given")
    try Wire.require(wire.receipts.count, atMost: WireLimits.receipts, field: "receipts")
    try Wire.require(wire.peers.count, atMost: WireLimits.witnessedPeers, field: "peers")
    let checkpoint = try Wire.checkpoint(wire.checkpoint, maximum: WireLimits.checkpoint, field: "checkpoint")
    var proofs: [SizeProof] = []
    for proof in wire.proofs {
      proofs.append(SizeProof(size: proof.size, hashes: try Wire.hashes(proof.proof, field: "proofs")))
    }
    var given: [GivenCosignature] = []
    for one in wire.given {
      let cosignature = try SizedCosignature(one.cosignature, field: "given")
      given.append(
        GivenCosignature(
          origin: try Wire.name(one.origin, field: "given"), size: cosignature.size,
          cosignature: cosignature.cosignature))
    }
    var peers: [KnownSize] = []
    for peer in wire.peers {
      guard peer.size > 0 else { throw .invalid(field: "peers") }
      peers.append(KnownSize(origin: try Wire.name(peer.origin, field: "peers"), size: peer.size))
    }
    guard Wire.isAscending(proofs.map(\.size)) else { throw .invalid(field: "proofs") }
    guard Wire.isAscending(wire.receipts) else { throw .invalid(field: "receipts") }
    guard Wire.isAscending(peers.map(\.origin)) else { throw .invalid(field: "peers") }
    self.init(
      checkpoint: checkpoint, oldSize: wire.oldSize, proof: try Wire.hashes(wire.proof, field: "proof"),
      proofs: proofs, given: given, verified: wire.verified, receipts: wire.receipts, peers: peers)
  }
}

extension WitnessAnswer {
  var wire: Bauta_V1_Witnessed {
    .with {
      $0.cosignatures = cosignatures.map(\.wire)
      if let conflict {
        $0.conflict = .with { $0.held = Data(conflict.held?.serialized ?? []) }
      }
      $0.checkpoint = Data(checkpoint.serialized)
      $0.proof = Wire.data(proof)
      $0.inclusions = inclusions.map { inclusion in
        .with {
          $0.index = inclusion.index
          $0.proof = Wire.data(inclusion.hashes)
        }
      }
      $0.peers = peers.map { peer in
        .with {
          $0.checkpoint = Data(peer.checkpoint.serialized)
          $0.proof = Wire.data(peer.proof)
        }
      }
      $0.wanted = wanted
    }
  }

  init(_ wire: Bauta_V1_Witnessed) throws(WireError) {
    try Wire.require(wire.cosignatures.count, atMost: WireLimits.cosignatures, field: "cosignatures")
    try Wire.require(wire.inclusions.count, atMost: WireLimits.receipts, field: "inclusions")
    try Wire.require(wire.peers.count, atMost: WireLimits.answeredPeers, field: "peers")
    try Wire.require(wire.wanted.count, atMost: WireLimits.wantedProofs, field: "wanted")
    var cosignatures: [SizedCosignature] = []
    for line in wire.cosignatures { cosignatures.append(try SizedCosignature(line, field: "cosignatures")) }
    var conflict: WitnessConflict?
    if wire.hasConflict {
      let held = wire.conflict.held
      conflict = WitnessConflict(
        held: held.isEmpty ? nil : try Wire.checkpoint(held, maximum: WireLimits.checkpoint, field: "held"))
    }
    var inclusions: [IndexProof] = []
    for inclusion in wire.inclusions {
      inclusions.append(
        IndexProof(index: inclusion.index, hashes: try Wire.hashes(inclusion.proof, field: "inclusions")))
    }
    var peers: [PeerCheckpoint] = []
    for peer in wire.peers {
      peers.append(
        PeerCheckpoint(
          checkpoint: try Wire.checkpoint(peer.checkpoint, maximum: WireLimits.checkpoint, field: "peers"),
          proof: try Wire.hashes(peer.proof, field: "peers")))
    }
    guard Wire.isAscending(wire.wanted) else { throw .invalid(field: "wanted") }
    self.init(
      cosignatures: cosignatures, conflict: conflict,
      checkpoint: try Wire.checkpoint(
        wire.checkpoint, maximum: WireLimits.cosignedCheckpoint, field: "checkpoint"),
      proof: try Wire.hashes(wire.proof, field: "proof"), inclusions: inclusions, peers: peers, wanted: wire.wanted)
  }
}

extension SizedCosignature {
  fileprivate var wire: Bauta_V1_CosignatureLine {
    let line = cosignature.noteSignature
    return .with {
      $0.size = size
      $0.name = line.name.value
      $0.keyID = line.keyID.value
      $0.signature = Data(line.bytes)
    }
  }

  fileprivate init(_ wire: Bauta_V1_CosignatureLine, field: String) throws(WireError) {
    guard wire.signature.count == 72 else { throw .invalid(field: field) }
    do {
      let line = NoteSignature(
        name: try NoteKeyName(wire.name), keyID: NoteKeyID(wire.keyID), bytes: [UInt8](wire.signature))
      self.init(size: wire.size, cosignature: try Cosignature(line))
    } catch { throw .invalid(field: field) }
  }
}

extension Wire {
  fileprivate static func require(_ count: Int, atMost limit: Int, field: String) throws(WireError) {
    guard count <= limit else { throw .oversized(field: field, limit: limit) }
  }

  fileprivate static func data(_ hashes: [TreeHash]) -> Data {
    var data = Data(capacity: hashes.count * TreeHash.byteCount)
    for hash in hashes { data.append(contentsOf: hash.bytes) }
    return data
  }

  /// No proof of a tree of 64-bit size is longer.
  fileprivate static func hashes(_ data: Data, field: String) throws(WireError) -> [TreeHash] {
    let size = TreeHash.byteCount
    guard data.count <= WireLimits.proofHashes * size else {
      throw .oversized(field: field, limit: WireLimits.proofHashes)
    }
    guard data.count.isMultiple(of: size) else { throw .invalid(field: field) }
    let bytes = [UInt8](data)
    var hashes: [TreeHash] = []
    hashes.reserveCapacity(bytes.count / size)
    for start in stride(from: 0, to: bytes.count, by: size) {
      do { hashes.append(try TreeHash(bytes: bytes[start..<start + size])) } catch { throw .invalid(field: field) }
    }
    return hashes
  }

  fileprivate static func checkpoint(
    _ data: Data, maximum: Int, field: String
  ) throws(WireError) -> SignedCheckpoint {
    guard data.count <= maximum else { throw .oversized(field: field, limit: maximum) }
    do { return try SignedCheckpoint(parsing: [UInt8](data)) } catch { throw .invalid(field: field) }
  }

  fileprivate static func name(_ text: String, field: String) throws(WireError) -> OrganizationName {
    guard text.utf8.count <= WireLimits.organizationName else {
      throw .oversized(field: field, limit: WireLimits.organizationName)
    }
    do { return try OrganizationName(text) } catch { throw .invalid(field: field) }
  }

  fileprivate static func isAscending<Value: Comparable>(_ values: [Value]) -> Bool {
    zip(values, values.dropFirst()).allSatisfy { $0 < $1 }
  }
}
