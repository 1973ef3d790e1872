import Cryptography
import Learning
import Testing

@testable import Federation

@Suite("Content of a model, for comparing openings")
struct ModelContentTests {
  private func progression(
    run: String = "one", context: String = "aa", parameters: [Double] = [1, 2, 3], mean: Double = 0,
    weights: ClassWeights = .uniform
  ) throws -> RunProgression {
    let plan = try RunPlan(parsing: RunPlan.template(name: "p", label: "y", dataSet: "d"))
    var progression = RunProgression(plan: plan, run: try RunIdentifier(run), features: ["a", "b"])
    let artifact = try ModelArtifact(
      model: LogisticRegressionModel(featureNames: ["a", "b"], parameters: parameters),
      preprocessing: FittedPreprocessing(
        plan.data.preprocessing,
        standardization: Standardization(means: [mean, 0], standardDeviations: [1, 1])),
      classWeights: weights, label: "y", positive: "1", run: run, context: context, round: 1)
    try progression.adopt(model: artifact.encoded())
    return progression
  }

  @Test("The same weights in another run, context or file are the same content")
  func same() throws {
    let one = try progression()
    let other = try progression(run: "two", context: "bb")
    #expect(one.modelHash != other.modelHash)
    #expect(one.contentHash(of: .fit) == other.contentHash(of: .fit))
    #expect(one.contentHash(of: .evaluate) == other.contentHash(of: .evaluate))
  }

  @Test("One bit of a weight, a mean or a class weight is other content")
  func different() throws {
    let one = try progression().contentHash(of: .fit)
    #expect(try progression(parameters: [1, 2, 3.0.nextUp]).contentHash(of: .fit) != one)
    #expect(try progression(mean: 0.5).contentHash(of: .fit) != one)
    #expect(try progression(weights: ClassWeights(negative: 1, positive: 2)).contentHash(of: .fit) != one)
  }

  @Test("Statistics are all the same, whatever the plan calls the label and whichever columns it names")
  func statistics() throws {
    let run = try RunIdentifier("one")
    let hashes = try ["y", "z"].flatMap { label in
      let plan = try RunPlan(parsing: RunPlan.template(name: "p", label: label, dataSet: "d"))
      return [["a"], ["a", "b"]].map {
        RunProgression(plan: plan, run: run, features: $0).contentHash(of: .statistics)
      }
    }
    #expect(Set(hashes).count == 1)
  }
}
