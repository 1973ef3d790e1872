import Cryptography
import DifferentialPrivacy
import Learning
import SecureAggregation

@testable import Federation

/// Record unit: gradients of single rows, public constants, an evaluation at the end.
let privatePlan = """
  schema: bauta/plan/1
  name: fraud
  task: {kind: train, label: y, features: [a, b, c]}
  data: {set: claims, testFraction: 0.25, splitSeed: 3, preprocessing: [publicScale], publicScale: {centre: [1, 2, 3], scale: 2, bound: 4}}
  model: {kind: logisticRegression, l2: 0.01, classWeights: {negative: 0.5, positive: 4}}
  strategy: {name: FedSGD, learningRate: 2.5, momentum: 0.5, expectedExamples: 300, averagedRounds: 2}
  rounds: 4
  secureSum: {bits: 32, weightCap: 1000}
  evaluation: {rounds: last, histogramBins: 16}
  privacy: {unit: record, mechanism: skellam, clip: 4, epsilon: 3, delta: 1e-5, evaluationShare: 0.1}

  """

/// Organisation unit: clipped updates of whole organisations.
let organizationPlan =
  privatePlan
  .replacingOccurrences(
    of: "{name: FedSGD, learningRate: 2.5, momentum: 0.5, expectedExamples: 300, averagedRounds: 2}",
    with: "{name: FedAvg}"
  )
  .replacingOccurrences(of: "unit: record", with: "unit: organization")
  // An evaluation would be sized for single rows.
  .replacingOccurrences(of: "{rounds: last, histogramBins: 16}", with: "{rounds: none}")
  .replacingOccurrences(of: ", evaluationShare: 0.1", with: "")

/// With a budget for the unit of ``privatePlan``.
let privatePolicy = documentedPolicy.replacingOccurrences(
  of: "privacy: {unit: none, epsilon: null, delta: null}", with: "privacy: {unit: record, epsilon: 4, delta: 1e-5}")

let privateFeatures = ["a", "b", "c"]

extension String {
  /// The text with one place changed, which must be there.
  func replacing(one old: String, with new: String) throws -> String {
    guard let range = range(of: old) else { throw FixtureFault.missing(old) }
    return replacingCharacters(in: range, with: new)
  }
}

enum FixtureFault: Error { case missing(String) }

/// A run of a private plan, with sums of the test's own making.
struct PrivateRun {
  let manifest: SignedManifest
  let plan: RunPlan
  let run: RunIdentifier
  var progression: RunProgression

  init(_ text: String = privatePlan, run: String = "one") throws {
    let federation = try TestFederation()
    manifest = try federation.approved()
    plan = try RunPlan(parsing: text)
    self.run = try RunIdentifier(run)
    progression = RunProgression(plan: plan, run: self.run, features: privateFeatures)
  }

  func opening(_ task: TaskKind, _ round: Int) -> OpeningIdentifier {
    OpeningIdentifier(run: run, task: task, round: round, attempt: 1)
  }

  func context(_ task: TaskKind, _ round: Int) throws -> AggregationContext {
    try RunAgreement(manifest: manifest, plan: plan, run: run).context(
      of: opening(task, round), cohort: manifest.manifest.organizations.map(\.name), features: privateFeatures,
      model: progression.modelHash)
  }

  /// A published sum of these integers, over everybody.
  func sum(_ task: TaskKind, _ round: Int, integers: [Int64] = [], counters: [Int64] = []) throws -> AggregateSum {
    let context = try context(task, round)
    return try AggregateSum(
      words: integers.map { UInt32(truncatingIfNeeded: $0) }, counters: counters.map { UInt64(bitPattern: $0) },
      survivors: context.cohort.map(\.name), maskedInputRoot: .init(hashing: [1]), context: context)
  }
}
