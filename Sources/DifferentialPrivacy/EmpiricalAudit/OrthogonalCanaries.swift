import Foundation

/// Gradients of canaries that are as easy to tell apart as a mechanism with clipping allows.
///
/// In each round a canary's gradient has the full length, in a plane of two parameters, and over the rounds it turns in
/// this plane with a frequency and a phase of its own:
///
///     g(t) = length · (cos, sin)(2π·k·t/T + q·π/2),  k in 0..<T, q in {0, 1}.
///
/// All of them are orthogonal to each other over T rounds, 2T in a plane, d·T in all for even d. So canaries are no noise
/// to each other, and the inner product with what was published is, for noise that is close to Gaussian, the best test
/// that there is: what it cannot tell, nobody can who knows all but the coins.
///
/// The gradients are sent longer than the clip, and scored as though clipped to it: a mechanism that does not clip shows
/// far more than it is charged for.
public struct OrthogonalCanaries: Sendable {
  /// Length of a gradient over the clip.
  static let excess = 8.0

  public let dimension: Int
  public let rounds: Int
  public let clip: Double
  private let cosines: [Double]
  private let sines: [Double]

  /// - Throws: ``EmpiricalAuditError/shape(dimension:rounds:)``, ``EmpiricalAuditError/clip(_:)``.
  public init(dimension: Int, rounds: Int, clip: Double) throws(EmpiricalAuditError) {
    guard (2...(1 << 24)).contains(dimension), (1...(1 << 16)).contains(rounds) else {
      throw .shape(dimension: dimension, rounds: rounds)
    }
    guard clip > 0, clip.isFinite else { throw .clip(clip) }
    self.dimension = dimension
    self.rounds = rounds
    self.clip = clip
    let angles = (0..<rounds).map { 2 * Double.pi * Double($0) / Double(rounds) }
    cosines = angles.map { cos($0) }
    sines = angles.map { sin($0) }
  }

  private var planes: Int { dimension / 2 }

  /// How many there are.
  public var capacity: Int { planes * 2 * rounds }

  /// The first of the plane's two parameters, and the direction in it.
  ///
  /// - Parameters:
  ///   - canary: in `0..<capacity`.
  ///   - round: in `0..<rounds`.
  private func direction(_ canary: Int, round: Int) -> (index: Int, x: Double, y: Double) {
    let (turn, plane) = canary.quotientAndRemainder(dividingBy: planes)
    let step = (turn / 2 * round) % rounds
    let (x, y) = (cosines[step], sines[step])
    return turn.isMultiple(of: 2) ? (2 * plane, x, y) : (2 * plane, -y, x)
  }

  /// Writes a canary's gradient of a round over what is in `gradient`, which is resized if it has another number of
  /// elements.
  ///
  /// - Parameters:
  ///   - canary: in `0..<capacity`.
  ///   - round: in `0..<rounds`.
  public func write(_ canary: Int, round: Int, into gradient: inout [Double]) {
    if gradient.count != dimension { gradient = [Double](repeating: 0, count: dimension) }
    for index in gradient.indices { gradient[index] = 0 }
    let (index, x, y) = direction(canary, round: round)
    gradient[index] = Self.excess * clip * x
    gradient[index + 1] = Self.excess * clip * y
  }

  /// Scores before the first round: half of what a canary that is there adds up to, below zero.
  ///
  /// - Parameter count: at most ``capacity``.
  public func initialScores(count: Int) -> [Double] { [Double](repeating: -0.5, count: count) }

  /// Adds what a round's sum says about every canary. After all rounds a canary that is there is at ½, one that is not
  /// at −½, give or take the noise.
  ///
  /// - Parameters:
  ///   - residual: The published sum, real units, less all that the auditor knows; ``dimension`` elements.
  ///   - round: in `0..<rounds`.
  public func score(_ residual: [Double], round: Int, scores: inout [Double]) {
    let factor = 1 / (Double(rounds) * clip)
    for canary in scores.indices {
      let (index, x, y) = direction(canary, round: round)
      scores[canary] += factor * (residual[index] * x + residual[index + 1] * y)
    }
  }
}

/// The sum of gradients that an auditor knows, each clipped as the mechanism is to clip it; computed apart from it.
public struct KnownSum: Sendable {
  public let clip: Double
  /// In real units.
  public private(set) var values: [Double]

  public init(dimension: Int, clip: Double) {
    self.clip = clip
    values = [Double](repeating: 0, count: max(dimension, 0))
  }

  /// Adds one example's gradient, of as many finite elements.
  public mutating func add(_ gradient: [Double]) {
    let norm = gradient.reduce(0) { $0 + $1 * $1 }.squareRoot()
    let factor = norm > clip ? clip / norm : 1
    for index in values.indices { values[index] += factor * gradient[index] }
  }
}
