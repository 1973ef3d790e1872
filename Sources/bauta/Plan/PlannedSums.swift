import Cryptography
import Federation
import SecureAggregation

/// The secure sums that a plan leads to in a federation: checked against wrapping and against too low a threshold.
struct PlannedSums: Sendable, CustomStringConvertible {
  let organizations: Int
  let threshold: Int
  let bits: Int
  /// Nil where noise makes integers of values by itself, and `secureSum.clip` has no meaning.
  let clip: Double?
  /// The step between two values of a parameter, a power of two.
  let resolution: Double

  /// - Parameter features: how many columns there are; without noise the conditions depend on bounds alone, and one will do.
  /// - Throws: `FederationError` where a sum could wrap, or the minimum cannot be met.
  init(_ plan: RunPlan, manifest: Manifest, features count: Int? = nil) throws(FederationError) {
    let names = manifest.organizations.map(\.name)
    let features = (1...(count ?? 1)).map { "column-\($0)" }
    var scale = 1.0
    var threshold = 0
    for task in TaskKind.allCases where plan.performs(task) {
      let layout = try TaskLayout(task: task, plan: plan, manifest: manifest, featureNames: features)
      let cohort = try manifest.cohort(of: names)
      do {
        let context = try AggregationContext(
          binding: BindingDigest(hashing: [UInt8]()), parameters: layout.parameters, cohort: cohort,
          server: manifest.server.keys.identity)
        scale = context.scale
        threshold = context.threshold
      } catch { throw .aggregation(error) }
    }
    organizations = names.count
    self.threshold = threshold
    bits = plan.secureSum.bits
    clip = plan.clipsValues ? plan.secureSum.clip : nil
    resolution = 1 / scale
  }

  var description: String {
    let exponent = resolution.exponent
    let clipping = clip.map { ", clip ±\(JSONValue.number($0).text)" } ?? ""
    return
      "\(organizations) organisations, \(threshold) needed to open; \(bits) bits\(clipping), steps of 2^\(exponent)"
  }

  var json: JSONValue {
    .object([
      "organizations": .count(organizations), "threshold": .count(threshold), "bits": .count(bits),
      "clip": clip.map { .number($0) } ?? .null, "resolution": .number(resolution),
    ])
  }

  /// Why a plan's sums cannot be had, in the words of the plan where they are known.
  static func refusal(of path: String, _ error: FederationError) -> CommandError {
    guard case .aggregation(.parameters(.outOfRange(.scale))) = error else { return .about(path, error) }
    return .unsuitable(
      path: path, problem: "privacy.clip does not go with the grid of a secure sum, whose steps are from 2^-40 to 2^40",
      remedy: "Give a privacy.clip that is nearer to 1, and scale the data accordingly.")
  }

  /// A federation that exists nowhere, to check a plan before there is one.
  static func federation(of organizations: Int) throws -> Manifest {
    func member(_ name: String) throws -> Manifest.Member {
      Manifest.Member(
        name: try OrganizationName(name),
        keys: Manifest.Keys(
          identity: IdentitySigningKey.generate().verifyingKey, log: LogSigningKey.generate().verifyingKey,
          witness: WitnessSigningKey.generate().verifyingKey),
        pins: Manifest.Pins(current: CertificateKeyHash(hashing: randomBytes(32))))
    }
    return try Manifest.founding(
      federation: OrganizationName("planned.example"),
      server: Manifest.Server(member: member("server.example"), addresses: [NetworkAddress("127.0.0.1:7443")]),
      organizations: (1...organizations).map { try member("organization-\($0).example") })
  }
}
