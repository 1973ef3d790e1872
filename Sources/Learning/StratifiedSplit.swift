/// Positions of the training and the test rows, each class divided in the same proportion.
///
/// A pure function of labels, fraction and seed: the positions of class 0, then those of class 1, are shuffled by
/// ``Xoshiro256StarStar`` and the first `round(testFraction × class size)` of each (at least one, at most all but one)
/// are the test rows. Both lists are ascending. Only integers and one IEEE multiplication a class are involved, so every
/// machine makes the same split.
public struct StratifiedSplit: Sendable, Equatable {
  public let train: [Int]
  public let test: [Int]

  /// - Parameters:
  ///   - labels: 0 or 1 a row.
  ///   - testFraction: above 0, below 1.
  /// - Throws: `LearningError.split` for a fraction out of range or a class with fewer than two rows.
  public init(labels: [UInt8], testFraction: Double, seed: UInt64) throws(LearningError) {
    guard testFraction > 0, testFraction < 1 else { throw .split(.fraction(testFraction)) }
    var generator = Xoshiro256StarStar(seed: seed)
    var train: [Int] = []
    var test: [Int] = []
    for label: UInt8 in [0, 1] {
      var rows = labels.indices.filter { labels[$0] == label }
      guard rows.count >= 2 else { throw .split(.tooFewRows(label: label, rows: rows.count)) }
      generator.shuffle(&rows)
      let share = Int((testFraction * Double(rows.count)).rounded(.toNearestOrAwayFromZero))
      let count = min(max(share, 1), rows.count - 1)
      test.append(contentsOf: rows[..<count])
      train.append(contentsOf: rows[count...])
    }
    self.train = train.sorted()
    self.test = test.sorted()
  }
}
