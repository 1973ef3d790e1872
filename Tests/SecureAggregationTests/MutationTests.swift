import Cryptography
import Testing

@testable import SecureAggregation

/// Random alterations of bytes: bits, lengths, counts, fields exchanged, pieces of other messages put in.
struct Mutator {
  private let bytes: [UInt8]
  private let donors: [[UInt8]]
  /// Where a length or a count stands.
  private let lengths: [Int]

  init(_ bytes: [UInt8], donors: [[UInt8]]) {
    self.bytes = bytes
    self.donors = donors
    // Eight bytes big-endian, of which the first six are zero: nothing in a message of these cohorts is longer.
    var lengths: [Int] = []
    var zeros = 0
    for (index, byte) in bytes.enumerated() {
      zeros = byte == 0 ? zeros + 1 : 0
      if zeros >= 6, index + 2 < bytes.count, bytes[index + 2] != 0 || bytes[index + 1] != 0 {
        lengths.append(index - 5)
      }
    }
    self.lengths = lengths
  }

  private func length(at place: Int) -> Int { Int(bytes[place + 6]) << 8 | Int(bytes[place + 7]) }

  func mutated(using generator: inout SeededGenerator) -> [UInt8] {
    var output = bytes
    switch Int.random(in: 0..<9, using: &generator) {
    case 0:
      let place = Int.random(in: bytes.indices, using: &generator)
      output[place] ^= 1 << UInt8.random(in: 0..<8, using: &generator)
    case 1: output.removeLast(Int.random(in: 1...bytes.count, using: &generator))
    case 2:
      output += (0..<Int.random(in: 1...40, using: &generator)).map { _ in UInt8.random(in: 0...255, using: &generator)
      }
    case 3:
      guard let place = lengths.randomElement(using: &generator) else { break }
      let other: [UInt64] = [
        0, 1, UInt64(length(at: place)) &+ 1, UInt64(length(at: place)) &- 1, 1 << 31, .max, 1 << 63,
      ]
      let value = other.randomElement(using: &generator) ?? 0
      withUnsafeBytes(of: value.bigEndian) { output.replaceSubrange(place..<(place + 8), with: $0) }
    case 4: exchangeFields(&output, using: &generator)
    case 5:
      guard let donor = donors.randomElement(using: &generator) else { break }
      let shared = min(donor.count, bytes.count)
      let start = Int.random(in: 0..<shared, using: &generator)
      let end = min(shared, start + Int.random(in: 1...200, using: &generator))
      output.replaceSubrange(start..<end, with: donor[start..<end])
    case 6:
      let range = window(using: &generator)
      output.removeSubrange(range)
    case 7:
      let range = window(using: &generator)
      output.insert(contentsOf: bytes[range], at: range.upperBound)
    default:
      for index in window(using: &generator) { output[index] = UInt8.random(in: 0...255, using: &generator) }
    }
    return output
  }

  private func window(using generator: inout SeededGenerator) -> Range<Int> {
    let start = Int.random(in: bytes.indices, using: &generator)
    return start..<min(bytes.count, start + Int.random(in: 1...64, using: &generator))
  }

  /// Two fields of the same length change places, which keeps the encoding canonical.
  private func exchangeFields(_ output: inout [UInt8], using generator: inout SeededGenerator) {
    guard let first = lengths.randomElement(using: &generator) else { return }
    let count = length(at: first)
    let same = lengths.filter {
      length(at: $0) == count && abs($0 - first) >= 8 + count && $0 + 8 + count <= bytes.count
    }
    guard let second = same.randomElement(using: &generator), first + 8 + count <= bytes.count else { return }
    let (one, two) = (first + 8..<first + 8 + count, second + 8..<second + 8 + count)
    output.replaceSubrange(one, with: bytes[two])
    output.replaceSubrange(two, with: bytes[one])
  }
}

/// Whole rounds between honest machines, with altered messages of every kind thrown at them in every stage.
///
/// A machine refuses with a typed error that blames the sender and stays as it was, or what it accepts leads to the
/// same: in the end the sum is exact. Seeds fix the alterations; keys are fresh each time.
@Suite("Altered messages")
struct MutationTests {
  /// Seeds that failed once, tried before all others.
  private static let failingSeeds: [UInt64] = []

  @Test("On the complete graph", arguments: failingSeeds + Array(1...12))
  func complete(seed: UInt64) throws {
    var run = MutationRun(graph: .complete, seed: seed, cases: 24)
    try run.play()
    #expect(run.refused > 500)
  }

  @Test("On a k-regular graph", arguments: failingSeeds + Array(1...2))
  func regular(seed: UInt64) throws {
    var run = MutationRun(graph: .regular, seed: seed, cases: 60)
    try run.play()
    #expect(run.refused > 1000)
  }
}

private struct MutationRun {
  let graph: TestGraph
  let seed: UInt64
  let cases: Int
  var generator: SeededGenerator
  private(set) var refused = 0
  /// Members that were led away from the others, which can happen on a k-regular graph only.
  private var lost: Set<Int> = []
  private var liars: Set<OrganizationName> = []
  /// What a hostile party has at hand: every message of member 0 in a round of the same attempt and of another one.
  private var sameAttempt: [[UInt8]] = []
  private var otherAttempt: [[UInt8]] = []

  init(graph: TestGraph, seed: UInt64, cases: Int) {
    self.graph = graph
    self.seed = seed
    self.cases = cases
    generator = SeededGenerator(seed: seed)
  }

  private func messages(_ exchange: Exchange) throws -> [[UInt8]] {
    var messages: [[UInt8]] = []
    while !exchange.isOver {
      if exchange.server.stage != .advertiseKeys { messages.append(try exchange.delivered(to: 0).encoded()) }
      messages.append(try exchange.play(exchange.members.indices)[0].encoded())
    }
    return messages
  }

  mutating func play() throws {
    try VerificationMemo.$current.withValue(VerificationMemo()) { try playRound() }
  }

  private mutating func playRound() throws {
    sameAttempt = try messages(try graph.exchange())
    otherAttempt = try messages(try graph.exchange(binding: "attempt 2"))
    let exchange = try graph.exchange(seed: seed)
    var survivors: [Int] = []
    while !exchange.isOver {
      let present = exchange.members.indices.filter { !lost.contains($0) }
      if exchange.server.stage == .maskedInputCollection { survivors = present }
      let victims = Set(present.shuffled(using: &generator).prefix(2))
      for index in present {
        if victims.contains(index) {
          try attack(exchange, index)
        } else {
          try exchange.send(try exchange.answer(index), from: exchange.members[index].name)
        }
      }
      if exchange.server.stage == .maskedInputCollection { survivors.removeAll { lost.contains($0) } }
      try exchange.close()
    }
    #expect(graph == .regular || lost.isEmpty)
    try exchange.expectExactSum(of: survivors)
    #expect(exchange.server.blamed.isSubset(of: liars))
  }

  /// Every kind of thing at one member's machine, then, with what it answers, at the server.
  private mutating func attack(_ exchange: Exchange, _ index: Int) throws {
    let member = exchange.members[index]
    let clientStage = member.round.stage
    var answer: ClientRoundMessage?
    if exchange.server.stage != .advertiseKeys {
      let due = try exchange.delivered(to: index)
      let mutator = Mutator(due.encoded(), donors: otherAttempt)
      for number in 0..<cases where answer == nil {
        let bytes = hostileBytes(mutator, kind: due.kind)
        guard bytes != due.encoded() else { continue }
        do {
          let message = try ServerRoundMessage(decoding: bytes, context: exchange.context)
          #expect(message.encoded() == bytes, "seed \(seed), case \(number): another encoding")
          answer = try exchange.hand(message, to: index)
        } catch let error as AggregationError {
          expectClient(error, "\(clientStage), seed \(seed), case \(number)")
          #expect(member.round.stage == clientStage)
        }
      }
    }
    let honest = try answer ?? exchange.answer(index)
    try attackServer(exchange, index, with: honest)
  }

  private mutating func expectClient(_ error: AggregationError, _ place: String) {
    refused += 1
    switch error {
    case .misbehaviour(_, by: .server), .tooFewParticipants, .misuse(.wrongClientStage): break
    case .misbehaviour, .misuse, .parameters, .unrecoverable, .local, .spool: Issue.record("\(place): \(error)")
    }
  }

  /// An altered message of the kind that is due, or one of another kind or attempt, altered or not.
  private mutating func hostileBytes(_ mutator: Mutator, kind: MessageKind) -> [UInt8] {
    switch Int.random(in: 0..<8, using: &generator) {
    case 0:
      let others = sameAttempt.filter { MessageCoding.kind(of: $0) != kind }
      return others.randomElement(using: &generator) ?? []
    case 1: return otherAttempt.randomElement(using: &generator) ?? []
    case 2:
      let bytes = (sameAttempt + otherAttempt).randomElement(using: &generator) ?? []
      let other = MessageCoding.kind(of: bytes) != kind
      return other
        ? Mutator(bytes, donors: otherAttempt).mutated(using: &generator) : mutator.mutated(using: &generator)
    default: return mutator.mutated(using: &generator)
    }
  }

  private mutating func attackServer(_ exchange: Exchange, _ index: Int, with honest: ClientRoundMessage) throws {
    let name = exchange.members[index].name
    let stage = exchange.server.stage
    let answered = exchange.server.answered
    let body = exchange.bodies[name] ?? []
    let mutator = Mutator(honest.encoded(), donors: otherAttempt)
    for number in 0..<cases {
      let place = "\(stage), seed \(seed), case \(number)"
      var bytes = hostileBytes(mutator, kind: honest.kind)
      var otherBody = body
      if stage == .maskedInputCollection, number % 4 == 0, !body.isEmpty {
        // The message as it is, beside other bytes.
        bytes = honest.encoded()
        otherBody = Mutator(body, donors: [body.reversed()]).mutated(using: &generator)
      }
      guard bytes != honest.encoded() || otherBody != body else { continue }
      do {
        let message = try ClientRoundMessage(decoding: bytes, from: name, context: exchange.context)
        #expect(message.encoded() == bytes, "\(place): another encoding")
        try exchange.server.receive(message, body: otherBody, from: name)
        // Shares of a large cohort are not looked at when they come.
        #expect(graph == .regular && differsInSharesOnly(message, honest), "\(place): accepted")
        liars.insert(name)
        return
      } catch {
        refused += 1
        guard case .misbehaviour(_, by: .organization(name)) = error else {
          Issue.record("\(place): \(error)")
          continue
        }
        #expect(exchange.server.stage == stage && exchange.server.answered == answered, "\(place)")
        #expect(exchange.server.complaints.isEmpty && exchange.server.blamed.isEmpty, "\(place)")
      }
    }
    do {
      try exchange.send(honest, from: name)
    } catch let error as AggregationError {
      // Told other things about organisations it does not know, a member signs what the server does not take.
      let led = [PeerFault.survivorsMismatch(.maskedInput), .statementMismatch].map { exchange.blames($0, index) }
      #expect(graph == .regular && led.contains(error), "\(stage), seed \(seed): \(error)")
      lost.insert(index)
    }
  }

  private func differsInSharesOnly(_ message: ClientRoundMessage, _ honest: ClientRoundMessage) -> Bool {
    guard case .unmasking(var reply) = message, case .unmasking(let good) = honest,
      reply.entries.count == good.entries.count
    else { return false }
    for entry in good.entries.indices { reply.entries[entry].share = good.entries[entry].share }
    return reply == good
  }
}
