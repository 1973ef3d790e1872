/// Settings or values of differentially private learning that are refused.
public enum PrivacyFault: Sendable, Equatable, Fault {
  case publicScaleMissing
  case publicScaleUnused
  case publicScaleFeatures(expected: Int, found: Int)
  /// A constant of the plan out of its range; `requirement` completes "must be …".
  case constant(name: String, value: Double, requirement: String)
  case bins(Int)
  case noiseBound(Int64)
  case gradientCount(expected: Int, found: Int)
  case stepNotFinite(index: Int)
  case roundOutOfRange(rounds: Int)
  case missingNode(round: Int)

  var code: String {
    switch self {
    case .publicScaleMissing: "public-scale-missing"
    case .publicScaleUnused: "public-scale-unused"
    case .publicScaleFeatures: "public-scale-features"
    case .constant: "privacy-constant"
    case .bins: "noised-histogram-bins"
    case .noiseBound: "noise-bound"
    case .gradientCount: "gradient-count"
    case .stepNotFinite: "step-not-finite"
    case .roundOutOfRange: "round-out-of-range"
    case .missingNode: "tree-node-missing"
    }
  }

  var blame: String {
    switch self {
    case .publicScaleMissing, .publicScaleUnused, .publicScaleFeatures, .constant, .bins, .noiseBound,
      .roundOutOfRange, .missingNode:
      "caller"
    case .gradientCount, .stepNotFinite: "peer"
    }
  }

  var message: String {
    switch self {
    case .publicScaleMissing: "the preprocessing step publicScale has no public constants"
    case .publicScaleUnused: "public constants are given but publicScale is not among the preprocessing steps"
    case .publicScaleFeatures(let expected, let found):
      "the public scale has constants for \(found) features where there are \(expected)"
    case .constant(let name, let value, let requirement): "\(name) is \(value) and must be \(requirement)"
    case .bins(let bins): "\(bins) bins of a noised histogram are not an even number in 2…1024"
    case .noiseBound(let bound): "the largest noise of a counter, \(bound), is not in 0…2^40"
    case .gradientCount(let expected, let found):
      "the summed gradient has \(found) elements where the model has \(expected) parameters"
    case .stepNotFinite(let index): "parameter \(index + 1) after the step is not a finite number"
    case .roundOutOfRange(let rounds): "the training has rounds 1…\(rounds) and no other"
    case .missingNode(let round): "the released sum that ends in round \(round) is missing"
    }
  }

  var remedy: String {
    switch self {
    case .publicScaleMissing: "Give centres, scales and a bound in the plan, from public knowledge."
    case .publicScaleUnused: "Add publicScale to the plan's preprocessing, or leave out its constants."
    case .publicScaleFeatures: "Give one centre and one scale for all features, or one of each a feature."
    case .constant: "Correct the plan's constant."
    case .bins: "Choose an even number of bins between 2 and 1024, such as 16."
    case .noiseBound: "Lower the noise, or the organisations' number of rows."
    case .gradientCount: "Discard the round."
    case .stepNotFinite: "Discard the round; lower the learning rate in the plan."
    case .roundOutOfRange: "Start a new run for more rounds, with a privacy budget of its own."
    case .missingNode: "Keep the released sums of all rounds until the training ends."
    }
  }
}
