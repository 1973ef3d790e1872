import Dispatch
import SecureAggregation
import Synchronization

/// Cores that work on organisations at the same time.
struct Workers: Sendable {
  let count: Int

  /// Calls `body` once with every item, at most `count` at a time, under `memo`.
  ///
  /// The memo is bound in every call, because a value bound to a task does not follow Dispatch to its threads.
  /// - Throws: what `body` threw for the first item that failed; items not begun by then are left out.
  func forEach<Item: Sendable>(
    _ items: [Item], memo: VerificationMemo?, _ body: @Sendable (Item) throws -> Void
  ) throws {
    let next = Atomic<Int>(0)
    let failure = Mutex<(index: Int, error: any Error)?>(nil)
    withoutActuallyEscaping(body) { body in
      DispatchQueue.concurrentPerform(iterations: min(count, items.count)) { _ in
        while failure.withLock({ $0 == nil }) {
          let index = next.wrappingAdd(1, ordering: .relaxed).oldValue
          guard index < items.count else { return }
          do {
            try VerificationMemo.$current.withValue(memo) { try body(items[index]) }
          } catch {
            failure.withLock { first in
              if index < first?.index ?? .max { first = (index, error) }
            }
          }
        }
      }
    }
    if let failure = failure.withLock({ $0?.error }) { throw failure }
  }

  /// The values of `body` for all items, in their order.
  func map<Item: Sendable, Value: Sendable>(_ items: [Item], _ body: @Sendable (Item) -> Value) -> [Value] {
    let values = Mutex<[Value?]>(Array(repeating: nil, count: items.count))
    let next = Atomic<Int>(0)
    withoutActuallyEscaping(body) { body in
      DispatchQueue.concurrentPerform(iterations: min(count, items.count)) { _ in
        while true {
          let index = next.wrappingAdd(1, ordering: .relaxed).oldValue
          guard index < items.count else { return }
          let value = body(items[index])
          values.withLock { $0[index] = value }
        }
      }
    }
    return values.withLock { $0.compactMap { $0 } }
  }
}
