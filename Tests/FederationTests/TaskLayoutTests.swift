import Cryptography
import Learning
import SecureAggregation
import Testing

@testable import Federation

@Suite("Layouts")
struct TaskLayoutTests {
  private let names = ["a", "b", "c"]

  private func layout(_ task: TaskKind, _ plan: String = documentedPlan) throws -> TaskLayout {
    let federation = try TestFederation()
    return try TaskLayout(
      task: task, plan: RunPlan(parsing: plan), manifest: federation.manifest(), featureNames: names)
  }

  @Test("A fit: a weight a feature and the intercept; examples and clipped parameters")
  func fit() throws {
    let parameters = try layout(.fit).parameters
    #expect(parameters.tensorCount == 4)
    #expect(parameters.counters.map(\.name) == ["examples", "clipped"])
    #expect(parameters.counters.map(\.bound) == [100_000, 4])
    #expect(parameters.bits == 32)
    #expect(parameters.clip == 8)
    #expect(parameters.weightCap == 100_000)
    #expect(parameters.assumedCorrupt == 1)
    #expect(parameters.minimumCohort == 3)
    #expect(parameters.minimumHonest == 2)
  }

  @Test("Statistics and evaluation are counters alone, as Learning lays them out")
  func counters() throws {
    let statistics = try layout(.statistics).parameters
    let vector = try StatisticsVector(featureNames: names, weightCap: 100_000)
    #expect(statistics.tensorCount == 0)
    #expect(statistics.counterCount == vector.layout.counterCount)
    #expect(statistics.counters.map(\.name) == vector.layout.groups.map(\.name))
    #expect(statistics.counters.map(\.bound) == vector.layout.groups.map { UInt64($0.bound) })
    #expect(statistics.counters.map(\.isSigned) == vector.layout.groups.map(\.isSigned))
    let evaluation = try layout(.evaluate).parameters
    #expect(evaluation.tensorCount == 0)
    #expect(
      evaluation.counterCount == (try EvaluationVector(bins: 1024, weightCap: 100_000)).layout.counterCount)
  }

  @Test("The larger minimum counts, for each task its own")
  func minima() throws {
    let text = documentedPlan.replacingOccurrences(of: "minimumEvaluateClients: 3", with: "minimumEvaluateClients: 5")
    #expect(try layout(.fit, text).parameters.minimumCohort == 3)
    #expect(try layout(.evaluate, text).parameters.minimumCohort == 5)
    #expect(try layout(.evaluate, text).parameters.minimumHonest == 4)
  }

  @Test("Terms that could wrap are refused before anything is sent")
  func wrap() throws {
    let federation = try TestFederation()
    let manifest = try federation.manifest()
    let cohort = try manifest.cohort(of: manifest.organizations.map(\.name))
    let server = federation.server.identity.verifyingKey
    try layout(.fit).check(cohort: cohort, server: server)
    let many = try (0..<200).map { index in
      CohortMember(
        name: try OrganizationName("o\(index).example"), identity: IdentitySigningKey.generate().verifyingKey)
    }
    let narrow = documentedPlan.replacingOccurrences(of: "bits: 32", with: "bits: 8")
    let layout = try layout(.fit, narrow)
    #expect(
      federationError { try layout.check(cohort: many, server: server) }
        == .aggregation(.parameters(.tensorsWrap(members: 200, bits: 8))))
    let two = Array(cohort.prefix(2))
    #expect(
      federationError { try layout.check(cohort: two, server: server) }
        == .aggregation(.parameters(.cohortSize(2, allowed: 3...256))))
  }

  @Test("Features that cannot be")
  func features() throws {
    let federation = try TestFederation()
    let manifest = try federation.manifest()
    let plan = try RunPlan(parsing: documentedPlan)
    func fault(_ names: [String]) -> FederationError? {
      federationError { try TaskLayout(task: .fit, plan: plan, manifest: manifest, featureNames: names) }
    }
    #expect(fault([]) == .features(.none))
    #expect(fault(["a", "a"]) == .features(.duplicate("a")))
    #expect(fault([""]) == .features(.name))
    #expect(fault([String(repeating: "x", count: 257)]) == .features(.name))
    #expect(fault((0...4096).map(String.init)) == .features(.tooMany(count: 4097, limit: 4096)))
  }

  @Test("An error of Learning keeps its code and its blame as a value of this package")
  func learningErrors() {
    let error: any BlamedError = LearningError.strategy(.noExamples)
    #expect(error.code == LearningError.strategy(.noExamples).code)
    #expect(Blame.allNames.contains(error.blame.rawValue))
    #expect(!error.remedy.isEmpty)
  }
}

extension Blame {
  fileprivate static let allNames: Set<String> = ["caller", "peer", "participants", "local"]
}
