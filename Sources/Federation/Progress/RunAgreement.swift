import Cryptography
import SecureAggregation

/// What server and clients of one run agree on before it begins.
public struct RunAgreement: Sendable {
  public let signedManifest: SignedManifest
  public let plan: RunPlan
  public let run: RunIdentifier

  public init(manifest: SignedManifest, plan: RunPlan, run: RunIdentifier) {
    self.signedManifest = manifest
    self.plan = plan
    self.run = run
  }

  public var manifest: Manifest { signedManifest.manifest }

  /// The context of one attempt, computed from this side's own knowledge alone.
  ///
  /// - Parameters:
  ///   - cohort: organisations of the manifest; fixed for the run.
  ///   - features: numeric columns in order.
  ///   - model: hash of everything downloaded for the task.
  /// - Throws: ``FederationError`` for a name that the manifest does not know, a cohort that is too small, or a plan
  ///   whose sums could wrap.
  public func context(
    of opening: OpeningIdentifier, cohort: [OrganizationName], features: [String], model: ModelHash
  ) throws(FederationError) -> AggregationContext {
    let layout = try TaskLayout(task: opening.task, plan: plan, manifest: manifest, featureNames: features)
    let members = try manifest.cohort(of: cohort)
    let binding = Binding(manifest: signedManifest, plan: plan, opening: opening, model: model)
    do throws(AggregationError) {
      return try AggregationContext(
        binding: binding.digest, parameters: layout.parameters, cohort: members, server: manifest.server.keys.identity)
    } catch { throw .aggregation(error) }
  }
}
