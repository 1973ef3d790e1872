import Cryptography
import Testing

@testable import SecureAggregation

@Suite("Near survivor sets")
struct NearSetsTests {
  private let all = ["alder", "birch", "cedar", "dogwood", "elm", "fir"]
  private let rule = NearSetRule(assumedCorrupt: 1, budget: 2, days: 30)

  private func opening(
    _ names: [String], model: UInt8, run: String = "one", task: String = "fit", round: UInt64 = 1, day: Int64 = 0,
    dataSet: String = "claims"
  ) throws -> SignedOpening {
    SignedOpening(
      dataSet: dataSet, run: run, task: task, round: round,
      survivors: Set(try names.map { try OrganizationName("\($0).example") }), model: ModelHash(hashing: [model]),
      time: day * 86_400)
  }

  @Test("The same set again is never near")
  func sameSet() throws {
    let first = try opening(all, model: 1)
    let again = try opening(all, model: 1, run: "two")
    #expect(try rule.judge(again, history: [first]) == again)
  }

  @Test("One or two members more or less with the same model is refused and names them", arguments: [1, 2])
  func sameModel(_ count: Int) throws {
    let first = try opening(all, model: 1)
    let fewer = try opening(Array(all.dropLast(count)), model: 1, run: "two")
    let names = try all.suffix(count).map { try OrganizationName("\($0).example") }
    #expect(throws: NearSetRefusal.sameModel(differing: names, task: "fit")) {
      try rule.judge(fewer, history: [first])
    }
    #expect(throws: NearSetRefusal.sameModel(differing: names, task: "fit")) {
      try rule.judge(first, history: [fewer])
    }
  }

  @Test("More than n_c + 1 members apart is not near; with the same model it is refused all the same")
  func farApart() throws {
    let first = try opening(all, model: 1)
    let far = try opening(Array(all.dropLast(3)), model: 2, run: "two")
    #expect(try rule.judge(far, history: [first]) == far)
    let same = try opening(Array(all.dropLast(3)), model: 1, run: "two")
    let names = try all.suffix(3).map { try OrganizationName("\($0).example") }
    #expect(throws: NearSetRefusal.sameModel(differing: names, task: "fit")) {
      try rule.judge(same, history: [first])
    }
  }

  /// S₃ + S₄ − S₁ − S₂ over these sets is twice the term of one organisation, though no two of them are near.
  @Test("Four sums that are far apart and together single one organisation out are not opened")
  func combination() throws {
    let ten = (0..<10).map { "org\($0)" }
    var history: [SignedOpening] = []
    for (run, absent) in [[1, 2, 3], [1, 4, 5], [2, 4], [3, 5]].enumerated() {
      let survivors = ten.indices.filter { !absent.contains($0) }.map { ten[$0] }
      let proposed = try opening(survivors, model: 1, run: "run \(run)")
      for earlier in history {
        #expect(earlier.survivors.symmetricDifference(proposed.survivors).count > rule.assumedCorrupt + 1)
      }
      if history.isEmpty {
        _ = try rule.judge(proposed, history: history)
      } else {
        #expect(throws: NearSetRefusal.self) { try rule.judge(proposed, history: history) }
      }
      history.append(proposed)
    }
  }

  @Test("Other data and other tasks are not compared")
  func otherData() throws {
    let first = try opening(all, model: 1)
    let elsewhere = try opening(Array(all.dropLast()), model: 1, run: "two", dataSet: "other")
    #expect(try rule.judge(elsewhere, history: [first]) == elsewhere)
    let evaluation = try opening(Array(all.dropLast()), model: 1, task: "evaluate")
    #expect(try rule.judge(evaluation, history: [first]) == evaluation)
  }

  @Test("Attempts at one opening are not compared with each other")
  func attempts() throws {
    let first = try opening(all, model: 1)
    let retry = try opening(Array(all.dropLast()), model: 1)
    #expect(try rule.judge(retry, history: [first]) == retry)
  }

  @Test("Near with another model is charged until the budget is spent, and again once days have passed")
  func budget() throws {
    var history = [try opening(all, model: 0, run: "zero")]
    for run in 1...2 {
      let near = try opening(Array(all.dropLast()), model: UInt8(run), run: "run-\(run)")
      let judged = try rule.judge(near, history: history)
      #expect(judged == near.charged)
      history.append(judged)
    }
    let third = try opening(Array(all.dropLast()), model: 3, run: "run-3")
    let fir = try OrganizationName("fir.example")
    #expect(throws: NearSetRefusal.budgetSpent(differing: [fir], budget: 2, days: 30)) {
      try rule.judge(third, history: history)
    }
    let later = try opening(Array(all.dropLast()), model: 3, run: "run-3", day: 31)
    #expect(try rule.judge(later, history: history) == later.charged)
  }

  @Test("Consecutive openings of one run with the same set are charged once")
  func consecutive() throws {
    var history = [
      try opening(all, model: 1), try opening(all, model: 2, task: "evaluate"),
    ]
    let steps: [(task: String, round: UInt64, model: UInt8)] = [
      ("fit", 2, 2), ("evaluate", 2, 3), ("fit", 3, 3), ("evaluate", 3, 4),
    ]
    for step in steps {
      let near = try opening(Array(all.dropLast()), model: step.model, task: step.task, round: step.round)
      history.append(try rule.judge(near, history: history))
    }
    #expect(history.count { $0.isCharged } == 1)
  }

  @Test("A row of openings with one set that begins away from any other is charged once it comes near")
  func lateCharge() throws {
    let fewer = Array(all.dropLast())
    var history = [
      try opening(fewer, model: 0, task: "statistics"), try opening(all, model: 1), try opening(all, model: 2),
    ]
    let statistics = try opening(fewer, model: 0, run: "two", task: "statistics")
    #expect(try rule.judge(statistics, history: history) == statistics)
    history.append(statistics)
    let fit = try opening(fewer, model: 7, run: "two")
    #expect(try rule.judge(fit, history: history) == fit.charged)
  }

  @Test("After a loss every row of openings is charged until the days have passed, and then refused by its own name")
  func lostHistory() throws {
    var history: [SignedOpening] = []
    for run in 1...2 {
      for round in UInt64(1)...2 {
        let next = try opening(all, model: UInt8(run) * 10 + UInt8(round), run: "run-\(run)", round: round, day: 3)
        let judged = try rule.judge(next, history: history, lostAt: 86_400)
        #expect(judged.isCharged == (round == 1))
        history.append(judged)
      }
    }
    let third = try opening(all, model: 33, run: "run-3", day: 4)
    #expect(throws: NearSetRefusal.historyLost(budget: 2, days: 30)) {
      try rule.judge(third, history: history, lostAt: 86_400)
    }
    #expect(try rule.judge(third, history: history) == third)
    let later = try opening(all, model: 33, run: "run-3", day: 32)
    #expect(try rule.judge(later, history: history, lostAt: 86_400) == later)
    // A set that is known to be near with the same model is refused as before.
    let near = try opening(Array(all.dropLast()), model: 22, run: "run-3", round: 2, day: 4)
    #expect(throws: NearSetRefusal.sameModel(differing: [try OrganizationName("fir.example")], task: "fit")) {
      try rule.judge(near, history: history, lostAt: 86_400)
    }
  }

  @Test("A spent budget does not let the set come back by another run")
  func noWayRound() throws {
    let none = NearSetRule(assumedCorrupt: 1, budget: 0, days: 30)
    let first = try opening(all, model: 1)
    let near = try opening(Array(all.dropLast()), model: 2, run: "two")
    #expect(throws: NearSetRefusal.self) { try none.judge(near, history: [first]) }
  }
}
