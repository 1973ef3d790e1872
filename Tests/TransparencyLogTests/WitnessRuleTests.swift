import Cryptography
import Foundation
import Testing
import TransparencyLog

@Suite struct WitnessRuleTests {
  private let log: TestLog
  /// Other entries from the sixth on.
  private let forked: TestLog
  private let held: WitnessState
  private let watched: WitnessedLog

  init() throws {
    log = try TestLog(12)
    forked = try TestLog(12, salt: "!", changedFrom: 5)
    held = WitnessState(latest: try log.checkpoint(8))
    watched = WitnessedLog(log.verifier)
  }

  private func request(
    _ old: UInt64, _ checkpoint: SignedCheckpoint, _ hashes: [TreeHash] = []
  ) throws -> WitnessRequest {
    try WitnessRequest(oldSize: old, hashes: hashes, checkpoint: checkpoint)
  }

  private func check(
    _ name: String, _ state: WitnessState, _ request: WitnessRequest, log: WitnessedLog? = nil,
    _ action: WitnessDecision.Action, next: WitnessState? = nil, _ suspicion: WitnessSuspicion? = nil
  ) {
    let decision = WitnessRule.decide(state, log: log ?? watched, request: request)
    #expect(decision.action == action, "\(name)")
    #expect(decision.next == next ?? state, "\(name)")
    #expect(decision.suspicion == suspicion, "\(name)")
  }

  @Test func cosigned() throws {
    let none = WitnessState()
    for size in [0, 1, 8] {
      let first = try log.request(from: 0, to: size)
      check("first, size \(size)", none, first, .cosign, next: WitnessState(latest: first.checkpoint))
    }
    let empty = WitnessState(latest: try log.checkpoint(0))
    let grown = try log.request(from: 0, to: 8)
    check("after the empty tree", empty, grown, .cosign, next: WitnessState(latest: grown.checkpoint))
    check("the empty tree again", empty, try log.request(from: 0, to: 0), .cosign)
    let next = try log.request(from: 8, to: 12)
    check("a longer tree", held, next, .cosign, next: WitnessState(latest: next.checkpoint))
    check("the same tree", held, try log.request(from: 8, to: 8), .cosign)
  }

  @Test func unknownLogsComeFirst() throws {
    let other = try TestLog(12, name: "birch.example")
    // Everything else is wrong with it too.
    let bad = try request(20, other.checkpoint(3, root: TreeHash(hashing: [1])))
    check("another origin", held, bad, .refuse(.unknownLog))
    let decision = WitnessRule.decide(held, log: nil, request: try log.request(from: 8))
    #expect(decision.action == .refuse(.unknownLog))
    #expect(decision.next == held)
  }

  @Test func signaturesComeSecond() throws {
    let stranger = try TestLog(12, seed: 2)
    check("a stranger's key", held, try request(20, stranger.checkpoint(3)), .refuse(.notSigned))
    // A key of the same name that is not trusted, and a valid one beside it: ignored.
    var both = try log.checkpoint()
    let line = try #require(stranger.checkpoint().note.signatures.first)
    var note = both.note
    try note.add(line)
    both = try SignedCheckpoint(parsing: note.serialized)
    let hashes = try log.request(from: 8).hashes
    check("with a stranger's line", held, try request(8, both, hashes), .cosign, next: WitnessState(latest: both))
    // A line that claims to be the trusted key's and is not, with the other trusted key's valid one.
    let first = try #require(try log.checkpoint(12).note.signatures.first)
    var forged = try SignedNote(text: both.note.text)
    try forged.add(NoteSignature(name: first.name, keyID: first.keyID, bytes: [UInt8](repeating: 1, count: 64)))
    try forged.add(line)
    let rotating = WitnessedLog(origin: watched.origin, keys: [log.verifier, stranger.verifier])
    let claimed = try request(8, SignedCheckpoint(parsing: forged.serialized), hashes)
    check("a false line", held, claimed, log: rotating, .refuse(.notSigned))
    check("a false line, one key", held, claimed, .refuse(.notSigned))
    // Either key of a log will do.
    let renewed = try request(8, stranger.checkpoint(), hashes)
    check("the next key", held, renewed, log: rotating, .cosign, next: WitnessState(latest: renewed.checkpoint))
    check("no keys", held, renewed, log: WitnessedLog(origin: watched.origin, keys: []), .refuse(.notSigned))
  }

  @Test func sizesComeThird() throws {
    check("an old size above the checkpoint's", held, try request(9, log.checkpoint(8)), .refuse(.badRequest))
    check("above a smaller checkpoint", held, try request(8, log.checkpoint(7)), .refuse(.badRequest))
    check("from nothing", held, try log.request(from: 0, to: 12), .conflict(size: 8))
    check("from less", held, try log.request(from: 7, to: 12), .conflict(size: 8))
    check("from more", held, try log.request(from: 9, to: 12), .conflict(size: 8))
    check("rolled back", held, try log.request(from: 5, to: 7), .conflict(size: 8))
    check("rolled back to nothing", held, try log.request(from: 0, to: 0), .conflict(size: 8))
    check("never seen", WitnessState(), try log.request(from: 3, to: 8), .conflict(size: 0))
  }

  @Test func proofsComeFourth() throws {
    let good = try log.request(from: 8, to: 12)
    func refused(_ name: String, _ hashes: [TreeHash]) throws {
      check(name, held, try request(8, good.checkpoint, hashes), .refuse(.notConsistent), .notConsistent)
    }
    try refused("no proof", [])
    try refused("a hash too many", good.hashes + [TreeHash(hashing: [1])])
    try refused("a hash too few", Array(good.hashes.dropLast()))
    for place in good.hashes.indices {
      var hashes = good.hashes
      hashes[place] = TreeHash(hashing: [1])
      try refused("hash \(place)", hashes)
    }
    check("another history", held, try forked.request(from: 8, to: 12), .refuse(.notConsistent), .notConsistent)
    let first = try request(0, log.checkpoint(8), [TreeHash(hashing: [1])])
    check("a proof from nothing", WitnessState(), first, .refuse(.notConsistent), .notConsistent)
    let empty = try request(0, log.checkpoint(0, root: TreeHash(hashing: [1])))
    check("an empty tree with a root", WitnessState(), empty, .refuse(.notConsistent), .notConsistent)
    let same = try request(8, log.checkpoint(8), [TreeHash(hashing: [1])])
    check("a proof for the same tree", held, same, .refuse(.notConsistent), .notConsistent)
  }

  @Test func equivocationIsAnAlarm() throws {
    check("same size, other root", held, try forked.request(from: 8, to: 8), .conflict(size: 8), .splitView)
    // Both signatures are evidence even where the request is wrong before that.
    check("with another old size", held, try forked.request(from: 0, to: 8), .conflict(size: 8), .splitView)
    check("with an old size above", held, try request(9, forked.checkpoint(8)), .refuse(.badRequest), .splitView)
    let proof = [TreeHash(hashing: [1])]
    check("with a proof", held, try request(8, forked.checkpoint(8), proof), .refuse(.notConsistent), .splitView)
    let empty = WitnessState(latest: try log.checkpoint(0))
    let other = try request(0, log.checkpoint(0, root: TreeHash(hashing: [1])))
    check("two empty trees", empty, other, .conflict(size: 0), .splitView)
    // What is not signed accuses nobody.
    let stranger = try TestLog(12, seed: 2, salt: "!")
    check("a stranger's", held, try stranger.request(from: 8, to: 8), .refuse(.notSigned))
  }
}
