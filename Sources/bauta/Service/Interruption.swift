@preconcurrency import Dispatch
import Foundation

/// Calls back on SIGTERM and SIGINT (and on SIGHUP, to read files again) instead of letting them end the process.
final class Interruption: Sendable {
  private let sources: [any DispatchSourceSignal]

  init(onReload: (@Sendable () -> Void)? = nil, _ onSignal: @escaping @Sendable () -> Void) {
    var handlers = [(SIGTERM, onSignal), (SIGINT, onSignal)]
    if let onReload { handlers.append((SIGHUP, onReload)) }
    sources = handlers.map { number, handler in
      signal(number, SIG_IGN)
      let source = DispatchSource.makeSignalSource(signal: number, queue: .global())
      source.setEventHandler(handler: handler)
      source.resume()
      return source
    }
  }

  func cancel() { for source in sources { source.cancel() } }
}
