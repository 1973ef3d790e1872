import FederationSimulation
import Foundation
import SecureAggregation
import Synchronization

/// Says how far a simulation is: on one line that is written over at a terminal, in a line every few seconds elsewhere.
final class SimulationDisplay: Sendable {
  private struct State {
    var last: ContinuousClock.Instant
    var isShown = false
  }

  private let output: Output
  private let interval: Duration
  private let beginning = ContinuousClock.now
  private let state: Mutex<State>

  init(output: Output) {
    self.output = output
    interval = output.isTerminal ? .milliseconds(100) : .seconds(5)
    state = Mutex(State(last: .now))
  }

  func show(_ progress: SimulationProgress) {
    let now = ContinuousClock.now
    state.withLock { state in
      guard now - state.last >= interval else { return }
      state.last = now
      state.isShown = true
      let elapsed = Figures.decimals((now - beginning) / .seconds(1), 1)
      var text = progress.rounds > 1 ? "round \(progress.round) of \(progress.rounds), " : ""
      if progress.attempt > 1 { text += "attempt \(progress.attempt), " }
      text += "\(progress.stage.rawValue): \(Figures.grouped(progress.done)) of \(Figures.grouped(progress.total)), "
      text += "\(elapsed) s"
      if output.isTerminal {
        output.write(Array("\r\(text)\u{1B}[K".utf8))
      } else {
        output.line(StyledText(text))
      }
      output.flush()
    }
  }

  /// Takes the line away again, so that the result stands alone.
  func clear() {
    state.withLock { state in
      guard state.isShown, output.isTerminal else { return }
      output.write(Array("\r\u{1B}[K".utf8))
      output.flush()
    }
  }
}
