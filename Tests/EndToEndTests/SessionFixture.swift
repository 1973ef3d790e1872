import AuditLog
import Cryptography
import Federation
import Foundation
import Learning

/// Files that a session starts from and that no command makes by itself.
enum SessionFixture: String {
  /// `model.safetensors`: P(label) = sigmoid(2·age − 1·visits), on standardised raw values.
  case model
  /// `hub/runs/…/report.json`: an older run that stopped, and a newer one that completed.
  case runs
  /// `alder` and `hub`: three messages that left and arrived, and one that left only.
  case logs

  func make(in directory: String) throws {
    switch self {
    case .model: try Self.makeModel(directory)
    case .runs: try Self.makeRuns(directory)
    case .logs: try Self.makeLogs(directory)
    }
  }

  private static func makeModel(_ directory: String) throws {
    let artifact = try ModelArtifact(
      model: LogisticRegressionModel(featureNames: ["age", "visits"], parameters: [2, -1, 0]),
      preprocessing: FittedPreprocessing(
        Preprocessing(names: ["standardize"]),
        standardization: Standardization(means: [50, 10], standardDeviations: [10, 5])),
      classWeights: .uniform, label: "ill", positive: "yes", run: "20260301-093000-00000000000000aa",
      context: String(repeating: "ab", count: 32), round: 3)
    try AtomicFile.replace("\(directory)/model.safetensors", bytes: artifact.encoded())
  }

  private static func makeRuns(_ directory: String) throws {
    let names = try ["alder.example", "birch.example", "cedar.example", "elm.example"].map { try OrganizationName($0) }
    let first = RunReport.Round(
      round: 1, attempt: 1, cohort: names, survivors: names, examples: 4000,
      metrics: ["accuracy": 0.9, "logLoss": 0.3, "rocAuc": 0.85, "averagePrecision": 0.5], seconds: 0.5, bytes: 2048)
    let second = RunReport.Round(
      round: 2, attempt: 2, cohort: names, survivors: Array(names.dropFirst()), examples: 3000,
      metrics: ["accuracy": 0.91, "logLoss": 0.29], seconds: 1.25, bytes: 4096)
    try write(
      RunReport(
        run: RunIdentifier("20260301-093000-00000000000000aa"), state: .stopped,
        reason: "too few participants: 2 of 3; missing: birch.example", rounds: []), directory)
    try write(
      RunReport(
        run: RunIdentifier("20260302-093000-00000000000000bb"), state: .completed, rounds: [first, second],
        model: RunReport.Model(path: "hub/model.safetensors", sha256: ModelHash(hashing: [1, 2, 3]))), directory)
  }

  private static func write(_ report: RunReport, _ directory: String) throws {
    let folder = "\(directory)/hub/runs/\(report.run)"
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    try report.write(to: "\(folder)/report.json")
  }

  private static func makeLogs(_ directory: String) throws {
    let alder = try OrganizationName("alder.example")
    let hub = try OrganizationName("hub.example")
    let time = Date(timeIntervalSince1970: 1_772_357_400)
    func writer(_ name: OrganizationName, _ folder: String) throws -> AuditLogWriter {
      let key = LogSigningKey.generate()
      let writer = try AuditLogWriter(
        directory: "\(directory)/\(folder)/log", organization: name, logKey: key, clock: { time })
      try AtomicFile.replace("\(directory)/\(folder)/log.vkey", bytes: Array((writer.verifierKey.text + "\n").utf8))
      return writer
    }
    let egress = try writer(alder, "alder")
    let ingress = try writer(hub, "hub")
    for (index, kind) in ["hello", "maskedInput", "unmasking", "poll"].enumerated() {
      let text = String(repeating: "\(index)", count: 32)
      guard let id = MessageIdentifier(text) else { throw CocoaError(.coderInvalidValue) }
      let label = MessageLabel(id: id, kind: kind)
      let payload = Array(repeating: UInt8(index), count: 1000 * (index + 1))
      var sent = AuditRecord.Draft(.messageSent)
      sent.destination = AuditRecord.Peer(name: hub)
      sent.run = "run-1"
      sent.round = index
      _ = try egress.recordEgress(sent, message: label, payload: payload)
      guard index < 3 else { continue }
      var received = AuditRecord.Draft(.messageReceived)
      received.source = AuditRecord.Peer(name: alder)
      received.run = "run-1"
      received.round = index
      try ingress.recordIngress(received, message: AuditRecord.Message(label: label, payload: payload))
    }
    var end = AuditRecord.Draft(.connectionClosed)
    end.destination = AuditRecord.Peer(name: hub)
    try egress.append(end)
    try egress.close()
    try ingress.close()
  }
}
