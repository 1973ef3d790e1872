@testable import Learning

/// Knuth's linear congruential generator: the inputs that reference values were computed from.
struct Congruential {
  var state: UInt64

  mutating func next() -> Double {
    state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
    return Double(state >> 11) * 0x1p-53
  }
}

func makeTable(_ rows: [[Double]], labels: [UInt8], names: [String]? = nil) throws -> FeatureTable {
  let names = names ?? (0..<(rows.first?.count ?? 0)).map { "x\($0)" }
  return try FeatureTable(featureNames: names, values: rows.flatMap { $0 }, labels: labels)
}
