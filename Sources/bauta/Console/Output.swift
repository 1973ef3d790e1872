import Foundation
import Synchronization

/// Where a command writes: text for people, JSON for scripts.
///
/// A reader that goes away early (`bauta audit list | head`) is not an error: what follows is dropped. Every other
/// failed write is remembered, and ``finish()`` throws it, so that a full disk never looks like success.
final class Output: Sendable {
  static let standard = Output(descriptor: STDOUT_FILENO)
  static let error = Output(descriptor: STDERR_FILENO)

  /// Whether a person reads it at a terminal.
  let isTerminal: Bool
  private let style: TextStyle
  private let descriptor: Int32
  private let state = Mutex(State())

  private struct State {
    var pending: [UInt8] = []
    var failure: Int32?
  }

  private static let bufferSize = 1 << 16

  init(descriptor: Int32) {
    self.descriptor = descriptor
    isTerminal = isatty(descriptor) == 1
    style = TextStyle(isTerminal: isTerminal, environment: ProcessInfo.processInfo.environment)
  }

  /// One line. At a terminal it appears at once; in a pipe or file, with the next 64 KiB or at the end.
  func line(_ text: StyledText = "") {
    write(Array((text.rendered(style) + "\n").utf8))
  }

  /// One JSON value on a line of its own.
  func json(_ value: JSONValue) { write(Array((value.text + "\n").utf8)) }

  /// Columns, aligned.
  func table(_ table: Table) {
    for row in table.lines { line(row) }
  }

  func write(_ bytes: [UInt8]) {
    state.withLock { state in
      guard state.failure == nil else { return }
      state.pending += bytes
      if isTerminal || state.pending.count >= Self.bufferSize { flush(&state) }
    }
  }

  /// False once a write has failed: nobody reads any more, and waiting for something to write is in vain.
  var hasReader: Bool { state.withLock { $0.failure == nil } }

  /// Writes what is pending: before waiting for something, so that progress is seen.
  func flush() { state.withLock { flush(&$0) } }

  /// Writes what is pending and says whether everything arrived.
  ///
  /// - Throws: ``CommandError/outputFailed(_:)``, but not for a reader that went away.
  func finish() throws(CommandError) {
    flush()
    if let failure = state.withLock({ $0.failure }), failure != EPIPE {
      throw .outputFailed(reason: String(cString: strerror(failure)))
    }
  }

  private func flush(_ state: inout State) {
    let bytes = state.pending
    state.pending.removeAll(keepingCapacity: true)
    var written = 0
    while written < bytes.count, state.failure == nil {
      let count = bytes.withUnsafeBytes { space in
        Foundation.write(descriptor, space.baseAddress?.advanced(by: written), space.count - written)
      }
      if count >= 0 { written += count } else if errno != EINTR && errno != EAGAIN { state.failure = errno }
    }
  }
}
