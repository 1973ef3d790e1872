/// A distribution from which independent values are drawn.
public protocol Sampler<Value>: Sendable {
  associatedtype Value

  /// One draw.
  /// - Parameter generator: cryptographically secure, under a fresh seed; see <doc:NoiseSampling>.
  func sample(using generator: inout some RandomNumberGenerator) -> Value
}

extension Sampler {
  /// Overwrites all of `out` with independent draws.
  public func fill(_ out: UnsafeMutableBufferPointer<Value>, using generator: inout some RandomNumberGenerator) {
    for index in out.indices { out.initializeElement(at: index, to: sample(using: &generator)) }
  }

  /// Independent draws.
  public func samples(count: Int, using generator: inout some RandomNumberGenerator) -> [Value] {
    [Value](unsafeUninitializedCapacity: count) { buffer, initialized in
      fill(UnsafeMutableBufferPointer(rebasing: buffer[..<count]), using: &generator)
      initialized = count
    }
  }
}

/// A sampler of trials of three words each, repeated until one is accepted.
protocol TrialSampler {
  /// A proposal, and whether it is accepted.
  func trial(_ first: UInt64, _ second: UInt64, _ third: UInt64) -> (Int64, Verdict)

  /// Decides exactly what a trial left open: the proposal, or nil if it is rejected.
  func resolve(
    _ first: UInt64, _ second: UInt64, _ third: UInt64, using generator: inout some RandomNumberGenerator
  ) -> Int64?
}

extension TrialSampler {
  @inline(__always)
  func firstAccepted(using generator: inout some RandomNumberGenerator) -> Int64 {
    while true {
      let (first, second, third) = (generator.next(), generator.next(), generator.next())
      let (value, verdict) = trial(first, second, third)
      switch verdict {
      case .below: return value
      case .notBelow: continue
      case .undecided:
        if let value = resolve(first, second, third, using: &generator) { return value }
      }
    }
  }
}
