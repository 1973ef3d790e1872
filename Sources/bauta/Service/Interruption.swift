@preconcurrency import Dispatch
import Foundation

/// Calls back on SIGTERM and SIGINT instead of letting them end the process.
final class Interruption: Sendable {
  private let sources: [any DispatchSourceSignal]

  init(_ onSignal: @escaping @Sendable () -> Void) {
    sources = [SIGTERM, SIGINT].map { number in
      signal(number, SIG_IGN)
      let source = DispatchSource.makeSignalSource(signal: number, queue: .global())
      source.setEventHandler(handler: onSignal)
      source.resume()
      return source
    }
  }

  func cancel() { for source in sources { source.cancel() } }
}
