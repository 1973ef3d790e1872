import ArgumentParser
import Federation

/// For whom a plan is computed: the members of a federation, or so many that nobody knows yet.
struct PlannedCohortOptions: ParsableArguments {
  @Option(
    help: ArgumentHelp("Compute it for the members of this federation.", valueName: "note"),
    completion: .file(extensions: ["note"]))
  var manifest: String?

  @Option(help: ArgumentHelp("Compute it for so many organisations instead, 3 to 256.", valueName: "n"))
  var organizations: Int?

  @Option(help: ArgumentHelp("Columns of the data, where the plan does not name them.", valueName: "n"))
  var features: Int?

  func validate() throws {
    if organizations != nil, manifest != nil {
      throw ValidationError("Give --manifest or --organizations: the manifest names its members.")
    }
    if let organizations, !(3...256).contains(organizations) {
      throw ValidationError("--organizations must be from 3 to 256.")
    }
    let counts = 1...RunPlan.maximumFeatures
    if let features, !counts.contains(features) {
      throw ValidationError("--features must be from 1 to \(counts.upperBound).")
    }
  }

  /// The federation of the manifest, or one that exists nowhere, of so many or as few as the plan takes.
  func federation(for plan: RunPlan) throws -> Manifest {
    if let manifest { return try ManifestFile.read(manifest, requiringApprovals: false).manifest }
    return try PlannedSums.federation(of: organizations ?? plan.smallestFederation)
  }

  /// Columns of the data: as the plan names them, or as many as were said.
  ///
  /// - Throws: `CommandError` where neither says it and the noise of the plan depends on it.
  func featureCount(of plan: RunPlan) throws -> Int? {
    if case .named(let names) = plan.task.features { return names.count }
    guard features == nil, plan.privacy.settings != nil else { return features }
    throw CommandError.usage(
      "the plan takes all columns of the data, and how many there are is not in it",
      remedy: "Say how many with --features, or name them in task.features.")
  }
}
