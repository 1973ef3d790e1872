import AuditLog
import Cryptography
import Testing
import TransparencyLog

@Suite struct LogFiguresTests {
  @Test func countsMessagesByKindAndDestination() throws {
    var log = try ReportFixture()
    try log.send("hello", bytes: 100, at: 1000)
    try log.send("masked-input", bytes: 5000, at: 2000)
    try log.send("masked-input", bytes: 5000, at: 3000, resendOf: 1)
    try log.send("hello", bytes: 7, to: "other.example", at: 4000)
    let sent = log.figures.sent
    #expect(sent.total.count == 4)
    #expect(sent.total.bytes == 10_107)
    #expect(sent.total.resent == 1)
    let groups = Dictionary(
      uniqueKeysWithValues: sent.groups.groups.map { ("\($0.key.kind) \($0.key.peer)", $0.value.bytes) })
    #expect(groups == ["hello hub.example": 100, "hello other.example": 7, "masked-input hub.example": 10_000])
    #expect(sent.groups.sorted.first?.key.kind == "masked-input")
    #expect(sent.groups.others == nil)
    #expect(sent.peers.groups["hub.example"]?.count == 3)
    #expect(sent.total.first?.entry == 0)
    #expect(sent.total.last?.entry == 3)
    #expect(log.figures.received.total.count == 0)
  }

  /// 10,000 records whose sums a formula knows.
  @Test func aLongLogHasTheSumsThatItMustHave() throws {
    var log = try ReportFixture()
    let kinds = ["hello", "poll", "masked-input", "unmasking"]
    for index in 0..<10_000 { try log.send(kinds[index % 4], bytes: index % 10, at: Int64(index) * 1000) }
    let sent = log.figures.sent
    #expect(sent.total.bytes == 45_000)
    #expect(sent.total.count == 10_000)
    let intervals = sent.timeline.intervals
    #expect(intervals.count <= Timeline.maximumIntervals)
    var bytes: [String: UInt64] = [:]
    var messages: UInt64 = 0
    for (kind, amount) in intervals.flatMap(\.amounts) {
      bytes[kind, default: 0] += amount.bytes
      messages += amount.messages
    }
    #expect(messages == 10_000)
    // i mod 4 = 0 and 2 leave even lengths, 0 2 4 6 8, mod 4 = 1 and 3 the odd ones, each length equally often.
    #expect(bytes == ["hello": 10_000, "poll": 12_500, "masked-input": 10_000, "unmasking": 12_500])
  }

  @Test func groupsBeyondTheLimitAreCountedTogether() throws {
    var log = try ReportFixture()
    for index in 0..<1000 { try log.send("kind-\(index)", bytes: 2, at: 1000) }
    let groups = log.figures.sent.groups
    #expect(groups.groups.count == 128)
    #expect(groups.others?.count == 872)
    #expect(groups.others?.bytes == 1744)
    let timeline = log.figures.sent.timeline
    #expect(timeline.kinds.count == 25)
    #expect(timeline.intervals[0].amounts[""]?.messages == 976)
  }

  @Test func termsTakeTheSizeOfTheSumFromLaterRecords() throws {
    var log = try ReportFixture()
    for round in 1...2 {
      try log.send("masked-input", bytes: 100, at: Int64(round)) { draft in
        draft.run = "r"
        draft.round = round
        draft.task = "fit"
        draft.attempt = 1
        draft.cohortSizes = .init(u2: 6 - round)
        draft.maskedInput = .init(dimension: 50, counters: 3, bits: 32, masks: 6 - round, clip: AuditDecimal("8.0"))
      }
    }
    try log.add(.roundCompleted, at: 3) { draft in
      draft.run = "r"
      draft.round = 1
      draft.task = "fit"
      draft.attempt = 1
      draft.cohortSizes = .init(u2: 5, u3: 3)
    }
    let terms = log.figures.terms
    #expect(terms.total.count == 2)
    #expect(terms.recent.elements.map(\.u2) == [5, 4])
    #expect(terms.recent.elements.map(\.u3) == [3, nil])
    #expect(terms.smallestU2 == 4)
    #expect(terms.smallestU3 == 3)
    #expect(terms.fewestMasks == 4)
    #expect(terms.withCommitment == 0)
    #expect(terms.protections.groups.count == 2)
  }

  @Test func chargesCountOnceAndAgainOnlyWhenTheyAreOthers() throws {
    func charge(_ charged: String, _ total: String) -> AuditRecord.MaskedInput {
      .init(
        dimension: 1, counters: 0, bits: 32, masks: 2, epsilonCharged: AuditDecimal(charged),
        epsilonTotal: AuditDecimal(total))
    }
    var messages = try ReportFixture()
    try messages.send("masked-input", bytes: 1, at: 1) { $0.maskedInput = charge("0.5", "0.5") }
    try messages.send("masked-input", bytes: 1, at: 2, resendOf: 0) { $0.maskedInput = charge("0.5", "0.5") }
    try messages.send("masked-input", bytes: 1, at: 3) { $0.maskedInput = charge("0.25", "0.75") }
    #expect(messages.figures.privacy.ledger.count == 2)
    #expect(messages.figures.privacy.ledger.sum == 0.75)
    #expect(messages.figures.privacy.ledger.last?.total?.text == "0.75")

    var charged = messages
    try charged.add(.privacyCharge, at: 4) { $0.maskedInput = charge("0.125", "0.875") }
    #expect(charged.figures.privacy.ledger.count == 1)
    #expect(charged.figures.privacy.ledger.sum == 0.125)
  }

  @Test func aLongCurveKeepsItsEnds() throws {
    var log = try ReportFixture()
    for index in 1...5000 {
      try log.add(.privacyCharge, at: Int64(index)) { draft in
        draft.maskedInput = .init(
          dimension: 1, counters: 0, bits: 32, masks: 2, epsilonCharged: AuditDecimal("1"),
          epsilonTotal: AuditDecimal("\(index)"))
      }
    }
    let ledger = log.figures.privacy.ledger
    #expect(ledger.count == 5000)
    #expect(ledger.sum == 5000)
    #expect(ledger.curve.count <= 258)
    #expect(ledger.curve.first?.total?.text == "1")
    #expect(ledger.curve.last?.total?.text == "5000")
    let totals = ledger.curve.compactMap { $0.total?.value }
    #expect(totals == totals.sorted())
  }

  @Test func refusalsAreCountedWithThoseThatWereSummedUp() throws {
    var log = try ReportFixture("hub.example")
    for index in 0..<5 {
      try log.add(.handshakeRefused, at: Int64(index)) { draft in
        draft.source = .init(claimedName: "mallory", address: "10.0.0.1:\(index)")
        draft.error = .init(code: index < 3 ? "untrusted" : "expired", blame: .peer)
      }
    }
    try log.add(.handshakeRefused, at: 9) {
      $0.suppressed = .init(count: 1000, first: nil, last: nil, addresses: 12)
    }
    try log.add(.handshake, at: 10) { draft in
      draft.source = .init(name: try OrganizationName("alder.example"))
      draft.handshake = .init(version: "TLSv1.3", cipher: "c", group: "g")
    }
    let handshakes = log.figures.handshakes
    #expect(handshakes.refused.count == 5)
    #expect(handshakes.allRefusals == 1005)
    #expect(handshakes.summedUp.mostAddresses == 12)
    #expect(handshakes.refusalCodes.sorted.map { "\($0.key.code) \($0.value.count)" } == ["untrusted 3", "expired 2"])
    #expect(handshakes.refusedPeers.groups["claimed: mallory"]?.count == 5)
    #expect(handshakes.established.count == 1)
  }

  @Test func bytesOfConnectionsStandBesideTheirMessages() throws {
    func traffic(data: UInt64) -> AuditRecord.Traffic {
      // 24 + 9 + data: one DATA frame.
      .init(plaintextBytes: 33 + data, frames: [.data: .init(frames: 1, bytes: data)], headerLists: 0)
    }
    var log = try ReportFixture()
    let exporter = SHA256Digest(hashing: [7])
    let peer = AuditRecord.Peer(name: try OrganizationName("hub.example"), exporter: exporter)
    try log.send("hello", bytes: 100, at: 1)
    try log.send("poll", bytes: 20, at: 2)
    try log.add(.connectionTraffic, at: 3) { draft in
      draft.destination = peer
      draft.traffic = traffic(data: 130)
    }
    let open = try #require(log.figures.connections.unclosed.first)
    #expect(log.figures.connections.unclosed.count == 1)
    #expect(open.sent.count == 2)
    #expect(open.sent.bytes == 120)
    #expect(open.traffic == traffic(data: 130))
    try log.add(.connectionClosed, at: 4) { draft in
      draft.destination = peer
      draft.traffic = traffic(data: 137)
    }
    let connections = log.figures.connections
    #expect(connections.unclosed.isEmpty)
    #expect(connections.closed.elements.first?.traffic == traffic(data: 137))
    #expect(connections.closed.elements.first?.sent.bytes == 120)
    #expect(connections.closedPlaintextBytes == 170)
  }

  @Test func stepsOfTheClockBackwardsAreCounted() throws {
    var log = try ReportFixture()
    for time: Int64 in [1000, 5000, 2000, 3000, 2900] { try log.add(.stopped, at: time) }
    #expect(log.figures.clockSetBack.count == 2)
    #expect(log.figures.clockSetBack.first?.entry == 2)
    #expect(log.figures.longestSetBack == 3000)
    #expect(log.figures.earliest?.milliseconds == 1000)
    #expect(log.figures.latest?.milliseconds == 5000)
  }

  /// Sums end at what every reader of JSON can hold, whatever a log claims.
  @Test func hostileSumsDoNotWrapAround() throws {
    var log = try ReportFixture("hub.example")
    for time in 0..<3 {
      try log.add(.handshakeRefused, at: Int64(time)) {
        $0.suppressed = .init(count: (1 << 53) - 1, first: nil, last: nil, addresses: (1 << 53) - 1)
      }
    }
    #expect(log.figures.handshakes.allRefusals == (1 << 53) - 1)
    #expect(throws: Never.self) { try CanonicalJSON(parsing: log.figures.json.serialized) }
  }

  @Test func everyEventIsCountedAndSpeaksToSomeEvidence() throws {
    for event in AuditRecord.Event.allCases {
      var log = try ReportFixture()
      let full = try ReportFixture.everyField(event)
      try log.add(event, at: 1000) { $0 = full }
      let figures = log.figures
      #expect(figures.count(event) == 1)
      #expect(figures.json.text.contains("\"\(event.rawValue)\":{\"bytes\":3,\"count\":1"))
      #expect(!event.meaning.isEmpty)
      var bare = try ReportFixture()
      try bare.add(event, at: 1000) { if event == .policyDecision { $0.policy = .init(.allowed, rule: "r") } }
      let speaking = Evidence.allCases.filter { $0 != .times && $0.isGiven(by: bare.records[0]) }
      #expect(!speaking.isEmpty, "\(event)")
    }
  }

  @Test func everyEvidenceIsUsedByAControl() {
    #expect(Set(Control.all.flatMap(\.evidence)) == Set(Evidence.allCases))
    for control in Control.all {
      #expect(!control.evidence.isEmpty)
      #expect(!control.notAnswered.isEmpty)
    }
    #expect(Set(Control.all.map { $0.framework + $0.reference }).count == Control.all.count)
  }
}

@Suite struct RecentTests {
  @Test func keepsTheLastOnesInOrder() {
    var recent = Recent<Int>(limit: 3)
    for number in 1...3 { recent.append(number) }
    #expect(recent.elements == [1, 2, 3])
    #expect(recent.omitted == 0)
    for number in 4...7 { recent.append(number) }
    #expect(recent.elements == [5, 6, 7])
    #expect(recent.total == 7)
    #expect(recent.omitted == 4)
  }
}

@Suite struct TimelineTests {
  /// Whatever the times, nothing is lost and the picture stays small.
  @Test(arguments: [
    [0, 1, 2], [0, 253_402_300_799_999], [1_772_357_400_000, 1_772_357_400_009], [5, 5, 5],
    [253_402_300_799_999, 0, 1_772_357_400_000, 86_400_000],
  ])
  func everyPeriodFits(_ times: [Int64]) throws {
    var log = try ReportFixture()
    for time in times { try log.send("poll", bytes: 3, at: time) }
    let timeline = log.figures.sent.timeline
    let intervals = timeline.intervals
    #expect((1...Timeline.maximumIntervals).contains(intervals.count))
    #expect(intervals.flatMap(\.amounts).reduce(0) { $0 + $1.value.messages } == UInt64(times.count))
    for time in times {
      let holds = intervals.contains { interval in
        (interval.start.milliseconds..<interval.start.milliseconds + timeline.width).contains(time)
          && !interval.amounts.isEmpty
      }
      #expect(holds, "\(time)")
    }
  }
}
