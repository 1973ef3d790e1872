import Cryptography
import Federation
import Foundation
import SecureAggregation
import Synchronization

@testable import AuditLog
@testable import FederationClient

final class AuditorKey: Sendable { let pair = AuditorKeyPair.generate() }

/// A federation whose policies keep secrets for an auditor, and what its members do at their desks between runs.
protocol OpeningFederation {
  var runs: CoordinatorTests { get }
  var key: AuditorKey { get }
}

extension OpeningFederation {
  var federation: TestFederation { runs.federation }

  var policy: String {
    Policy.template.replacingOccurrences(of: "keepSecretsFor: 0d", with: "keepSecretsFor: 30d")
      .replacingOccurrences(of: "auditor: null", with: "auditor: \(key.pair.publicKey)")
  }

  var policies: [Int: String] { Dictionary(uniqueKeysWithValues: (0..<4).map { ($0, policy) }) }

  func sealedDirectory(_ index: Int) -> String { "\(federation.directory(federation.parties[index]))/sealed" }

  func files(_ index: Int) -> [String] {
    ((try? FileManager.default.contentsOfDirectory(atPath: sealedDirectory(index))) ?? []).sorted()
  }

  func erased(_ index: Int) throws -> [AuditRecord] {
    try federation.records(federation.parties[index]).filter { $0.event == .sealedSecretsErased }
  }

  /// What an organisation does between runs, with its log and state.
  func atDesk<Result>(_ index: Int, _ body: (OpeningDesk) throws -> Result) throws -> Result {
    let party = federation.parties[index]
    let log = try federation.writer(party)
    let desk = OpeningDesk(
      name: party.name, manifest: federation.manifest.manifest, sealedDirectory: sealedDirectory(index), log: log,
      store: try ClientStore(path: federation.statePath(party), reviewedAgainst: log), identity: try party.identity(),
      minimumHonest: 2)
    do {
      let result = try body(desk)
      try desk.close()
      return result
    } catch {
      try? desk.close()
      throw error
    }
  }

  func refusal(_ index: Int, _ body: (OpeningDesk) throws -> Void) throws -> String {
    do {
      try atDesk(index, body)
    } catch let error as OpeningError {
      return error.code
    }
    return "nothing"
  }

  func request(_ run: RunIdentifier, by index: Int = 0, task: TaskKind = .fit) throws -> OpeningRequest {
    try atDesk(index) {
      // Handed over as a file.
      try OpeningRequest(
        parsing: $0.request(run: run, task: task, round: task == .statistics ? 0 : 1).serialized)
    }
  }

  func consents(_ members: [Int], to request: OpeningRequest) throws -> [OpeningConsent] {
    try members.map { index in
      try atDesk(index) { try OpeningConsent(parsing: $0.consent(to: request).serialized) }
    }
  }

  func prove(
    _ request: OpeningRequest, _ consents: [OpeningConsent], at moment: Date = Date(), ingress: String? = nil
  ) throws -> OpeningReport {
    try atDesk(0) {
      try $0.prove(.init(request: request, consents: consents, ingress: ingress), key: key.pair, at: moment)
    }
  }
}
