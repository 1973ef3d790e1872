import Cryptography
import Federation
import Learning
import Training

/// The rows of a demonstration, divided among its organisations.
struct DemoData: Sendable {
  let label: String
  let positive: String
  /// In the order of the organisations' names.
  let tables: [FeatureTable]

  /// - Throws: `TrainingError` or `LearningError` naming file, row and column.
  static func prepare(_ settings: DemoSettings) throws -> DemoData {
    switch settings.source {
    case .synthetic:
      let count = settings.names.count
      let tables = try (0..<count).map {
        try SyntheticProviders.generate(
          rows: settings.syntheticRows, organization: $0, organizations: count, seed: settings.seed)
      }
      return DemoData(label: ProviderSchema.label, positive: ProviderSchema.positive, tables: tables)
    case .file(let path, let label, let positive):
      let table = try CSVTable.load(path: path, label: label, positive: positive)
      return DemoData(
        label: label, positive: "1", tables: divide(table, into: settings.names.count, seed: settings.seed))
    }
  }

  /// Constants that say nothing of anybody: from made-up rows with the same columns, or coarse ones for other columns.
  static func publicScaling(of names: [String]) throws -> PublicScaling {
    let synthetic = try SyntheticProviders.generate(rows: 5000, organization: 0, organizations: 1, seed: 99)
    let made = try PublicScaling(
      publicTable: Preprocessing(names: ["signedLog1p"]).transform(synthetic), bound: 4)
    let places = names.compactMap(synthetic.featureNames.firstIndex(of:))
    guard places.count == names.count else {
      return try PublicScaling(centre: 4, scale: 4, bound: 4, features: names.count)
    }
    return try PublicScaling(
      centres: places.map { made.centres[$0] }, scales: places.map { made.scales[$0] }, bound: made.bound)
  }

  /// Deals shuffled rows out in turn, each class by itself, so that every organisation has its part of both.
  static func divide(_ table: FeatureTable, into count: Int, seed: UInt64) -> [FeatureTable] {
    var generator = Xoshiro256StarStar(seed: seed)
    var parts = [[Int]](repeating: [], count: count)
    var next = 0
    for label: UInt8 in [0, 1] {
      for row in (0..<table.rowCount).filter({ table.labels[$0] == label }).shuffled(using: &generator) {
        parts[next % count].append(row)
        next += 1
      }
    }
    return parts.map { table.selecting(rows: $0.sorted()) }
  }
}
