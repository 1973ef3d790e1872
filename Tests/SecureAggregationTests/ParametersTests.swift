import Cryptography
import Testing

@testable import SecureAggregation

@Suite("Parameters and context")
struct ParametersTests {
  private func refused(_ field: ParameterFault.Field, _ change: (inout ParameterSet) -> Void) throws {
    var parameters = ParameterSet()
    change(&parameters)
    let made = parameters
    #expect(throws: AggregationError.parameters(.outOfRange(field))) { try made.make() }
  }

  private func group(_ name: String, count: Int = 1, bound: UInt64 = 1) -> CounterGroup {
    CounterGroup(name: name, count: count, bound: bound, isSigned: true)
  }

  @Test("Fields outside their range are refused")
  func ranges() throws {
    try refused(.tensorCount) { $0.tensorCount = -1 }
    try refused(.tensorCount) { $0.tensorCount = 1 << 28 + 1 }
    try refused(.bits) { $0.bits = 7 }
    try refused(.bits) { $0.bits = 33 }
    for clip in [0, -1, .nan, .infinity, 0x1p-41, 0x1p41] { try refused(.clip) { $0.clip = clip } }
    try refused(.counterCount) { $0.counters = [self.group("a", count: 0)] }
    try refused(.counterCount) { $0.counters = [self.group("a", count: 1 << 24), self.group("b")] }
    try refused(.counterName) { $0.counters = [self.group("")] }
    try refused(.counterName) { $0.counters = [self.group("two words")] }
    try refused(.counterBound) { $0.counters = [self.group("a", bound: 0)] }
    try refused(.counterBound) { $0.counters = [self.group("a", bound: 1 << 63)] }
    try refused(.dimension) { ($0.tensorCount, $0.counters) = (0, []) }
    try refused(.minimumCohort) { $0.minimumCohort = 1 }
    try refused(.minimumHonest) { $0.minimumHonest = 1 }
    try refused(.assumedCorrupt) { $0.assumedCorrupt = -1 }
    var twice = ParameterSet()
    twice.counters = [group("a"), group("a")]
    let made = twice
    #expect(throws: AggregationError.parameters(.duplicateCounter("a"))) { try made.make() }
  }

  private func context(
    _ count: Int, _ change: (inout ParameterSet) -> Void = { _ in }
  ) throws(AggregationError) -> AggregationContext {
    var parameters = ParameterSet()
    change(&parameters)
    var cohort: [CohortMember] = []
    for index in 0..<count {
      guard let name = try? organization(index) else { continue }
      cohort.append(CohortMember(name: name, identity: Identity().key.verifyingKey))
    }
    return try AggregationContext(
      binding: binding("x"), parameters: try parameters.make(), cohort: cohort,
      server: Identity().key.verifyingKey)
  }

  @Test(
    "Thresholds are those of the protocol", arguments: [(3, 1, 3), (4, 1, 3), (5, 1, 4), (10, 3, 7), (100, 20, 61)])
  func thresholds(count: Int, corrupt: Int, threshold: Int) throws {
    #expect(try context(count) { $0.assumedCorrupt = corrupt }.threshold == threshold)
  }

  @Test("Cohorts that are too small or too corrupt are refused")
  func cohorts() throws {
    for count in [0, 1, 2, 257] {
      #expect(throws: AggregationError.parameters(.cohortSize(count, allowed: 3...256))) { try self.context(count) }
    }
    #expect(throws: AggregationError.parameters(.thresholdTooLow(threshold: 3, assumedCorrupt: 2))) {
      try self.context(3) { $0.assumedCorrupt = 2 }
    }
    #expect(
      throws: AggregationError.parameters(.minimumExceedsCohort(.minimumCohort, required: 4, cohort: 3))
    ) { try self.context(3) { $0.minimumCohort = 4 } }
    #expect(
      throws: AggregationError.parameters(.minimumExceedsCohort(.minimumHonest, required: 4, cohort: 3))
    ) { try self.context(3) { $0.minimumHonest = 3 } }
  }

  @Test("Names and keys that repeat are refused, the server's among them")
  func repetitions() throws {
    let keys = (0..<4).map { _ in Identity().key.verifyingKey }
    let names = try (0..<3).map(organization)
    func make(_ cohort: [CohortMember], server: IdentityVerifyingKey) throws {
      _ = try AggregationContext(
        binding: binding("x"), parameters: try ParameterSet().make(), cohort: cohort, server: server)
    }
    func member(_ name: Int, _ key: Int) -> CohortMember { CohortMember(name: names[name], identity: keys[key]) }
    try make([member(0, 0), member(1, 1), member(2, 2)], server: keys[3])
    #expect(throws: AggregationError.parameters(.duplicateName(names[1]))) {
      try make([member(0, 0), member(1, 1), member(1, 2)], server: keys[3])
    }
    #expect(throws: AggregationError.parameters(.duplicateIdentity(names[0], names[2]))) {
      try make([member(0, 0), member(1, 1), member(2, 0)], server: keys[3])
    }
    #expect(throws: AggregationError.parameters(.serverIdentityInCohort(names[1]))) {
      try make([member(0, 0), member(1, 1), member(2, 2)], server: keys[1])
    }
  }

  @Test("The scale is the largest power of two that cannot wrap", arguments: [8, 9, 13, 20, 31, 32])
  func scale(bits: Int) throws {
    for (count, clip) in [(3, 1.0), (5, 0.3), (10, 3.999), (25, 1000), (100, 0x1p-40)] {
      let context = try context(count) {
        $0.bits = bits
        $0.clip = clip
      }
      let limit = Double(1 << (bits - 1))
      func largest(_ scale: Double) -> Double { Double(count) * (clip * scale).rounded(.up) }
      #expect(largest(context.scale) < limit)
      #expect(largest(context.scale * 2) >= limit)
      #expect(context.scale.significand == 1)
    }
  }

  @Test("Parameters that wrap are refused")
  func wrap() throws {
    #expect(throws: AggregationError.parameters(.tensorsWrap(members: 128, bits: 8))) {
      try self.context(128) { $0.bits = 8 }
    }
    #expect(throws: Never.self) { try self.context(127) { $0.bits = 8 } }
    let bound: UInt64 = 1 << 61
    #expect(throws: AggregationError.parameters(.counterWraps("a"))) {
      try self.context(4) { $0.counters = [self.group("a", bound: bound)] }
    }
    #expect(throws: Never.self) { try self.context(4) { $0.counters = [self.group("a", bound: bound - 1)] } }
  }

  @Test("The digest changes with every part, and not with the order of the cohort")
  func digest() throws {
    let keys = (0..<6).map { _ in Identity().key.verifyingKey }
    let names = try (0..<5).map(organization)
    let cohort = zip(names, keys).map { CohortMember(name: $0, identity: $1) }
    func digest(
      _ text: String = "x", cohort other: [CohortMember]? = nil, server: Int = 5,
      _ change: (inout ParameterSet) -> Void = { _ in }
    ) throws -> ContextDigest {
      var parameters = ParameterSet()
      change(&parameters)
      return try AggregationContext(
        binding: binding(text), parameters: try parameters.make(), cohort: other ?? cohort, server: keys[server]
      ).digest
    }
    let reference = try digest()
    #expect(try digest(cohort: cohort.reversed()) == reference)
    var others: [ContextDigest] = [
      try digest("y"), try digest(cohort: Array(cohort.dropLast())),
      try digest(cohort: cohort.dropLast() + [CohortMember(name: names[4], identity: keys[5])], server: 4),
    ]
    let changes: [(inout ParameterSet) -> Void] = [
      { $0.tensorCount += 1 }, { $0.bits += 1 }, { $0.clip *= 2 }, { $0.rounding = .stochastic },
      { $0.counters[0].bound += 1 }, { $0.counters[0].count += 1 }, { $0.counters[0].isSigned = true },
      { $0.counters[0].name = "rows" }, { $0.counters.removeLast() }, { $0.generator = .chacha20 },
      { $0.minimumCohort += 1 }, { $0.minimumHonest += 1 }, { $0.assumedCorrupt = 0 },
    ]
    for change in changes { others.append(try digest { change(&$0) }) }
    #expect(Set(others + [reference]).count == others.count + 1)
  }
}
