import Learning
import Training

/// A trained model from a file, applied to tables.
struct ModelFile: Sendable {
  /// Far above any model this version trains.
  static let maximumBytes = 1 << 28

  let path: String
  let artifact: ModelArtifact

  /// - Throws: `CommandError`, `LearningError`.
  init(contentsOf path: String) throws {
    self.path = path
    let bytes = try LocalFile.read(path, maximum: Self.maximumBytes)
    do { artifact = try ModelArtifact(decoding: bytes) } catch { throw CommandError.about(path, error) }
  }

  /// Exact metrics on a file with labels.
  func evaluate(data path: String) throws -> BinaryMetrics {
    let table = try CSVTable.load(
      path: path, label: artifact.label, positive: artifact.positive, features: .list(artifact.model.featureNames))
    return try BinaryMetrics(logits: artifact.logits(table), labels: table.labels)
  }

  /// The probability of the positive class of each row.
  func probabilities(data path: String) throws -> [Double] {
    let table = try CSVTable.loadUnlabelled(path: path, features: .list(artifact.model.featureNames))
    return try artifact.logits(table).map(sigmoid)
  }
}
