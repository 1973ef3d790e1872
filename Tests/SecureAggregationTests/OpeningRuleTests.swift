import Cryptography
import Testing

@testable import SecureAggregation

@Suite("How many of a sum may be opened")
struct OpeningRuleTests {
  @Test("Slots and quorums of small sums")
  func table() {
    let rows = [
      (4, 1, 2, 1, 3), (5, 1, 2, 2, 4), (3, 1, 2, 0, 3), (10, 3, 2, 5, 7), (10, 3, 5, 2, 7), (3, 0, 2, 1, 2),
      // Two honest members at least, whatever is asked for.
      (4, 1, 0, 1, 3),
    ]
    for (survivors, corrupt, honest, slots, quorum) in rows {
      let rule = OpeningRule(survivors: survivors, assumedCorrupt: corrupt, minimumHonest: honest)
      #expect(rule.slots == slots)
      #expect(rule.quorum == quorum)
    }
  }

  @Test("A member agrees to one organisation a slot, again if asked again, and to no slot beyond the bound")
  func consents() throws {
    let names = try (0..<5).map(organization)
    let rule = OpeningRule(survivors: 5, assumedCorrupt: 1, minimumHonest: 2)
    var consents = OpeningConsents(rule: rule)
    try consents.grant(slot: 1, to: names[0])
    try consents.grant(slot: 1, to: names[0])
    #expect(throws: OpeningRefusal.slotTaken(1, by: names[0])) { try consents.grant(slot: 1, to: names[1]) }
    #expect(try consents.slot(for: names[0]) == 1)
    #expect(try consents.slot(for: names[1]) == 2)
    for slot in [Int.min, -1, 0, 3, Int.max] {
      #expect(throws: OpeningRefusal.noSuchSlot(slot, rule)) { try consents.grant(slot: slot, to: names[1]) }
    }
    try consents.grant(slot: 2, to: names[1])
    #expect(throws: OpeningRefusal.noSuchSlot(3, rule)) { try consents.slot(for: names[2]) }
  }

  /// Those for whom a quorum can be shown, when the first n_c members agree to everything.
  private func opened(
    _ honest: [OpeningConsents], rule: OpeningRule, quorum: Int
  ) -> [Int: Set<OrganizationName>] {
    var opened: [Int: Set<OrganizationName>] = [:]
    for slot in 1...max(1, rule.slots) {
      for name in Set(honest.compactMap { $0.granted[slot] }) {
        let agreed = rule.assumedCorrupt + honest.count { $0.granted[slot] == name }
        if agreed >= quorum { opened[slot, default: []].insert(name) }
      }
    }
    return opened
  }

  @Test(
    "Whoever asks whom in whatever order: no slot has two openings, and the honest minimum stays", arguments: 0..<400)
  func randomOpeners(seed: UInt64) throws {
    var generator = SeededGenerator(seed: seed)
    let survivors = Int.random(in: 3...14, using: &generator)
    let corrupt = Int.random(in: 0...max(0, survivors - 3), using: &generator)
    let rule = OpeningRule(
      survivors: survivors, assumedCorrupt: corrupt,
      minimumHonest: Int.random(in: 2...max(2, survivors - corrupt), using: &generator))
    let names = try (0..<survivors).map(organization)
    var honest = (corrupt..<survivors).map { _ in OpeningConsents(rule: rule) }
    var openings = 0
    for _ in 0..<(20 * survivors) {
      // A corrupt server takes every request anywhere, and holds back what it likes.
      let opener = names[Int.random(in: 0..<survivors, using: &generator)]
      let slot = Int.random(in: 0...(rule.slots + 1), using: &generator)
      let asked = honest.indices.filter { _ in Bool.random(using: &generator) }
      for index in asked { try? honest[index].grant(slot: slot, to: opener) }
      let opened = opened(honest, rule: rule, quorum: rule.quorum)
      #expect(opened.values.allSatisfy { $0.count == 1 })
      #expect(opened.keys.allSatisfy { (1...max(1, rule.slots)).contains($0) })
      openings = opened.count
      #expect(openings == 0 || survivors - corrupt - openings >= rule.minimumHonest)
      #expect(openings <= rule.slots)
    }
  }

  @Test("One consent fewer would not do: halves of the honest with all corrupt members would each open one")
  func quorumIsLeast() throws {
    let rule = OpeningRule(survivors: 8, assumedCorrupt: 2, minimumHonest: 2)
    let names = try (0..<8).map(organization)
    var honest = (0..<6).map { _ in OpeningConsents(rule: rule) }
    for index in honest.indices { try honest[index].grant(slot: 1, to: names[index < 3 ? 0 : 1]) }
    #expect(opened(honest, rule: rule, quorum: rule.quorum).isEmpty)
    #expect(opened(honest, rule: rule, quorum: rule.quorum - 1)[1]?.count == 2)
  }
}
