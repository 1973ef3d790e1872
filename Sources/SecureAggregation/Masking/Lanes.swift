import Dispatch
import Synchronization

/// How many cores a computation may use.
///
/// The caller knows the machine and what else runs on it; this module does not ask. Results never depend on it.
public struct Lanes: Sendable, Hashable {
  /// 1…64.
  public let count: Int

  /// `count`, or the nearest number in 1…64.
  public init(count: Int) { self.count = min(max(count, 1), 64) }

  /// Everything on the calling thread.
  public static let one = Lanes(count: 1)

  /// Calls `body` once with every index below `count`, at most as many at a time as there are lanes.
  ///
  /// Indices are handed out in ascending order; with one lane the calls come in that order on the calling thread.
  /// Returns when all calls have. Nothing checks that `body` may run on several threads at a time.
  func forEach(_ count: Int, _ body: (Int) -> Void) {
    forEach(count, state: {}, { index, _ in body(index) })
  }

  /// As above, with something that each lane makes before its first index and keeps to its last.
  ///
  /// A lane takes its next index only when it is done with the last: the one that has the lowest index under work
  /// is always running, so lanes may wait for the lanes of lower indices.
  func forEach<State: ~Copyable>(
    _ count: Int, state makeState: () -> State, _ body: (Int, inout State) -> Void
  ) {
    guard count > 0 else { return }
    guard self.count > 1, count > 1 else {
      var state = makeState()
      for index in 0..<count { body(index, &state) }
      return
    }
    let next = Atomic<Int>(0)
    withoutActuallyEscaping(makeState) { makeState in
      withoutActuallyEscaping(body) { body in
        // Dispatch wants closures that are checked; these are the caller's responsibility, as said above.
        nonisolated(unsafe) let (makeState, body) = (makeState, body)
        DispatchQueue.concurrentPerform(iterations: min(self.count, count)) { _ in
          var index = next.wrappingAdd(1, ordering: .relaxed).oldValue
          guard index < count else { return }
          var state = makeState()
          while index < count {
            body(index, &state)
            index = next.wrappingAdd(1, ordering: .relaxed).oldValue
          }
        }
      }
    }
  }

  /// The values of `body` for every index below `count`, in the order of the indices.
  ///
  /// - Throws: The failure of the lowest index that failed; the others are worked on all the same.
  func map<T, E: Error>(_ count: Int, _ body: (Int) -> Result<T, E>) throws(E) -> [T] {
    var results = [Result<T, E>?](repeating: nil, count: max(count, 0))
    results.withUnsafeMutableBufferPointer { results in
      // Every index is written by one lane, and read only after all have ended.
      let results = results
      forEach(count) { results[$0] = body($0) }
    }
    var values: [T] = []
    values.reserveCapacity(results.count)
    for result in results {
      if let result { values.append(try result.get()) }
    }
    return values
  }
}

/// A number of words cut into runs of the same length, the last one shorter.
struct WordRuns {
  let wordCount: Int
  let length: Int

  var count: Int { (wordCount + length - 1) / length }

  subscript(index: Int) -> Range<Int> { (index * length)..<min((index + 1) * length, wordCount) }
}
