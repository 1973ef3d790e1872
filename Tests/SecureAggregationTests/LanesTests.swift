import Synchronization
import Testing

@testable import SecureAggregation

@Suite("Lanes")
struct LanesTests {
  private struct Refused: Error, Equatable { let index: Int }

  private static let lanes = [1, 2, 3, 64].map { Lanes(count: $0) }

  @Test("Their number is 1…64")
  func clamping() {
    #expect([Int.min, 0, 1, 2, 64, 65, .max].map { Lanes(count: $0).count } == [1, 1, 1, 2, 64, 64, 64])
    #expect(Lanes.one == Lanes(count: 1))
  }

  @Test("Every index is worked on once, by no more lanes than there are", arguments: lanes)
  func once(lanes: Lanes) {
    for count in [0, 1, 2, 5, 1000] {
      let calls = Mutex([Int](repeating: 0, count: count))
      let running = Atomic<Int>(0)
      let most = Atomic<Int>(0)
      let states = Atomic<Int>(0)
      func makeState() { states.add(1, ordering: .relaxed) }
      lanes.forEach(count, state: makeState) { index, _ in
        let now = running.wrappingAdd(1, ordering: .sequentiallyConsistent).newValue
        most.max(now, ordering: .sequentiallyConsistent)
        calls.withLock { $0[index] += 1 }
        running.subtract(1, ordering: .sequentiallyConsistent)
      }
      #expect(calls.withLock { $0.allSatisfy { $0 == 1 } })
      #expect(most.load(ordering: .relaxed) <= lanes.count)
      #expect(states.load(ordering: .relaxed) <= min(lanes.count, count))
    }
  }

  @Test("One lane goes in order")
  func order() {
    var seen: [Int] = []
    Lanes.one.forEach(100) { seen.append($0) }
    #expect(seen == Array(0..<100))
  }

  @Test("A map keeps the order and throws the failure of the lowest index", arguments: lanes)
  func map(lanes: Lanes) throws {
    #expect(try lanes.map(500) { Result<Int, Refused>.success($0 * $0) } == (0..<500).map { $0 * $0 })
    #expect(lanes.map(0) { Result<Int, Never>.success($0) }.isEmpty)
    #expect(throws: Refused(index: 123)) {
      try lanes.map(500) { $0 % 200 == 123 ? .failure(Refused(index: $0)) : Result<Int, Refused>.success($0) }
    }
  }
}
