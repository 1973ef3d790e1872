import AuditLog
import Cryptography
import Federation
import FederationWire
import Foundation
import Learning
import SecureAggregation
import Testing

@testable import FederationClient

@Suite("A client and a server that is not to be trusted", .timeLimit(.minutes(1)))
struct HostileServerTests {
  private func hostile(_ plan: (TestFederation) throws -> RunPlan? = { _ in nil }) throws -> HostileRun {
    let federation = try TestFederation()
    return try HostileRun(federation, plan: plan(federation))
  }

  @Test("Another manifest, or this one without an approval, is refused in one word")
  func manifests() async throws {
    let run = try hostile()
    var other = try run.federation.manifest.successor(Manifest.Amendment(minimumCohort: 4))
    for party in [run.federation.server] + run.federation.parties {
      try other.approve(as: party.name, with: party.identity())
    }
    var stripped = try SignedManifest(run.federation.manifest.manifest)
    try stripped.approve(as: run.federation.server.name, with: run.federation.server.identity())
    for (manifest, rule) in [
      (other, ManifestFault.wrongPrevious(expected: run.federation.manifest.hash, found: other.hash)),
      (stripped, .missingApprovals(stripped.approvals.missing)),
    ] {
      let seen = try await run.play([run.announcement(manifest: manifest), run.end(), run.end()])
      #expect(seen.kinds == ["hello", "refusal", "ready"])
      #expect(seen.refusalClasses == [.protocol])
      #expect(seen.refusals.last == FederationError.manifest(rule).code)
      #expect(seen.result.value?.state == .stopped)
    }
  }

  @Test("A plan outside the policy is refused with every rule on the record, and none on the wire")
  func plans() async throws {
    let run = try hostile { try $0.plan(rounds: 101, clip: 20) }
    let seen = try await run.play([run.announcement(), run.end(), run.end()])
    #expect(seen.refusalClasses == [.policy])
    #expect(seen.refusals == ["bounds.clip bounds.rounds"])
    let text = String(decoding: seen.arrivals[1].bytes, as: UTF8.self)
    #expect(!text.contains("bounds"))

    // A refusal has one size, whatever the reason.
    let garbled = try hostile()
    let protocolRefusal = try await garbled.play([garbled.announcement(plan: "rounds: -1"), garbled.end(), .lost])
    #expect(protocolRefusal.refusalClasses == [.protocol])
    #expect(protocolRefusal.arrivals[1].bytes.count == seen.arrivals[1].bytes.count)

    let absent = try hostile()
    let path = "\(absent.federation.root.path)/other.csv"
    try "y,amount\n1,word\n0,2\n".write(toFile: path, atomically: true, encoding: .utf8)
    let dataRefusal = try await absent.play([absent.announcement(), absent.end(), .lost], data: path)
    #expect(dataRefusal.refusalClasses == [.unavailable])
    #expect(dataRefusal.arrivals[1].bytes.count == seen.arrivals[1].bytes.count)
    #expect(dataRefusal.refusals == ["csv-not-a-number"])
  }

  @Test("A model that does not follow from the published sums ends the run")
  func models() async throws {
    let run = try hostile()
    let honest = try run.statistics()
    let artifact = try #require(honest.after.artifact)
    let swapped = try ModelArtifact(
      model: LogisticRegressionModel(
        featureNames: TestFederation.columns, parameters: artifact.model.parameters.map { $0 + 1 }),
      preprocessing: artifact.preprocessing, classWeights: artifact.classWeights, label: artifact.label,
      positive: artifact.positive, run: artifact.run, context: artifact.context, round: 0, metadata: artifact.metadata
    ).encoded()
    let opened: [ScriptedServer.Reply] = [
      run.announcement(), run.task(run.opening(.statistics)), try run.result(),
    ]
    let seen = try await run.play(opened + [run.task(run.opening(.fit, round: 1), model: swapped)])
    #expect(seen.kinds == ["hello", "acceptance", "advertise-keys", "ready"])
    #expect(seen.result.error?.code == "server-out-of-order")
    #expect(seen.result.error?.blame == .peer)
    #expect(seen.result.error?.message.contains("does not follow") == true)

    // The same at the end of a run: no file of it is left behind.
    let last = try hostile()
    let ended = try await last.play([
      last.announcement(), last.task(last.opening(.statistics)), try last.result(), last.end(model: swapped),
    ])
    #expect(ended.result.error?.message.contains("does not follow") == true)
    #expect(!FileManager.default.fileExists(atPath: "\(last.federation.directory(last.victim))/runs"))

    // The model that does follow is taken.
    let right = try hostile()
    let model = try right.statistics().after.model
    let kept = try await right.play([
      right.announcement(), right.task(right.opening(.statistics)), try right.result(),
      right.end(model: model, state: .completed), right.end(),
    ])
    let path = try #require(kept.result.value?.modelPath)
    #expect(try [UInt8](Data(contentsOf: URL(fileURLWithPath: path))) == model)
  }

  @Test("A server cannot begin with a model of its own, nor make a client forget; one that comes back takes one, once")
  func ownModel() async throws {
    let run = try hostile()
    let model = try run.statistics().after.model
    let fit = run.opening(.fit, round: 1)
    let first = try await run.play([run.announcement(), run.task(fit, model: model)])
    #expect(first.result.error?.message.contains("does not follow") == true)
    #expect(first.kinds == ["hello", "acceptance"])

    let forced = try hostile()
    let greeting = ScriptedServer.Reply.body(
      .refused(.init(code: FederationWire.Refusal.helloRequiredCode, message: "who?", remedy: "greet")))
    let again = try await forced.play([
      forced.announcement(), greeting, forced.announcement(), forced.task(fit, model: model),
    ])
    #expect(again.kinds == ["hello", "acceptance", "hello", "acceptance"])
    #expect(again.result.error?.message.contains("does not follow") == true)

    // Nor by an announcement that is refused in between.
    let forgetful = try hostile()
    let twice = try await forgetful.play([
      forgetful.announcement(), forgetful.announcement(plan: "no plan"), forgetful.announcement(),
      forgetful.task(fit, model: model),
    ])
    #expect(twice.kinds == ["hello", "acceptance", "refusal", "refusal"])
    #expect(twice.result.error?.blame == .peer)

    let ending = try hostile()
    let ended = try await ending.play([ending.announcement(), ending.end(model: model, state: .completed)])
    #expect(ended.result.error?.message.contains("does not follow") == true)

    // A new process of the same organisation has missed sums, and says so by what it stored.
    let returned = try await run.play([
      run.announcement(), run.task(fit, model: model), run.task(run.opening(.fit, round: 1, attempt: 2)),
    ])
    #expect(returned.kinds == ["hello", "acceptance", "advertise-keys"])
    #expect(returned.result.error?.message.contains("does not follow") == true)
  }

  @Test("A cohort that changes, leaves this organisation out or names a stranger ends the run")
  func cohorts() async throws {
    for (second, code) in [
      (["alder", "birch", "cedar"], "server-out-of-order"), (["birch", "cedar", "doum"], "server-out-of-order"),
    ] {
      let run = try hostile()
      let names = try second.map { try OrganizationName("\($0).example") }
      let seen = try await run.play([
        run.announcement(), run.task(run.opening(.statistics)),
        run.task(run.opening(.statistics, attempt: 2), cohort: names),
      ])
      #expect(seen.result.error?.code == code)
      #expect(seen.kinds == ["hello", "acceptance", "advertise-keys"])
    }
    for (cohort, code) in [
      (["birch", "cedar", "doum"], "server-out-of-order"),
      (
        ["alder", "birch", "cedar", "zelkova"],
        FederationError.manifest(.unknownMember(try OrganizationName("z.example"))).code
      ),
      (["alder", "birch", "birch"], "duplicate-name"), (["alder", "birch"], "cohort-size"),
      (
        ["alder", "birch", "cedar", "hub"],
        FederationError.manifest(.unknownMember(try OrganizationName("z.example"))).code
      ),
    ] {
      let run = try hostile()
      let names = try cohort.map { try OrganizationName("\($0).example") }
      let seen = try await run.play([run.announcement(), run.task(run.opening(.statistics), cohort: names)])
      #expect(seen.result.error?.code == code, "\(cohort)")
      #expect(seen.kinds == ["hello", "acceptance"])
    }
  }

  @Test("A result that is unsigned, altered, of another sum or not due ends the run")
  func results() async throws {
    typealias Making = (HostileRun) throws -> ScriptedServer.Reply
    let results: [(Making, String)] = [
      ({ try $0.result(signer: $0.federation.parties[1]) }, "signature"),
      ({ try $0.result(nextModel: ModelHash(hashing: [7])) }, "does not follow"),
      (
        {
          var altered = try $0.statistics().sum.encoded()
          altered[altered.count - 1] ^= 1
          return try $0.result(aggregate: altered)
        }, ""
      ),
      ({ try $0.result(aggregate: $0.statistics().sum.encoded().dropLast()) }, "Protocol violation by the server"),
      ({ try $0.result(aggregate: $0.statistics(attempt: 2).sum.encoded()) }, "Protocol violation by the server"),
      ({ try $0.result(aggregate: []) }, "Protocol violation by the server"),
      (
        { try $0.result(aggregate: $0.statistics(survivors: [$0.victim.name]).sum.encoded()) },
        "fewer organisations than it needs"
      ),
      ({ try $0.result(opening: $0.opening(.fit, round: 1)) }, "not due"),
      ({ try $0.result(opening: $0.opening(.fit, round: 5)) }, "not due"),
    ]
    for (result, message) in results {
      let run = try hostile()
      let seen = try await run.play([run.announcement(), run.task(run.opening(.statistics)), try result(run)])
      let error = try #require(seen.result.error, "\(message)")
      #expect(message.isEmpty || error.message.contains(message), "\(error.message)")
      #expect(error.blame == .peer || error.blame == .participants, "\(error)")
      #expect(seen.kinds == ["hello", "acceptance", "advertise-keys"])
    }
  }

  @Test("Messages of the secure sum before a task, and tasks that the plan does not foresee, end the run")
  func order() async throws {
    let run = try hostile()
    let payload = ServerMessage.Body.round(
      RoundPayload(opening: run.opening(.statistics), kind: "roster", payload: [1, 2, 3]))
    let beforeRun = try await run.play([.body(payload)])
    #expect(beforeRun.result.error?.code == "wire-invalid-field")
    let beforeTask = try await run.play([run.announcement(), .body(payload)])
    #expect(beforeTask.result.error?.code == "server-out-of-order")
    #expect(beforeTask.kinds == ["hello", "acceptance"])
    let taskFirst = try await run.play([run.task(run.opening(.statistics))])
    #expect(taskFirst.result.error?.code == "wire-invalid-field")
    for opening in [run.opening(.fit, round: 1), run.opening(.evaluate, round: 1), run.opening(.statistics, round: 1)] {
      let seen = try await run.play([run.announcement(), run.task(opening)])
      #expect(seen.result.error?.code == "server-out-of-order", "\(opening)")
      #expect(seen.kinds == ["hello", "acceptance"])
    }
    let wrongAttempt = ServerMessage.Body.round(
      RoundPayload(opening: run.opening(.statistics, attempt: 2), kind: "roster", payload: [1, 2, 3]))
    let other = try await run.play([run.announcement(), run.task(run.opening(.statistics)), .body(wrongAttempt)])
    #expect(other.result.error?.code == "server-out-of-order")
  }

  @Test("Garbage in a round is refused in one word, and the attempt is left")
  func garbage() async throws {
    let run = try hostile()
    let garbage = ServerMessage.Body.round(
      RoundPayload(opening: run.opening(.statistics), kind: "roster", payload: [UInt8](repeating: 0xFF, count: 4000)))
    let seen = try await run.play([
      run.announcement(), run.task(run.opening(.statistics)), .body(garbage), .body(garbage),
    ])
    #expect(seen.kinds == ["hello", "acceptance", "advertise-keys", "refusal"])
    #expect(seen.refusalClasses == [.protocol])
    #expect(seen.refusals.count == 1)
    #expect(seen.result.error?.code == "server-out-of-order")
  }

  @Test("Only a higher attempt is entered, after a restart too, and it masks the integers of the first")
  func attempts() async throws {
    let run = try hostile()
    let seen = try await run.play([
      run.announcement(), run.task(run.opening(.statistics, attempt: 3)),
      run.task(run.opening(.statistics, attempt: 3)), run.task(run.opening(.statistics, attempt: 2)),
      .failure(.internalError),
    ])
    #expect(seen.kinds == ["hello", "acceptance", "advertise-keys", "refusal", "refusal"])
    #expect(seen.refusalClasses == [.state, .state])
    #expect(seen.refusals == ["attempt-not-higher", "attempt-not-higher"])
    let term = try ClientStore(path: run.federation.statePath(run.victim)).opening(run.opening(.statistics))?.term
    #expect(term?.isEmpty == false)

    let restarted = try await run.play([
      run.announcement(), run.task(run.opening(.statistics, attempt: 3)),
      run.task(run.opening(.statistics, attempt: 4)), .failure(.internalError),
    ])
    #expect(restarted.kinds == ["hello", "acceptance", "refusal", "advertise-keys"])
    #expect(restarted.refusalClasses == [.state])
    let store = try ClientStore(path: run.federation.statePath(run.victim))
    #expect(try store.opening(run.opening(.statistics))?.term == term)
    #expect(try store.opening(run.opening(.statistics))?.ledger.highestAttempt == 4)
  }

  @Test("The name of a run, used again with another plan, cohort or model, gets neither the term nor another one")
  func otherTerms() async throws {
    let run = try hostile()
    _ = try await run.play([run.announcement(), run.task(run.opening(.statistics)), .failure(.internalError)])
    let store = { try ClientStore(path: run.federation.statePath(run.victim)) }
    let before = try #require(try store().opening(run.opening(.statistics)))
    let second = run.opening(.statistics, attempt: 2)

    let other = try HostileRun(run.federation, plan: run.federation.plan(rounds: 2))
    let plan = try await other.play([other.announcement(), other.task(second), .failure(.internalError)])
    let cohort = try await run.play([
      run.announcement(), run.task(second, cohort: Array(run.federation.names.prefix(3))), .failure(.internalError),
    ])
    for seen in [plan, cohort] {
      #expect(seen.kinds == ["hello", "acceptance", "refusal"])
      #expect(seen.refusalClasses == [.state])
      #expect(seen.refusals.last == "opening-made-under-other-terms")
    }
    #expect(try store().opening(run.opening(.statistics)) == before)

    // The same with a model: the second process takes one over, as one that was away does.
    let fit = run.opening(.fit, round: 1)
    let model = try run.statistics().after.model
    _ = try await run.play([run.announcement(), run.task(fit, model: model), .failure(.internalError)])
    let begun = try #require(try store().opening(fit))
    let artifact = try ModelArtifact(decoding: model)
    let swapped = try ModelArtifact(
      model: LogisticRegressionModel(
        featureNames: TestFederation.columns, parameters: artifact.model.parameters.map { $0 + 1 }),
      preprocessing: artifact.preprocessing, classWeights: artifact.classWeights, label: artifact.label,
      positive: artifact.positive, run: artifact.run, context: artifact.context, round: 0, metadata: artifact.metadata
    ).encoded()
    let again = try await run.play([
      run.announcement(), run.task(fit.nextAttempt, model: swapped), .failure(.internalError),
    ])
    #expect(again.refusals.last == "opening-made-under-other-terms")
    #expect(try store().opening(fit) == begun)
    // Under the terms of before it goes on.
    let right = try await run.play([run.announcement(), run.task(fit.nextAttempt, model: model)])
    #expect(right.kinds == ["hello", "acceptance", "advertise-keys"])
  }

  @Test("A sum that is closed here is not opened again, and its term is not made anew")
  func closedOpening() async throws {
    let run = try hostile()
    _ = try await run.play([run.announcement(), run.task(run.opening(.statistics)), run.end(), run.end()])
    let seen = try await run.play([
      run.announcement(), run.task(run.opening(.statistics, attempt: 2)), .failure(.internalError),
    ])
    #expect(seen.refusalClasses == [.state])
    #expect(seen.refusals == ["opening-closed"])
    #expect(try ClientStore(path: run.federation.statePath(run.victim)).opening(run.opening(.statistics))?.term == nil)
  }

  @Test("The end of a run erases its terms, also of a sum that was never completed")
  func erasure() async throws {
    let run = try hostile()
    let seen = try await run.play([run.announcement(), run.task(run.opening(.statistics)), run.end(), run.end()])
    #expect(seen.result.value?.reason == "the test is over")
    let store = try ClientStore(path: run.federation.statePath(run.victim))
    #expect(try store.opening(run.opening(.statistics))?.term == nil)
    #expect(try store.opening(run.opening(.statistics))?.ledger.highestAttempt == 1)
  }

  @Test("Answers beyond their bounds, of another version or no answers at all end the run")
  func bounds() async throws {
    let run = try hostile()
    let crowd = try (0...10_000).map { try OrganizationName("o\($0).example") }
    let cases: [(ScriptedServer.Reply, String)] = [
      (run.announcement(plan: String(repeating: "#", count: 256 * 1024 + 1)), "wire-oversized"),
      (.bytes([]), "wire-version"), (.bytes([UInt8](repeating: 0xFF, count: 100_000)), "wire-malformed"),
      (.bytes([0x08, 0x02]), "wire-version"), (.bytes([0x08, 0x01]), "wire-malformed"),
      // A length of 2⁶³ − 1 in a field of three bytes.
      (.bytes([0x08, 0x01, 0x62, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x7F]), "wire-malformed"),
      (.failure(.resourceExhausted), "call-failed"), (.failure(.unauthenticated), "call-failed"),
      (.body(.refused(.init(code: "not-you", message: "no", remedy: "none"))), "not-you"),
    ]
    for (reply, code) in cases {
      let seen = try await run.play([reply])
      #expect(seen.result.error?.code == code)
      #expect(seen.kinds == ["hello"])
    }
    let seen = try await run.play([run.announcement(), run.task(run.opening(.statistics), cohort: crowd)])
    #expect(seen.result.error?.code == "wire-oversized")
  }

  @Test("A receipt for another message ends the run")
  func receipts() async throws {
    let run = try hostile()
    let receipt = Receipt(message: .random(), index: 1, leaf: LeafHash(hashing: [1]))
    let seen = try await run.play([.message(ServerMessage(instruction: 1, receipt: receipt, body: .wait))])
    #expect(seen.result.error?.code == "server-out-of-order")
    #expect(seen.result.error?.message.contains("receipt") == true)
    #expect(!seen.records.contains { $0.event == .delivery && $0.outcome == .succeeded })
  }
}
