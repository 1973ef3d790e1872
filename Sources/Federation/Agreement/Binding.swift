public import Cryptography

/// All that lies above the secure sum and must be the same for every participant of one attempt.
///
/// Implements the part of §Context of the protocol that `SecureAggregation` does not know. Whoever was given another
/// plan, model or manifest computes another digest, and no signature of its peers verifies for it.
public struct Binding: Hashable, Sendable {
  /// The federation's name.
  public let federation: OrganizationName
  public let manifest: ManifestHash
  public let plan: PlanHash
  public let opening: OpeningIdentifier
  /// The name under which the plan addresses the data.
  public let dataSet: String
  /// Hash of everything downloaded that shapes the term.
  public let model: ModelHash
  public let program: ProgramHash

  public init(
    federation: OrganizationName, manifest: ManifestHash, plan: PlanHash, opening: OpeningIdentifier,
    dataSet: String, model: ModelHash, program: ProgramHash
  ) {
    self.federation = federation
    self.manifest = manifest
    self.plan = plan
    self.opening = opening
    self.dataSet = dataSet
    self.model = model
    self.program = program
  }

  /// The binding of an opening under a manifest and a plan.
  public init(manifest: SignedManifest, plan: RunPlan, opening: OpeningIdentifier, model: ModelHash) {
    self.init(
      federation: manifest.manifest.federation, manifest: manifest.hash, plan: plan.hash, opening: opening,
      dataSet: plan.data.set, model: model, program: plan.programHash)
  }

  public var digest: BindingDigest {
    var encoder = CanonicalEncoder("bauta/v1/binding")
    encoder.append(federation.value)
    encoder.append(manifest)
    encoder.append(plan)
    encoder.append(opening.run.text)
    encoder.append(UInt64(opening.round))
    encoder.append(UInt64(opening.attempt))
    encoder.append(opening.task.rawValue)
    encoder.append(dataSet)
    encoder.append(model)
    encoder.append(program)
    return BindingDigest(hashing: encoder.finish())
  }
}
