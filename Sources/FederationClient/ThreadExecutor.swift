@preconcurrency import Dispatch

/// Runs an actor's work on a thread that is not one of the few on which all other tasks wait for their turn.
final class ThreadExecutor: SerialExecutor {
  private let queue = DispatchQueue(label: "bauta.session")

  func enqueue(_ job: consuming ExecutorJob) {
    let job = UnownedJob(job)
    queue.async { job.runSynchronously(on: self.asUnownedSerialExecutor()) }
  }

  func asUnownedSerialExecutor() -> UnownedSerialExecutor { UnownedSerialExecutor(ordinary: self) }
}
