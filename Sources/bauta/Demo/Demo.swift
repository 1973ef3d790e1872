import AuditLog
import Cryptography
import Federation
import Foundation
import Learning
import Training

/// A whole federation on one machine: set up, run in processes of its own, compared and checked.
struct Demo: Sendable {
  let settings: DemoSettings
  let data: DemoData
  /// An empty directory.
  let place: String
  let narrator: DemoNarrator

  private var hubPath: String { "\(place)/hub" }
  private var planPath: String { "\(place)/plan.yaml" }
  private func path(of name: OrganizationName) -> String {
    "\(place)/\(name.value.prefix { $0 != "." })"
  }

  func run() async throws -> DemoOutcome {
    var times = DemoTimes()
    narrator.step("1. Organisations with data and keys of their own")
    let port = try LoopbackPort.free()
    try setUp(data, port: port)
    times.mark("set-up")

    narrator.step("2. A run in \(settings.names.count + 1) processes over mutual TLS on port \(port)")
    let report = try await perform()
    times.mark("run")

    var comparison: DemoComparison?
    if report.state == .completed {
      narrator.step("3. What it is worth")
      comparison = try compare(data, report)
      times.mark("comparison")
    }
    narrator.step("\(comparison == nil ? 3 : 4). What left, checked from the files alone")
    let audit = try check()
    times.mark("audit")
    return DemoOutcome(
      place: place, organizations: settings.names.map { path(of: $0) }, hub: hubPath, plan: planPath, report: report,
      comparison: comparison, audit: audit, times: times, drops: settings.drops,
      privacy: settings.privacy)
  }

  // MARK: - Set-up

  /// What operators and security officers do by hand, with the same functions as their commands.
  private func setUp(_ data: DemoData, port: Int) throws {
    let server = try FederationInitializer.initialize(
      .init(
        federation: try OrganizationName("fraud.example"), serverName: try OrganizationName("hub.example"),
        addresses: [try NetworkAddress("127.0.0.1:\(port)")]), at: hubPath)
    var candidates: [Admission.Candidate] = []
    for (name, table) in zip(settings.names, data.tables) {
      let organization = try OrganizationInitializer.initialize(
        name, at: path(of: name), policy: settings.privacy.map(Self.policy) ?? Policy.template)
      try CSVTable.write(table, label: data.label, path: "\(path(of: name))/data.csv")
      candidates.append(try Admission.Candidate(contentsOf: organization.requestPath))
      narrator.line(
        "   \(name): \(Figures.counted(table.rowCount, "row")), \(Figures.percent(table.positiveCount, of: table.rowCount)) positive"
      )
    }
    let admission = try Admission.admit(candidates, in: server.directory)
    var notes: [String] = []
    for invitation in admission.invitations {
      let directory = try OrganizationDirectory(opening: path(of: invitation.name))
      let offer = Approval.Offer.invitation(try Invitation(contentsOf: invitation.path))
      notes.append(try Approval.approve(Approval.propose(offer, from: invitation.path, to: directory)).notePath)
    }
    _ = try Approval.collect(notes, in: server.directory)
    narrator.line("   hub.example: admitted all; every organisation has approved the manifest")
    let plan = try Self.planText(settings, data)
    if let noise = try RunPlan(parsing: plan).privacy.settings { narrator.line("   the plan \(noise.summary)") }
    // Nobody is far away here: who has not answered within seconds will not.
    let quick = plan.replacing("accept: 30s", with: "accept: 5s")
    try AtomicFile.replace(planPath, bytes: Array(quick.utf8))
  }

  /// Noise that cannot be had is said before anything is made.
  static func requireNoise(_ settings: DemoSettings, _ data: DemoData) throws {
    guard let privacy = settings.privacy else { return }
    let plan = try RunPlan(parsing: planText(settings, data))
    let manifest = try PlannedSums.federation(of: settings.names.count)
    do throws(FederationError) {
      _ = try NoiseAgreement(plan: plan, manifest: manifest, features: data.tables[0].featureNames.count)
    } catch {
      throw CommandError.usage(
        "--epsilon \(JSONValue.number(privacy.epsilon).text): \(error.message)", remedy: error.remedy)
    }
  }

  private static func planText(_ settings: DemoSettings, _ data: DemoData) throws -> String {
    guard let privacy = settings.privacy else {
      return RunPlan.template(
        name: "fraud", label: data.label, positive: data.positive, dataSet: "demonstration", rounds: settings.rounds,
        splitSeed: settings.seed, reconnect: .seconds(1))
    }
    // Constants from rows that anybody can make; a public number of rows, rounded so that it says nothing of single ones.
    let scaling = try DemoData.publicScaling(of: data.tables[0].featureNames)
    let rows = data.tables.reduce(0) { $0 + $1.rowCount }
    var template = PrivateTemplate(
      name: "fraud", label: data.label, positive: data.positive, dataSet: "demonstration",
      features: data.tables[0].featureNames, scaling: scaling, expectedExamples: max(1, rows * 8 / 1000) * 100,
      organizations: settings.names.count, epsilon: privacy.epsilon)
    template.noise = privacy.noise
    template.rounds = settings.rounds
    template.minimumClients = max(3, settings.names.count - 1)
    template.splitSeed = settings.seed
    template.reconnect = .seconds(1)
    return template.text
  }

  // MARK: - Run

  private func perform() async throws -> RunReport {
    let processes = DemoProcesses()
    let signals = Interruption {
      processes.terminate()
      Foundation.exit(130)
    }
    defer {
      signals.cancel()
      processes.terminate()
    }
    let events = "\(hubPath)/events.jsonl"
    let server = try processes.start(
      ["server", "--plan", planPath, "--directory", hubPath, "--patience", "60", "--json"], output: events,
      errors: "\(hubPath)/server.err")
    for name in settings.names {
      var arguments = ["client", "--directory", path(of: name), "--data", "\(path(of: name))/data.csv"]
      arguments += ["--patience", "60"]
      if let round = settings.drops[name] { arguments += ["--drop-in-round", String(round)] }
      _ = try processes.start(
        arguments, output: "\(path(of: name))/client.log", errors: "\(path(of: name))/client.err")
    }
    try await DemoEvents(path: events, hasNoise: settings.privacy != nil, narrator: narrator).follow(while: {
      server.isRunning
    })
    await processes.waitForClients()
    do { return try RunFiles.report(nil, in: hubPath) } catch {
      throw CommandError.unsuitable(
        path: "\(hubPath)/server.err", problem: "the server ended before the run began: \(firstLine(of: "server.err"))",
        remedy: "Read that file; the clients' words are beside their data in client.log and client.err.")
    }
  }

  private func firstLine(of file: String) -> String {
    let text = (try? String(contentsOfFile: "\(hubPath)/\(file)", encoding: .utf8)) ?? ""
    return text.split(separator: "\n").first.map(String.init) ?? "it said nothing"
  }

  // MARK: - Comparison

  private func compare(_ data: DemoData, _ report: RunReport) throws -> DemoComparison {
    let plan = try RunPlan(contentsOf: planPath)
    let organizations = try data.tables.map { table in
      let split = try plan.split(table)
      return OrganizationData(train: split.train, test: split.test)
    }
    // What it is compared with has no noise, and statistics of the rows.
    let baselines = try Baselines(
      organizations: organizations, preprocessing: Preprocessing(names: ["signedLog1p", "standardize"]),
      l2: plan.model.l2, isBalanced: true)
    let model = try ModelArtifact(decoding: LocalFile.read(report.model?.path ?? "", maximum: 1 << 26))
    let test = try FeatureTable.concatenating(organizations.map(\.test))
    let federated = try BinaryMetrics(logits: model.logits(test), labels: test.labels)
    let alone = try settings.names.indices.map { try baselines.alone($0).metrics }
    let comparison = DemoComparison(
      pooled: try baselines.pooled().metrics, federated: federated,
      alone: zip(settings.names, alone).map { ($0, $1) })
    if let output = narrator.output { comparison.show(output) }
    return comparison
  }

  // MARK: - Audit

  private func check() throws -> DemoAudit {
    guard let manifest = try ServerDirectory(opening: hubPath).manifest()?.manifest else {
      throw CommandError.missing(path: "\(hubPath)/federation.note", what: "file")
    }
    var logs: [DemoAudit.Log] = []
    for directory in settings.names.map({ path(of: $0) }) + [hubPath] {
      let result = try LogVerifier.verify(directory, key: .manifest(manifest))
      let failure = result.report.checks.first { $0.result == .failed }
      logs.append(
        .init(
          directory: directory, records: (result.report.size ?? 0) + result.report.unsignedTail,
          tail: result.report.unsignedTail,
          isVerified: result.report.verified, failure: failure.map { "\($0.name.rawValue) at \($0.at): \($0.detail)" }))
    }
    let reconciliation = try AuditReconciliation.reconcile(
      egress: settings.names.map { path(of: $0) }, ingress: hubPath)
    let audit = DemoAudit(logs: logs, reconciliation: reconciliation)
    if let output = narrator.output { audit.show(output) }
    return audit
  }
}

extension Demo {
  /// A policy under which this run, and no second one of its cost, fits.
  private static func policy(_ privacy: DemoSettings.Privacy) -> String {
    Policy.template.replacing(
      "privacy: {unit: none, epsilon: null, epsilonInAll: null, delta: null}",
      with: "privacy: {unit: record, epsilon: \(privacy.epsilon), delta: 1e-5"
        + (privacy.noise == .central ? ", trustServer: true}" : "}"))
  }
}

extension String {
  fileprivate func replacing(_ text: String, with other: String) -> String {
    replacingOccurrences(of: text, with: other)
  }
}
