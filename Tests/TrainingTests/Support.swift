import Foundation
import Learning

@testable import Training

/// A file in a temporary directory that goes when the value does.
final class TemporaryFile {
  let directory: URL
  var path: String { directory.appendingPathComponent("data.csv").path }

  init(_ bytes: [UInt8]) throws {
    directory = FileManager.default.temporaryDirectory.appendingPathComponent("bauta-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
    try Data(bytes).write(to: URL(fileURLWithPath: path))
  }

  convenience init(_ text: String) throws { try self.init(Array(text.utf8)) }

  deinit { try? FileManager.default.removeItem(at: directory) }
}

/// Knuth's linear congruential generator: the inputs that reference values were computed from.
struct Congruential {
  var state: UInt64

  mutating func next() -> Double {
    state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
    return Double(state >> 11) * 0x1p-53
  }
}

/// The problem whose optima were computed with scikit-learn: 60 rows of 3 features, 19 positive.
func referenceProblem() throws -> FeatureTable {
  var source = Congruential(state: 42)
  var values: [Double] = []
  var labels: [UInt8] = []
  for _ in 0..<60 {
    let row = (0..<3).map { _ in 4 * source.next() - 2 }
    let score = 1.2 * row[0] - 0.7 * row[1] + 0.4 * row[2] * row[0] + 3 * (source.next() - 0.5)
    values += row
    labels.append(score > 0.5 ? 1 : 0)
  }
  return try FeatureTable(featureNames: ["a", "b", "c"], values: values, labels: labels)
}

/// The CMS-derived file beside the package, where there is one.
enum ProviderFile {
  static let path = URL(fileURLWithPath: #filePath).resolvingSymlinksInPath()
    .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
    .appendingPathComponent("shared/data/cms_provider_fraud.csv").path
  static var exists: Bool { FileManager.default.fileExists(atPath: path) }
}
