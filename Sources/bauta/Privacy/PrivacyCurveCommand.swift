import ArgumentParser
import DifferentialPrivacy
import Federation
import FederationClient
import Foundation
import Learning
import Training

struct PrivacyCurveCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "curve", abstract: "Draw epsilon over the rounds of a plan, and what noise does to accuracy.",
    discussion: """
      Epsilon rises by a step with each sum that is charged: with privacy.tree, with the first round of each pass.

      With --accuracy the plan is carried out in this process on made-up providers (or on a file of yours that may be in \
      one place), with the same clipping, rounding and noise as in a run, for several epsilons. Noise is drawn anew each \
      time, so that figures differ from one call to the next. --output writes one HTML page with both pictures, which \
      loads nothing.

        bauta privacy curve plan.yaml --organizations 5
        bauta privacy curve plan.yaml --organizations 5 --accuracy --output privacy.html
      """)

  @Argument(help: "Plan (YAML).", completion: .file(extensions: ["yaml"]))
  var plan: String

  @OptionGroup var cohort: PlannedCohortOptions

  @Flag(help: "Train as well, at epsilon 0.5, 1, 3, 8 and with next to no noise.")
  var accuracy = false

  @Option(
    help: ArgumentHelp("Rows for --accuracy in place of made-up ones.", valueName: "file"),
    completion: .file(extensions: ["csv"]))
  var data: String?

  @Option(
    name: .customLong("trials"),
    help: ArgumentHelp("Trainings for each epsilon of --accuracy, 1 to 100. (default: 3)", valueName: "n"))
  var givenTrials: Int?

  private var trials: Int { givenTrials ?? 3 }

  @Option(
    help: ArgumentHelp("Write the pictures as one HTML page.", valueName: "file"),
    completion: .file(extensions: ["html"]))
  var output: String?

  @OptionGroup var format: JSONOption

  func validate() throws {
    guard (1...100).contains(trials) else { throw ValidationError("--trials is from 1 to 100.") }
    if data != nil, !accuracy { throw ValidationError("--data goes with --accuracy.") }
    if givenTrials != nil, !accuracy { throw ValidationError("--trials goes with --accuracy.") }
  }

  /// What one epsilon gave.
  struct Accuracy: Sendable {
    /// Nil without noise.
    let epsilon: Double?
    let noiseMultiplier: Double
    let areas: [Double]

    var mean: Double { areas.reduce(0, +) / Double(max(1, areas.count)) }
    var lowest: Double { areas.min() ?? .nan }
    var highest: Double { areas.max() ?? .nan }
  }

  func run() async throws {
    let planned = try PlannedPrivacy(path: plan, cohort: cohort)
    // Before minutes of training, not after.
    if let output { try Self.requirePlace(output) }
    let curve = try planned.curve()
    let accuracies = accuracy ? try measure(planned) : []
    if let output {
      try AtomicFile.replace(
        output,
        bytes: Array(
          PrivacyPage(planned: planned, curve: curve, accuracies: accuracies, measurement: measurement).html.utf8))
    }
    if format.json {
      Output.standard.json(json(planned, curve, accuracies))
    } else {
      show(planned, curve, accuracies)
    }
  }

  private static func requirePlace(_ path: String) throws(CommandError) {
    let parent = URL(fileURLWithPath: path).deletingLastPathComponent().path
    guard access(parent, W_OK | X_OK) == 0 else {
      throw .unwritable(path: path, reason: String(cString: strerror(errno)))
    }
  }

  private func measure(_ planned: PlannedPrivacy) throws -> [Accuracy] {
    let tables = try rows(planned)
    let columns = tables.first?.featureNames.count ?? 0
    guard columns == planned.features else {
      throw CommandError.usage(
        "the rows have \(Figures.counted(columns, "column")) beside the label, and --features says \(planned.features)",
        remedy: "Give --features \(columns), or leave it out where the plan names its columns.")
    }
    let rehearsal = try PlanRehearsal(plan: planned.plan, manifest: planned.manifest, tables: tables)
    return try [0.5, 1, 3, 8, nil].compactMap { (epsilon: Double?) throws -> Accuracy? in
      try trained(at: epsilon, planned, rehearsal)
    }
  }

  /// Nil where the plan cannot be had at that epsilon.
  private func trained(
    at epsilon: Double?, _ planned: PlannedPrivacy, _ rehearsal: PlanRehearsal
  ) throws -> Accuracy? {
    let noise: NoiseAgreement
    if let epsilon {
      guard let found = try? planned.agreement.with(epsilon: epsilon) else { return nil }
      noise = found
    } else {
      noise = try planned.agreement.withLeastNoise()
    }
    if !format.json {
      Output.standard.line(
        "\(Figures.counted(trials, "training")) "
          + (epsilon.map { "at ε = \(JSONValue.number($0).text)" } ?? "with next to no noise"))
      Output.standard.flush()
    }
    var areas: [Double] = []
    var next = ContinuousClock.now + .seconds(5)
    for number in 1...trials {
      if let area = try rehearsal.train(noise: noise).metrics.rocAuc { areas.append(area) }
      guard !format.json, number < trials, .now >= next else { continue }
      Output.error.line("  \(number) of \(trials)")
      Output.error.flush()
      next = .now + .seconds(5)
    }
    return Accuracy(epsilon: epsilon, noiseMultiplier: noise.form.noiseMultiplier, areas: areas)
  }

  /// What was measured on what.
  private var measurement: String {
    let rows = data.map { URL(fileURLWithPath: $0).lastPathComponent } ?? "made-up providers"
    return "ROC AUC on held-out rows of \(rows), \(Figures.counted(trials, "training")) for each ε"
  }

  private func rows(_ planned: PlannedPrivacy) throws -> [FeatureTable] {
    let (task, count) = (planned.plan.task, planned.manifest.organizations.count)
    if let data {
      let features: Training.FeatureSelection =
        switch task.features {
        case .all: .all
        case .named(let names): .list(names)
        }
      let table = try CSVTable.load(path: data, label: task.label, positive: task.positive, features: features)
      return DemoData.divide(table, into: count, seed: planned.plan.data.splitSeed)
    }
    let tables = try (0..<count).map {
      try SyntheticProviders.generate(
        rows: 1000, organization: $0, organizations: count, seed: planned.plan.data.splitSeed)
    }
    guard let names = tables.first?.featureNames, planned.plan.task.features == .named(names) || task.features == .all
    else {
      throw CommandError.usage(
        "made-up providers have other columns than the plan names",
        remedy: "Give rows that may be in one place with --data FILE.")
    }
    return tables
  }

  private func show(
    _ planned: PlannedPrivacy, _ curve: [(task: TaskKind, round: Int, epsilon: Double)], _ accuracies: [Accuracy]
  ) {
    let output = Output.standard
    output.line("\(plan, .strong): ε at δ = \(planned.settings.delta), after each sum")
    let width = 50.0
    let highest = curve.map(\.epsilon).max() ?? 1
    // A long run is shown at some of its rounds, and always at its end.
    let stride = max(1, curve.count / 20)
    for (index, point) in curve.enumerated() where index % stride == 0 || index >= curve.count - 2 {
      let bar = String(repeating: "█", count: max(1, Int(point.epsilon / highest * width)))
      let name = point.task == .evaluate ? "evaluation" : "round \(point.round)"
      output.line("  \(Self.padded(name, to: 12))\(Self.padded(PrivacyForecast.text(point.epsilon), to: 8))\(bar)")
    }
    guard !accuracies.isEmpty else { return }
    output.line()
    output.line("\(measurement)")
    var table = Table(
      [.number("ε"), .number("noise"), .number("mean"), .number("from"), .number("to")], indentation: 2)
    for accuracy in accuracies {
      table.append([
        "\(accuracy.epsilon.map { Figures.decimals($0, 1) } ?? "∞")",
        "\(Figures.decimals(accuracy.noiseMultiplier, 2))",
        "\(Figures.decimals(accuracy.mean, 4))", "\(Figures.decimals(accuracy.lowest, 4))",
        "\(Figures.decimals(accuracy.highest, 4))",
      ])
    }
    output.table(table)
  }

  private static func padded(_ text: String, to width: Int) -> String {
    text + String(repeating: " ", count: max(1, width - text.count))
  }

  private func json(
    _ planned: PlannedPrivacy, _ curve: [(task: TaskKind, round: Int, epsilon: Double)], _ accuracies: [Accuracy]
  ) -> JSONValue {
    .object([
      "schema": .string("bauta/privacy-curve/1"), "plan": .string(plan), "delta": .number(planned.settings.delta),
      "points": .array(
        curve.map {
          .object([
            "task": .string($0.task.rawValue), "round": .count($0.round), "epsilon": .number($0.epsilon),
          ])
        }),
      "accuracy": .array(
        accuracies.map {
          .object([
            "epsilon": $0.epsilon.map { .number($0) } ?? .null, "noiseMultiplier": .number($0.noiseMultiplier),
            "rocAuc": .array($0.areas.map { .number($0) }),
          ])
        }),
    ])
  }
}
