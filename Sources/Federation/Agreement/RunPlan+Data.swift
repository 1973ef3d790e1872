public import Learning

extension RunPlan {
  /// Divides an organisation's rows into those to train on and those that are held out.
  ///
  /// A part of each class; with differential privacy each row by itself, as otherwise one row more or less would change
  /// where others belong, and so more than it is charged for.
  ///
  /// - Throws: `LearningError.split`.
  public func split(_ table: FeatureTable) throws(LearningError) -> (train: FeatureTable, test: FeatureTable) {
    guard privacy.settings != nil else { return try table.split(testFraction: data.testFraction, seed: data.splitSeed) }
    let split = try RecordAssignment(seed: data.splitSeed).split(table, testFraction: data.testFraction)
    return (table.selecting(rows: split.train), table.selecting(rows: split.test))
  }

  /// The features among an organisation's columns, in the plan's order, or in the columns' where the plan says all.
  ///
  /// - Parameter columns: all columns but the label.
  /// - Throws: ``FederationError/features(_:)``.
  public func features(of columns: [String]) throws(FederationError) -> [String] {
    switch task.features {
    case .all: return columns
    case .named(let names):
      let present = Set(columns)
      if let missing = names.first(where: { !present.contains($0) }) { throw .features(.missing(missing)) }
      return names
    }
  }
}
