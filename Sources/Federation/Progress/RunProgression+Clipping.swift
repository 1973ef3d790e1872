import DifferentialPrivacy
public import Learning
import SecureAggregation

/// The clip of the organisation unit, where it follows the norms of the updates: in the model, so that whoever has the model
/// has the clip, and every context binds it with the model's hash.
extension RunProgression {
  /// Real units in one unit of a sum's values: the sum has its updates in multiples of the clip, on the first clip's scale.
  ///
  /// 1 where the clip does not move.
  public func unit(_ artifact: ModelArtifact) -> Double {
    guard let first = plan.privacy.settings?.firstClip, let clip = artifact.clip else { return 1 }
    return clip / first
  }

  /// The clip after a sum, from the bits in it; nil where it does not move.
  func nextClip(_ sum: AggregateSum, _ artifact: ModelArtifact) throws -> Double? {
    guard let settings = plan.privacy.settings?.adaptiveClipping else { return nil }
    guard let clip = artifact.clip, sum.counters.count == 1, let bits = sum.counters.first else {
      throw ProgressionError.outOfOrder
    }
    return settings.step.nextClip(after: clip, sum: bits, organizations: sum.survivors.count)
  }

  /// Whether a model has a clip exactly where the plan's moves, and one that its rounds can have led to.
  func hasDueClip(_ artifact: ModelArtifact) -> Bool {
    guard let settings = plan.privacy.settings, let adaptive = settings.adaptiveClipping else {
      return artifact.clip == nil
    }
    guard let clip = artifact.clip else { return false }
    return adaptive.step.isReachable(clip, from: settings.clip, rounds: artifact.round)
  }
}
