import Cryptography
import Federation
import Foundation
import SecureAggregation
import Synchronization
import Testing

@testable import AuditLog
@testable import FederationClient

/// Real clients with a coordinator in one process, under a policy that keeps secrets for an auditor.
@Suite("Openings", .serialized, .timeLimit(.minutes(1)))
struct OpeningTests: OpeningFederation {
  let runs: CoordinatorTests
  let key = AuditorKey()

  init() throws { runs = try CoordinatorTests() }

  @Test("What left is proved: secrets are kept for every sum, a quorum agrees, and every step holds")
  func whole() async throws {
    let outcome = try await runs.run(policies: policies)
    #expect(outcome.report.state == .completed, "\(outcome.report.reason ?? "")")
    let run = outcome.report.run
    for index in 0..<4 {
      #expect(files(index) == ["\(run)-evaluate-1-1", "\(run)-fit-1-1", "\(run)-statistics-0-1"])
      let path = "\(sealedDirectory(index))/\(run)-fit-1-1"
      #expect(try FileManager.default.attributesOfItem(atPath: path)[.posixPermissions] as? Int == 0o600)
      #expect(try SealedFile(path: path).header.organization == federation.names[index])
    }
    for task in [TaskKind.statistics, .fit, .evaluate] {
      let request = try request(run, task: task)
      let report = try prove(request, try consents([1, 2], to: request))
      #expect(report.holds, "\(task): \(report.failure?.step.rawValue ?? "") \(report.failure?.error.message ?? "")")
      #expect(report.passed.map(\.step) == OpeningReport.Step.allCases.filter { $0 != .ingress })
      #expect(report.wasUnsealed)
    }
    let records = try federation.records(federation.parties[0])
    #expect(records.filter { $0.event == .openingRequested }.count == 3)
    let opened = records.filter { $0.event == .maskedInputOpened }
    #expect(opened.map(\.outcome) == [.succeeded, .succeeded, .succeeded])
    #expect(opened.allSatisfy { $0.opening?.auditor == key.pair.publicKey.digest })
    #expect(try federation.records(federation.parties[1]).filter { $0.event == .openingConsented }.count == 3)
    #expect(try federation.records(federation.parties[3]).filter { $0.event == .openingConsented }.isEmpty)
    #expect(federation.parties.allSatisfy(federation.verify))
  }

  @Test("One opening a slot: whoever comes second finds no quorum, and nothing is unsealed without one")
  func slots() async throws {
    let run = try await runs.run(policies: policies).report.run
    let request = try request(run)
    let rule = request.terms.rule
    #expect(rule.slots == 1 && rule.quorum == 3)
    let agreed = try consents([1, 2], to: request)
    // Agreed to: the slot is gone for those who did, in their own name too.
    #expect(try refusal(1) { _ = try $0.request(run: run, task: .fit, round: 1) } == "opening-beyond-honest-minimum")
    #expect(
      try refusal(0) { _ = try $0.request(run: run, task: .fit, round: 1, slot: 2) } == "opening-beyond-honest-minimum")
    // doum has agreed to nothing and asks for itself; the others do not agree.
    let second = try self.request(run, by: 3)
    for index in 0..<3 { #expect(try refusal(index) { _ = try $0.consent(to: second) } == "opening-slot-taken") }
    #expect(try refusal(3) { _ = try $0.consent(to: request) } == "opening-slot-taken")
    // Asking again, and agreeing again, are one and the same.
    #expect(try self.request(run).terms == request.terms)
    _ = try consents([1], to: request)
    #expect(try refusal(0) { _ = try $0.consent(to: request) } == "opening-own-request")
    #expect(try refusal(1) { _ = try $0.request(run: run, task: .fit, round: 2) } == "opening-not-openable")

    // Without a quorum, with one consent twice, and with consents to something else.
    for few in [[], [agreed[0]], [agreed[0], agreed[0]]] {
      let report = try prove(request, few)
      #expect(report.failure?.error.code == "opening-too-few-consents" && !report.wasUnsealed)
    }
    #expect(try prove(second, agreed).failure?.step == .request)
    let other = try self.request(run, task: .evaluate)
    #expect(try prove(other, agreed).failure?.error.code == "opening-other-request")
    let refused = try federation.records(federation.parties[0]).filter { $0.event == .maskedInputOpened }
    #expect(refused.count == 5 && refused.allSatisfy { $0.outcome == .refused && $0.error != nil })
    #expect(try prove(request, agreed).holds)
  }

  @Test("A consent is remembered: neither a lost state nor a lost log makes room for a second organisation")
  func remembered() async throws {
    let run = try await runs.run(policies: policies).report.run
    let first = try request(run)
    _ = try consents([1], to: first)
    let second = try request(run, by: 3)
    let party = federation.parties[1]
    // The state forgets what was agreed to; the log does not.
    try Self.forget(first.terms.opening, in: federation.statePath(party))
    #expect(try refusal(1) { _ = try $0.consent(to: second) } == "opening-slot-taken")
  }

  private static func forget(_ opening: OpeningIdentifier, in path: String) throws {
    let store = try ClientStore(path: path)
    try store.write { try $0.execute("DELETE FROM opening_consent") }
    #expect(try store.consents(to: opening).isEmpty)
  }

  @Test("A statement that was not signed as the request says it is not agreed to")
  func foreignStatement() async throws {
    let run = try await runs.run(policies: policies).report.run
    let honest = try request(run)
    func forged(_ old: String, _ new: String) throws -> OpeningRequest {
      let text = String(decoding: honest.note.text, as: UTF8.self).replacingOccurrences(of: old, with: new)
      let note = try OpeningNote.signed(
        text, by: federation.names[0], key: federation.parties[0].identity(), what: "the request")
      return try OpeningRequest(parsing: note.serialized)
    }
    let terms = honest.terms
    let (names, statement) = (federation.names, terms.statement)
    for (old, new, code) in [
      ("attempt: 1", "attempt: 2", "opening-unknown-statement"),
      ("context: \(terms.context)", "context: \(statement.transcript)", "opening-unknown-statement"),
      (
        "maskedInputRoot: \(statement.maskedInputRoot)", "maskedInputRoot: \(terms.context)",
        "opening-unknown-statement"
      ),
      ("survivors: \(names[0]) \(names[1]) ", "survivors: \(names[0]) ", "opening-unknown-statement"),
      ("assumedCorrupt: 1", "assumedCorrupt: 0", "opening-unknown-statement"),
      ("slot: 1", "slot: 2", "opening-beyond-honest-minimum"),
      ("federation: fraud.example", "federation: other.example", "opening-other-federation"),
    ] {
      let request = try forged(old, new)
      #expect(request != honest)
      #expect(try refusal(1) { _ = try $0.consent(to: request) } == code, "\(new)")
    }
    // Signed by somebody else than it names.
    let note = try OpeningNote.signed(
      honest.note.textString, by: names[0], key: federation.parties[2].identity(), what: "the request")
    #expect(
      try refusal(1) { _ = try $0.consent(to: OpeningRequest(parsing: note.serialized)) } == "opening-note-not-signed")
    #expect(try federation.records(federation.parties[1]).filter { $0.event == .openingConsented }.isEmpty)
    // Notes have one form.
    #expect(throws: OpeningError.self) { try forged("slot: 1", "slot: 01") }
    #expect(throws: OpeningError.self) { try forged("slot: 1", "slot:  1") }
    #expect(throws: OpeningError.self) { try OpeningRequest(parsing: Array(honest.serialized.dropLast())) }
    #expect(throws: OpeningError.self) { try OpeningConsent(parsing: honest.serialized) }
  }

  @Test("A file that is altered, cut, of another organisation, or past its time proves nothing, each by its name")
  func files() async throws {
    let run = try await runs.run(policies: policies).report.run
    let request = try request(run)
    let agreed = try consents([1, 2], to: request)
    let path = "\(sealedDirectory(0))/\(run)-fit-1-1"
    let sealed = try Data(contentsOf: URL(fileURLWithPath: path))
    func code(_ bytes: Data?) throws -> String? {
      try? FileManager.default.removeItem(atPath: path)
      try bytes?.write(to: URL(fileURLWithPath: path))
      return try prove(request, agreed).failure?.error.code
    }
    func flipped(_ place: Int) -> Data {
      var bytes = sealed
      bytes[place] ^= 1
      return bytes
    }
    let headerLength = Int(sealed[2]) << 8 | Int(sealed[3])
    #expect(try code(nil) == "opening-secrets-missing")
    #expect(try code(Data()) == "opening-file-malformed")
    #expect(try code(flipped(0)) == "opening-file-malformed")
    #expect(try code(sealed.dropLast()) == "opening-file-truncated")
    #expect(try code(sealed + [0]) == "opening-file-truncated")
    for place in [4 + headerLength, 4 + headerLength + 90, sealed.count / 2, sealed.count - 1] {
      #expect(try code(flipped(place)) == "opening-file-altered", "\(place)")
    }
    // In the header the window is authenticated too: a file cannot be made to last longer.
    #expect(try code(sealed) == nil)
    let header = try SealedFile(path: path).header
    let longer = SealedHeader(
      organization: header.organization, opening: header.opening, context: header.context,
      commitment: header.commitment, auditor: header.auditor, sealedAt: header.sealedAt, until: header.until + 86_400,
      subjectByteCount: header.subjectByteCount, tensorCount: header.tensorCount, counterCount: header.counterCount)
    var prolonged = Data(sealed.prefix(4))
    prolonged.append(contentsOf: longer.encoded())
    prolonged.append(sealed.suffix(from: 4 + headerLength))
    #expect(prolonged.count == sealed.count)
    #expect(try code(prolonged) == "opening-file-altered")
    let others = try Data(contentsOf: URL(fileURLWithPath: "\(sealedDirectory(1))/\(run)-fit-1-1"))
    #expect(try code(others) == "opening-other-file")
    let task = try Data(contentsOf: URL(fileURLWithPath: "\(sealedDirectory(0))/\(run)-evaluate-1-1"))
    #expect(try code(task) == "opening-other-file")
    try sealed.write(to: URL(fileURLWithPath: path))
    let late = try prove(request, agreed, at: Date() + 31 * 86_400)
    #expect(late.failure?.error.code == "opening-past-window" && !late.wasUnsealed)
    let wrong = AuditorKeyPair.generate()
    let other = try atDesk(0) { try $0.prove(.init(request: request, consents: agreed), key: wrong) }
    #expect(other.failure?.error.code == "opening-other-auditor" && !other.wasUnsealed)
    #expect(try prove(request, agreed).holds)
  }

  @Test("A log that says something else left does not pass, nor does one without the request")
  func logs() async throws {
    let run = try await runs.run(policies: policies).report.run
    let request = try request(run)
    let agreed = try consents([1, 2], to: request)
    let party = federation.parties[0]
    // A masked input of the same attempt, that nobody has asked about.
    let log = try federation.writer(party)
    let sent = try #require(
      try federation.records(party).first {
        $0.event == .messageSent && $0.message?.label.kind == "masked-input" && $0.task == "fit"
      })
    let label = MessageLabel(id: .random(), kind: "masked-input")
    _ = try log.recordEgress(sent.content, message: label, payload: [1, 2, 3])
    try log.close()
    #expect(try prove(request, agreed).failure?.error.code == "opening-egress-repeated")
    // A request that was never on the record where it says.
    let forged = try OpeningNote.signed(
      request.note.textString.replacingOccurrences(of: "entry: \(request.entry)", with: "entry: 0"),
      by: party.name, key: party.identity(), what: "the request")
    let moved = try OpeningRequest(parsing: forged.serialized)
    #expect(try prove(moved, try consents([1, 2], to: moved)).failure?.error.code == "opening-not-recorded")
  }

  /// A server's log of what the first organisation's own says that it sent.
  ///
  /// - Parameter alter: what else was received, or was received otherwise.
  private func ingress(
    _ name: String, _ alter: (inout [AuditRecord.Draft]) throws -> Void = { _ in }
  ) throws -> String {
    let party = federation.parties[0]
    var drafts = try federation.records(party).filter { $0.event == .messageSent }.map { sent in
      var draft = AuditRecord.Draft(.messageReceived)
      draft.source = .init(name: party.name)
      (draft.run, draft.task, draft.round, draft.attempt) = (sent.run, sent.task, sent.round, sent.attempt)
      draft.message = sent.message
      return draft
    }
    try alter(&drafts)
    let path = "\(federation.root.path)/\(name)"
    let log = try AuditLogWriter(
      directory: path, organization: federation.server.name, logKey: federation.server.logKey())
    for draft in drafts { _ = try log.recordIngress(draft, message: try #require(draft.message)) }
    try log.close()
    return path
  }

  @Test("The server's log must hold what left, and no other masked input of the attempt")
  func ingress() async throws {
    let run = try await runs.run(policies: policies).report.run
    let request = try request(run)
    let agreed = try consents([1, 2], to: request)
    let whole = try prove(request, agreed, ingress: try ingress("whole"))
    #expect(whole.holds, "\(whole.failure?.error.message ?? "")")
    #expect(whole.passed.map(\.step) == OpeningReport.Step.allCases)

    func place(_ drafts: [AuditRecord.Draft]) throws -> Int {
      try #require(drafts.firstIndex { $0.message?.label.kind == "masked-input" && $0.task == "fit" })
    }
    func code(_ name: String, _ alter: (inout [AuditRecord.Draft]) throws -> Void) throws -> String? {
      try prove(request, agreed, ingress: try ingress(name, alter)).failure?.error.code
    }
    #expect(try code("missing") { $0.remove(at: try place($0)) } == "opening-ingress-missing")
    let differs = try code("differs") { drafts in
      let place = try place(drafts)
      let label = try #require(drafts[place].message?.label)
      drafts[place].message = .init(label: label, payload: [1, 2, 3])
    }
    #expect(differs == "opening-ingress-differs")
    // What left off the record came first: it is what the server summed.
    for kind in ["masked-input", "masked-input-segment"] {
      func other(_ drafts: [AuditRecord.Draft]) throws -> AuditRecord.Draft {
        var other = drafts[try place(drafts)]
        other.message = .init(label: .init(id: .random(), kind: kind), payload: [1, 2, 3])
        return other
      }
      #expect(try code("other \(kind)") { $0.insert(try other($0), at: 0) } == "opening-ingress-differs")
      let later = try code("later \(kind)") { drafts in
        var other = try other(drafts)
        other.attempt = 2
        drafts.append(other)
      }
      #expect(later == nil)
    }
  }

  @Test("An opening is proved from a log whose first entries are no longer kept")
  func pruned() async throws {
    let party = federation.parties[0]
    func writer() throws -> AuditLogWriter {
      try AuditLogWriter(
        directory: federation.logPath(party), organization: party.name, logKey: party.logKey(),
        options: .init(segmentEntries: 256), clock: { Date() })
    }
    var log = try writer()
    for _ in 0..<300 { try log.append(AuditRecord.Draft(.serviceStarted)) }
    try log.close()
    let run = try await runs.run(policies: policies).report.run
    let request = try request(run)
    let agreed = try consents([1, 2], to: request)
    log = try writer()
    #expect(try log.prune(below: 256)?.below == 256)
    try log.close()
    let report = try prove(request, agreed)
    #expect(report.holds, "\(report.failure?.step.rawValue ?? "") \(report.failure?.error.message ?? "")")
    // The checkpoint that a request names is held against the tree all the same.
    for (old, new) in [
      ("root: \(request.root)", "root: \(request.terms.context)"),
      ("size: \(request.size)", "size: \(request.size + 1)"),
      ("size: \(request.size)", "size: \(request.size + 500)"),
    ] {
      let note = try OpeningNote.signed(
        request.note.textString.replacingOccurrences(of: old, with: new), by: party.name, key: party.identity(),
        what: "the request")
      let forged = try OpeningRequest(parsing: note.serialized)
      #expect(try prove(forged, try consents([1, 2], to: forged)).failure?.error.code == "opening-not-recorded")
    }
  }

  @Test("Attempts of a sum mask the same term: a slot that is agreed to in one is taken in the others")
  func attempts() throws {
    let run = RunIdentifier.generate(at: Date())
    let names = federation.names.sorted()
    func signed(_ attempt: Int) throws -> ClientStore.SignedStatement {
      let hash = ContextDigest(hashing: [UInt8(attempt)])
      return ClientStore.SignedStatement(
        context: hash, opening: OpeningIdentifier(run: run, task: .fit, round: 1, attempt: attempt),
        statement: ConsistencyStatement(
          stored: .init(hash), shareSurvivors: .init(hash), inputSurvivors: .init(hash), maskedInputRoot: .init(hash)),
        survivors: names, assumedCorrupt: 1, minimumHonest: 2)
    }
    func request(_ index: Int, _ signed: ClientStore.SignedStatement) throws -> OpeningRequest {
      let terms = OpeningTerms(
        federation: federation.manifest.manifest.federation, organization: federation.names[index],
        opening: signed.opening, context: signed.context, statement: signed.statement, survivors: names,
        assumedCorrupt: 1, minimumHonest: 2, slot: 1, auditor: key.pair.publicKey.digest)
      return try OpeningRequest(
        terms: terms, entry: 0, size: 1, root: .init(signed.context), signedWith: federation.parties[index].identity())
    }
    let (first, second) = (try signed(1), try signed(2))
    let path = federation.statePath(federation.parties[1])
    try ClientStore(path: path).write {
      try ClientStore.insert(first, in: $0)
      try ClientStore.insert(second, in: $0)
    }
    _ = try consents([1], to: try request(0, first))
    #expect(try refusal(1) { _ = try $0.consent(to: try request(3, second)) } == "opening-slot-taken")
    // Also between two commands, and where the log is all that says so.
    do {
      let store = try ClientStore(path: path)
      #expect(throws: ClientError.self) { try store.remember(federation.names[3], slot: 1, in: second) }
      #expect(try store.consents(to: second.opening) == [1: federation.names[0]])
    }
    try Self.forget(first.opening, in: path)
    #expect(try refusal(1) { _ = try $0.consent(to: try request(3, second)) } == "opening-slot-taken")
    _ = try consents([1], to: try request(0, second))
  }

  @Test("A long masked input is opened from its segments, each byte for byte")
  func segments() async throws {
    let outcome = try await runs.run(policies: policies, bins: 40_960)
    #expect(outcome.report.state == .completed, "\(outcome.report.reason ?? "")")
    let request = try request(outcome.report.run, task: .evaluate)
    let report = try prove(request, try consents([1, 2], to: request))
    #expect(report.holds, "\(report.failure?.error.message ?? "")")
    #expect(report.passed.last?.detail.contains("after 2 segments") == true)

    // A part that left off the record.
    let path = "\(sealedDirectory(0))/\(outcome.report.run)-evaluate-1-1"
    let moment = Int64(Date().timeIntervalSince1970)
    let secrets = try SealedFile(path: path).unseal(with: key.pair, at: moment)
    let subject = secrets.subject
    let agreement = RunAgreement(
      manifest: federation.manifest, plan: try RunPlan(parsing: subject.plan), run: outcome.report.run)
    let context = try agreement.context(
      of: request.terms.opening, cohort: subject.cohort, features: subject.features, model: subject.model)
    let evidence = try MaskedInputEvidence(decoding: subject.evidence, context: context)
    let recomputed = try RecomputedInput(of: secrets.term, in: federation.root.path)
    let commitment = try SealedFile(path: path).header.commitment
    try MaskedInputOpening.verify(
      evidence, of: federation.names[0], secrets: MaskingSecrets(encoded: secrets.secrets), term: secrets.term,
      salt: secrets.salt, commitment: commitment, context: context, spool: { try recomputed.append($0) })
    let records = try federation.records(federation.parties[0]).filter {
      $0.event == .messageSent && $0.context == context.digest
    }
    func compare(_ records: [AuditRecord]) throws {
      try EgressTrace(
        records: records, evidence: evidence, commitment: commitment, answers: subject.answers,
        opening: request.terms.opening
      ).compare(recomputed)
    }
    try compare(records)
    let parts = records.filter { $0.message?.label.kind == "masked-input-segment" }
    #expect(parts.count == 2)
    for (part, code) in zip(parts, ["opening-egress-differs", "opening-egress-missing"]) {
      let error = #expect(throws: OpeningError.self) { try compare(records.filter { $0 != part }) }
      #expect(error?.code == code)
    }

    // What cannot be read is not there to be masked: bare masks would come to the disk.
    var altered = try Data(contentsOf: URL(fileURLWithPath: path))
    altered[altered.count - 1] ^= 1
    try altered.write(to: URL(fileURLWithPath: path))
    let damaged = try SealedFile(path: path).unseal(with: key.pair, at: moment)
    _ = TermCommitting.commitment(to: damaged.term, salt: damaged.salt)
    let masks = try RecomputedInput(of: damaged.term, in: federation.root.path)
    #expect(throws: OpeningError.self) { try [UInt8](repeating: 1, count: 8).withUnsafeBytes { try masks.append($0) } }
    #expect(masks.byteCount == 0)
    let failed = try prove(request, try consents([1, 2], to: request))
    #expect(failed.failure?.error.code == "opening-file-altered" && failed.failure?.step == .maskedInput)
  }
}
