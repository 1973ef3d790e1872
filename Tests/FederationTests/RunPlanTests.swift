import Cryptography
import Foundation
import Learning
import Testing

@testable import Federation

@Suite("Plans")
struct RunPlanTests {
  @Test("The documented plan is read to the value")
  func documented() throws {
    let plan = try RunPlan(parsing: documentedPlan)
    #expect(plan.name == "fraud")
    #expect(plan.task.kind == .train)
    #expect(plan.task.label == "fraudulent_provider")
    #expect(plan.task.positive == "1")
    #expect(plan.task.features == .all)
    #expect(plan.data.set == "claims-2026")
    #expect(plan.data.testFraction == 0.2)
    #expect(plan.data.splitSeed == 7)
    #expect(plan.data.preprocessing.names == ["signedLog1p", "standardize"])
    #expect(plan.model.l2 == 0.001)
    #expect(plan.model.classWeights == .balanced)
    #expect(plan.trainer.steps == 20)
    #expect(plan.strategy.name == .fedAvg)
    #expect(plan.strategy.fractionFit == 1)
    #expect(plan.rounds == 3)
    #expect(plan.secureSum.bits == 32)
    #expect(plan.secureSum.clip == 8)
    #expect(plan.secureSum.rounding == .stochastic)
    #expect(plan.secureSum.weightCap == 100_000)
    #expect(plan.secureSum.generator == .aes256CTR)
    #expect(plan.evaluation.histogramBins == 1024)
    #expect(plan.evaluation.serverData == nil)
    #expect(plan.deadlines.accept == .seconds(30))
    #expect(plan.deadlines.fit == .seconds(600))
    #expect(plan.deadlines.step == .seconds(60))
    #expect(plan.privacy == .none)
  }

  @Test("Defaults are those of the documented plan and of the template")
  func defaults() throws {
    let minimal = try RunPlan(parsing: minimalPlan)
    let documented = try RunPlan(parsing: documentedPlan)
    let template = try RunPlan(parsing: RunPlan.template)
    for plan in [documented, template] {
      #expect(plan.model == minimal.model)
      #expect(plan.trainer == minimal.trainer)
      #expect(plan.strategy == minimal.strategy)
      #expect(plan.secureSum == minimal.secureSum)
      #expect(plan.evaluation == minimal.evaluation)
      #expect(plan.deadlines == minimal.deadlines)
      #expect(plan.data.preprocessing == minimal.data.preprocessing)
      #expect(plan.data.testFraction == minimal.data.testFraction)
    }
  }

  @Test("The hash is of the bytes: SHA-256 of the text, and another for one more blank")
  func hash() throws {
    let plan = try RunPlan(parsing: minimalPlan)
    #expect(plan.hash == PlanHash(hashing: Array(minimalPlan.utf8)))
    #expect(try RunPlan(parsing: minimalPlan + "\n").hash != plan.hash)
  }

  @Test("The program hash follows everything that decides what is computed, and nothing else")
  func programHash() throws {
    let plan = try RunPlan(parsing: documentedPlan)
    for (old, new) in [
      ("steps: 20", "steps: 21"), ("l2: 0.001", "l2: 0.002"), ("balanced", "uniform"),
      ("[signedLog1p, standardize]", "[standardize]"), ("splitSeed: 7", "splitSeed: 8"),
      ("testFraction: 0.2", "testFraction: 0.3"),
    ] {
      let other = try RunPlan(parsing: documentedPlan.replacingOccurrences(of: old, with: new))
      #expect(other.programHash != plan.programHash, "\(new)")
    }
    let renamed = try RunPlan(parsing: documentedPlan.replacingOccurrences(of: "rounds: 3", with: "rounds: 4"))
    #expect(renamed.programHash == plan.programHash)
  }

  struct Fault: CustomTestStringConvertible, Sendable {
    let old: String
    let new: String
    let message: String
    var testDescription: String { new.isEmpty ? "without \(old)" : new }

    init(_ old: String, _ new: String, _ message: String) {
      self.old = old
      self.new = new
      self.message = message
    }
  }

  @Test(arguments: [
    Fault("bauta/plan/1", "bauta/plan/2", "plan.yaml:1:9: schema: expected bauta/plan/1, found 'bauta/plan/2'"),
    Fault("bauta/plan/1", "bauta/policy/1", "plan.yaml:1:9: schema: expected bauta/plan/1, found 'bauta/policy/1'"),
    Fault("rounds: 3", "rounds: -3", "plan.yaml:8:9: rounds: expected an integer from 1 to 1000, found '-3'"),
    Fault("rounds: 3", "rounds: 0", "plan.yaml:8:9: rounds: expected an integer from 1 to 1000, found '0'"),
    Fault("rounds: 3", "rounds: 1001", "plan.yaml:8:9: rounds: expected an integer from 1 to 1000, found '1001'"),
    Fault("rounds: 3", "rounds: 010", "plan.yaml:8:9: rounds: expected an integer from 1 to 1000, found '010'"),
    Fault("rounds: 3", "rounds: no", "plan.yaml:8:9: rounds: expected an integer from 1 to 1000, found 'no'"),
    Fault(
      "rounds: 3", "rounds: \"3\"",
      "plan.yaml:8:9: rounds: expected an integer from 1 to 1000, found the quoted text '3'"),
    Fault("rounds: 3", "rounds:", "plan.yaml:8:8: rounds: expected an integer from 1 to 1000, found nothing"),
    Fault("rounds: 3", "rounds: [3]", "plan.yaml:8:9: rounds: expected an integer from 1 to 1000, found a list"),
    Fault("rounds: 3\n", "", "plan.yaml:1:1: the key 'rounds' is missing"),
    Fault("rounds: 3", "round: 3", "plan.yaml:8:1: unknown key 'round'; did you mean 'rounds'?"),
    Fault("bits: 32", "bit: 32", "plan.yaml:9:13: unknown key 'secureSum.bit'; did you mean 'bits'?"),
    Fault("bits: 32", "zzzzzz: 32", "plan.yaml:9:13: unknown key 'secureSum.zzzzzz'"),
    Fault("bits: 32", "bits: 7", "plan.yaml:9:19: secureSum.bits: expected an integer from 8 to 32, found '7'"),
    Fault("bits: 32", "bits: 33", "plan.yaml:9:19: secureSum.bits: expected an integer from 8 to 32, found '33'"),
    Fault(
      "clip: 8", "clip: 0", "plan.yaml:9:29: secureSum.clip: expected a number above 0 and at most 2^40, found '0'"),
    Fault(
      "clip: 8", "clip: -8", "plan.yaml:9:29: secureSum.clip: expected a number above 0 and at most 2^40, found '-8'"),
    Fault(
      "clip: 8", "clip: 1e300",
      "plan.yaml:9:29: secureSum.clip: expected a number above 0 and at most 2^40, found '1e300'"),
    Fault(
      "clip: 8", "clip: .inf",
      "plan.yaml:9:29: secureSum.clip: expected a number above 0 and at most 2^40, found '.inf'"),
    Fault(
      "weightCap: 100000", "weightCap: 0",
      "plan.yaml:9:65: secureSum.weightCap: expected an integer from 1 to \(RunPlan.weightCaps.upperBound), found '0'"),
    Fault(
      "stochastic", "up", "plan.yaml:9:42: secureSum.rounding: expected one of stochastic, nearest, found 'up'"),
    Fault(
      "aes-256-ctr", "rc4", "plan.yaml:9:78: secureSum.prg: expected one of aes-256-ctr, chacha20, found 'rc4'"),
    Fault(
      "graph: complete", "graph: kRegular",
      "plan.yaml:9:98: secureSum.graph: expected one of complete, regular, auto, found 'kRegular'"),
    Fault(
      "graph: complete", "graph: auto, dropouts: 0.6",
      "plan.yaml:9:114: secureSum.dropouts: expected a number from 0 to 0.5, in steps of 0.001, found '0.6'"),
    Fault(
      "testFraction: 0.2", "testFraction: 1",
      "plan.yaml:4:40: data.testFraction: expected a number above 0 and below 1, found '1'"),
    Fault(
      "testFraction: 0.2", "testFraction: 0.0",
      "plan.yaml:4:40: data.testFraction: expected a number above 0 and below 1, found '0.0'"),
    Fault(
      "[signedLog1p, standardize]", "[standardise]",
      "plan.yaml:4:75: data.preprocessing: expected one of signedLog1p, standardize, publicScale, found 'standardise'"),
    Fault(
      "[signedLog1p, standardize]", "[signedLog1p, publicScale]",
      "plan.yaml:4:7: data.preprocessing: the step publicScale needs the constants of data.publicScale"),
    Fault(
      "[signedLog1p, standardize]", "[standardize, standardize]",
      "plan.yaml:4:88: data.preprocessing: 'standardize' is listed twice"),
    Fault(
      "features: all", "features: some",
      "plan.yaml:3:74: task.features: expected 'all' or a list of columns, found 'some'"),
    Fault("features: all", "features: []", "plan.yaml:3:74: task.features: the list is empty"),
    Fault(
      "features: all", "features: [a, fraudulent_provider]",
      "plan.yaml:3:74: task.features: the label 'fraudulent_provider' is among the features"),
    Fault(
      "kind: train", "kind: evaluate",
      "plan.yaml:3:14: task.kind: 'evaluate' is not available in this version; available: train, statistics"),
    Fault(
      "kind: train", "kind: trian",
      "plan.yaml:3:14: task.kind: expected one of train, statistics, evaluate, found 'trian'"),
    Fault(
      "kind: logisticRegression", "kind: forest",
      "plan.yaml:5:15: model.kind: expected one of logisticRegression, found 'forest'"),
    Fault("l2: 0.001", "l2: -1", "plan.yaml:5:39: model.l2: expected a number from 0 to 1000000, found '-1'"),
    Fault(
      "program: builtin", "program: ./evil",
      "plan.yaml:6:20: trainer.program: expected one of builtin, found './evil'"),
    Fault(
      "optimizer: lbfgs", "optimizer: sgd",
      "plan.yaml:6:40: trainer.optimizer: 'sgd' is not available in this version; available: lbfgs, dpsgd"),
    Fault(
      "name: FedAvg", "name: FedProx",
      "plan.yaml:7:18: strategy.name: 'FedProx' is not available in this version; available: FedAvg, FedSGD"),
    Fault(
      "fractionFit: 1.0", "fractionFit: 1.5",
      "plan.yaml:7:39: strategy.fractionFit: expected a number above 0 and at most 1, found '1.5'"),
    Fault(
      "fractionFit: 1.0", "fractionFit: 0.5",
      "plan.yaml:7:39: strategy.fractionFit: '0.5' is not available in this version; available: 1 (the whole cohort)"),
    Fault(
      "serverData: null", "serverData: held-out.csv",
      "plan.yaml:10:47: evaluation.serverData: 'held-out.csv' is not available in this version; available: null"),
    Fault(
      "minimumFitClients: 3", "minimumFitClients: 2",
      "plan.yaml:7:63: strategy.minimumFitClients: expected an integer from 3 to 10000, found '2'"),
    Fault(
      "histogramBins: 1024", "histogramBins: 1",
      "plan.yaml:10:29: evaluation.histogramBins: expected an integer from 2 to 65536, found '1'"),
    Fault(
      "fit: 10m", "fit: 0s",
      "plan.yaml:11:31: deadlines.fit: expected a duration from 1ms to 7d, such as 30s or 10m, found '0s'"),
    Fault(
      "fit: 10m", "fit: 600",
      "plan.yaml:11:31: deadlines.fit: expected a duration from 1ms to 7d, such as 30s or 10m, found '600'"),
    Fault(
      "privacy: none", "privacy: ~", "plan.yaml:12:10: privacy: expected none, or a group of keys, found '~'"),
    Fault(
      "privacy: none", "privacy: {epsilon: 1}",
      "plan.yaml:12:10: the key 'privacy.unit' is missing"),
    Fault(
      "name: fraud", "name: ../x",
      "plan.yaml:2:7: name: expected a name of 1 to 64 letters, digits, '-', '_' and '.', found '../x'"),
    Fault(
      "{kind: train, label: fraudulent_provider, positive: \"1\", features: all}", "train",
      "plan.yaml:3:7: task: expected a group of keys (kind, label, positive, features), found 'train'"),
    Fault("label: fraudulent_provider, ", "", "plan.yaml:3:7: the key 'task.label' is missing"),
  ])
  func refused(fault: Fault) throws {
    let range = try #require(documentedPlan.range(of: fault.old))
    let text = documentedPlan.replacingCharacters(in: range, with: fault.new)
    let error = federationError { try RunPlan(parsing: text) }
    #expect(error?.message == fault.message)
    #expect(error?.blame == .caller)
    #expect(error?.remedy.isEmpty == false)
  }

  @Test("Types that YAML would guess stay the text that was written")
  func textStaysText() throws {
    let text = minimalPlan.replacingOccurrences(
      of: "label: y", with: "label: no, positive: 010, features: [yes, 1, null]")
    let plan = try RunPlan(parsing: text)
    #expect(plan.task.label == "no")
    #expect(plan.task.positive == "010")
    #expect(plan.task.features == .named(["yes", "1", "null"]))
  }

  @Test("A generated plan holds hostile names without changing its meaning")
  func generated() throws {
    let label = "x: y # {a}\"*\\"
    let text = RunPlan.template(
      name: "demo", label: label, positive: "a \"b\"", dataSet: "set", rounds: 5, reconnect: .milliseconds(500))
    let plan = try RunPlan(parsing: text)
    #expect(plan.task.label == label)
    #expect(plan.task.positive == "a \"b\"")
    #expect(plan.rounds == 5)
    #expect(plan.deadlines.reconnect == .milliseconds(500))
  }

  @Test("A file that is missing, and one that is no text")
  func files() throws {
    try withTemporaryDirectory { directory in
      let path = "\(directory)/plan.yaml"
      #expect(federationError { try RunPlan(contentsOf: path) } == .file(.missing(path: path)))
      try Data([0xFF, 0xFE]).write(to: URL(fileURLWithPath: path))
      #expect(federationError { try RunPlan(contentsOf: path) } == .file(.notUTF8(path: path)))
      #expect(federationError { try RunPlan(contentsOf: directory) } == .file(.notRegular(path: directory)))
      try Data(minimalPlan.replacingOccurrences(of: "3", with: "x").utf8).write(to: URL(fileURLWithPath: path))
      #expect(federationError { try RunPlan(contentsOf: path) }?.message.hasPrefix("\(path):5:9: rounds:") == true)
    }
  }

  @Test("Features are taken by name, or all of them")
  func features() throws {
    let all = try RunPlan(parsing: minimalPlan)
    #expect(try all.features(of: ["b", "a"]) == ["b", "a"])
    let text = minimalPlan.replacingOccurrences(of: "label: y", with: "label: y, features: [a, b]")
    let named = try RunPlan(parsing: text)
    #expect(try named.features(of: ["c", "b", "a"]) == ["a", "b"])
    #expect(federationError { try named.features(of: ["c", "a"]) } == .features(.missing("b")))
  }
}
