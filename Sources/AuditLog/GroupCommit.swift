import Foundation

/// Lets those who wait for the disk share one fsync: the first runs it, those who come meanwhile share the next.
final class GroupCommit: @unchecked Sendable {
  // Unchecked: both variables are read and written only while `condition` is locked.
  private let condition = NSCondition()
  private var synchronized: UInt64
  private var isBusy = false

  /// - Parameter synchronized: how many entries are known to be on disk.
  init(synchronized: UInt64) {
    self.synchronized = synchronized
  }

  /// Returns when the first `size` entries are on disk.
  ///
  /// - Parameter synchronize: brings the journal to disk and says how many entries it then has there; called by one thread
  ///   at a time.
  func wait(
    for size: UInt64, _ synchronize: () throws(AuditLogError) -> UInt64
  ) throws(AuditLogError) {
    condition.lock()
    defer { condition.unlock() }
    while synchronized < size {
      if isBusy {
        condition.wait()
        continue
      }
      isBusy = true
      condition.unlock()
      let result = Result { () throws(AuditLogError) in try synchronize() }
      condition.lock()
      isBusy = false
      condition.broadcast()
      synchronized = max(synchronized, try result.get())
    }
  }

  /// Runs `body` while no fsync does, and none begins.
  func withoutSynchronizing<Value>(_ body: () throws(AuditLogError) -> Value) throws(AuditLogError) -> Value {
    condition.lock()
    while isBusy { condition.wait() }
    isBusy = true
    condition.unlock()
    defer {
      condition.lock()
      isBusy = false
      condition.broadcast()
      condition.unlock()
    }
    return try body()
  }
}

/// A value that one thread at a time uses, for many that want it at once.
///
/// `Synchronization.Mutex` spins before it sleeps, which for dozens of writers on few cores costs more than their work.
final class Guarded<Value>: @unchecked Sendable {
  // Unchecked: the value is used only while `lock` is held.
  private let lock = NSLock()
  private var value: Value

  init(_ value: sending Value) {
    self.value = value
  }

  func withLock<Result, Failure: Error>(_ body: (inout Value) throws(Failure) -> Result) throws(Failure) -> Result {
    lock.lock()
    defer { lock.unlock() }
    return try body(&value)
  }
}
