@preconcurrency import Dispatch
import Foundation

/// Calls back on signals, SIGTERM and SIGINT unless told, instead of letting them end the process.
final class Interruption: Sendable {
  private let sources: [any DispatchSourceSignal]

  init(_ signals: [Int32] = [SIGTERM, SIGINT], _ onSignal: @escaping @Sendable () -> Void) {
    sources = signals.map { number in
      signal(number, SIG_IGN)
      let source = DispatchSource.makeSignalSource(signal: number, queue: .global())
      source.setEventHandler(handler: onSignal)
      source.resume()
      return source
    }
  }

  func cancel() { for source in sources { source.cancel() } }
}
