import AuditLog
public import Cryptography
public import Federation
import FederationWire
public import Foundation
import Learning
import SecureAggregation
import TransparencyLog

/// What an opening checked, in order; the first that does not hold is the last.
public struct OpeningReport: Sendable {
  public static let schema = "bauta/audit-open/1"

  public enum Step: String, Sendable, CaseIterable {
    case request, consents, log, record, window, unsealing, context
    case advertisements, signature, maskKey, selfMaskKey, maskedInput, commitment
    case egress, ingress
  }

  public struct Check: Sendable, Equatable {
    public let step: Step
    public let detail: String
  }

  public let terms: OpeningTerms
  public internal(set) var passed: [Check] = []
  /// The step that did not hold, and why; nil if all did.
  public internal(set) var failure: (step: Step, error: OpeningError)?
  /// Whether anything was unsealed.
  public internal(set) var wasUnsealed = false
  /// Where the result is in the organisation's log.
  public internal(set) var entry: UInt64?
  /// Coordinates and counters of the term that left.
  public internal(set) var shape: (tensors: Int, counters: Int)?

  public var holds: Bool { failure == nil }
}

extension OpeningDesk {
  /// What the auditor brings, and what it is held against.
  public struct Case: Sendable {
    public var request: OpeningRequest
    public var consents: [OpeningConsent]
    /// The server's directory or log, if it is at hand.
    public var ingress: String?

    public init(request: OpeningRequest, consents: [OpeningConsent], ingress: String? = nil) {
      self.request = request
      self.consents = consents
      self.ingress = ingress
    }
  }

  /// Opens this organisation's masked input in a controlled session, and checks that it is what left.
  ///
  /// Nothing is unsealed before quorum and record are checked, and nothing of the term or the secrets leaves the process:
  /// the report says which steps hold. The outcome is recorded whatever it is.
  ///
  /// - Parameters:
  ///   - key: the auditor's, for as long as this takes.
  ///   - manifest: the auditor's own copy, which says who the members are; nil takes the directory's.
  /// - Throws: ``OpeningError`` if the outcome cannot be recorded; what does not hold is in the report.
  public func prove(
    _ opened: Case, key: borrowing AuditorKeyPair, manifest trusted: Manifest? = nil, at moment: Date = Date()
  ) throws(OpeningError) -> OpeningReport {
    var run = OpeningRun(
      desk: self, opened: opened, manifest: trusted ?? manifest, moment: Int64(moment.timeIntervalSince1970))
    do throws(OpeningError) { try run.prove(key: key) } catch { run.report.failure = (run.step, error) }
    var report = run.report
    let failure = report.failure
    let outcome: AuditRecord.Outcome = failure == nil ? .succeeded : report.wasUnsealed ? .failed : .refused
    let record = try record(.maskedInputOpened, opened.request.terms) { draft in
      draft.outcome = outcome
      draft.error = failure.map { .init($0.error) }
    }
    try publish()
    report.entry = record.sequence
    return report
  }
}

/// One opening as it goes on.
private struct OpeningRun {
  let desk: OpeningDesk
  let opened: OpeningDesk.Case
  let manifest: Manifest
  let moment: Int64
  var step = OpeningReport.Step.request
  var report: OpeningReport

  init(desk: OpeningDesk, opened: OpeningDesk.Case, manifest: Manifest, moment: Int64) {
    self.desk = desk
    self.opened = opened
    self.manifest = manifest
    self.moment = moment
    report = OpeningReport(terms: opened.request.terms)
  }

  private var terms: OpeningTerms { opened.request.terms }

  private mutating func pass(_ detail: String) { report.passed.append(.init(step: step, detail: detail)) }

  mutating func prove(key: borrowing AuditorKeyPair) throws(OpeningError) {
    try checkRequest()
    step = .consents
    try checkConsents()
    step = .log
    let size = try checkLog()
    step = .record
    let records = try checkRecord(size: size)
    step = .window
    let file = try checkFile()
    step = .unsealing
    let secrets = try file.unseal(with: key, at: moment)
    report.wasUnsealed = true
    pass("sealed to \(key.publicKey)")
    step = .context
    let (context, run) = try checkContext(secrets.subject)
    try open(secrets, file: file, context: context, run: run, records: records)
  }

  // MARK: - Before anything is unsealed

  private mutating func checkRequest() throws(OpeningError) {
    guard terms.federation == manifest.federation else {
      throw .otherFederation(expected: manifest.federation, found: terms.federation)
    }
    guard let member = manifest.organization(named: terms.organization) else { throw .notAMember(terms.organization) }
    try OpeningNote.require(opened.request.note, by: member, what: "the request")
    guard terms.organization == desk.name else { throw .otherSecrets(path: desk.sealedDirectory) }
    guard terms.survivors.contains(desk.name) else { throw .notInSum(desk.name) }
    guard (1...max(1, terms.rule.slots)).contains(terms.slot), terms.rule.slots > 0 else {
      throw .refused(.noSuchSlot(terms.slot, terms.rule))
    }
    pass("signed by \(terms.organization); slot \(terms.slot) of \(terms.rule.slots)")
  }

  private mutating func checkConsents() throws(OpeningError) {
    var agreed: Set<OrganizationName> = [terms.organization]
    for consent in opened.consents {
      guard let member = manifest.organization(named: consent.member) else { throw .notAMember(consent.member) }
      guard consent.request == opened.request.hash else { throw .otherRequest(consent.member) }
      try OpeningNote.require(consent.note, by: member, what: "the consent of \(consent.member)")
      guard terms.survivors.contains(consent.member) else { throw .notInSum(consent.member) }
      agreed.insert(consent.member)
    }
    let quorum = terms.rule.quorum
    guard agreed.count >= quorum else { throw .tooFewConsents(have: agreed.count, need: quorum) }
    pass(
      "\(agreed.count) of \(terms.survivors.count) agree, \(quorum) needed: "
        + agreed.sorted().map(\.value).joined(separator: ", "))
  }

  /// - Returns: entries under the checkpoint.
  private mutating func checkLog() throws(OpeningError) -> UInt64 {
    guard let member = manifest.organization(named: desk.name) else { throw .notAMember(desk.name) }
    let size = try verified(desk.log.directory, key: member.logNoteKey)
    pass("\(desk.log.directory) verifies under \(member.logNoteKey); \(size) entries")
    return size
  }

  private func verified(
    _ directory: String, key: NoteVerifierKey<LogKeyRole>
  ) throws(OpeningError) -> UInt64 {
    let cosigners = manifest.witnessQuorum > 0 ? manifest.cosigners(ofLogOf: key.name) : nil
    let report = AuditVerifier.verify(logDirectory: directory, verifierKey: key.text, cosigners: cosigners)
    guard report.verified, let size = report.size else {
      let failed = report.checks.first { $0.result == .failed }
      throw .logNotVerified(
        path: directory, detail: failed.map { "\($0.name.rawValue): \($0.detail)" } ?? "there is no signed checkpoint")
    }
    return size
  }

  /// That the request is on the record under the checkpoint it names, and which records are of the attempt.
  private mutating func checkRecord(size: UInt64) throws(OpeningError) -> [AuditRecord] {
    let request = opened.request
    var isRecorded = false
    var records: [AuditRecord] = []
    let root: TreeHash?
    do throws(AuditLogError) {
      var reader = try AuditLogReader(directory: desk.log.directory)
      while let record = try reader.next()?.record, record.sequence < size {
        if record.sequence == request.entry {
          isRecorded =
            record.event == .openingRequested && record.opening?.statement == terms.digest
            && record.opening?.organization == desk.name
        }
        if record.event == .messageSent, record.context == terms.context { records.append(record) }
      }
      root = try self.root(of: request.size, within: size)
    } catch { throw .log(error) }
    guard isRecorded, root == request.root else { throw .requestNotRecorded(entry: request.entry) }
    pass("entry \(request.entry), under the checkpoint of \(request.size) entries that the members agreed to")
    return records
  }

  /// From the tiles, which were verified with the log: the entries below may be pruned.
  private func root(of size: UInt64, within whole: UInt64) throws(AuditLogError) -> TreeHash? {
    guard size <= whole else { return nil }
    do throws(TransparencyLogError) {
      return try TileReader(directory: TileDirectory(path: desk.log.directory), size: whole).root(size: size)
    } catch { throw .storage(error) }
  }

  private mutating func checkFile() throws(OpeningError) -> SealedFile {
    let path = "\(desk.sealedDirectory)/\(SealedSecretsKeeper.file(of: terms.opening))"
    let file = try SealedFile(path: path)
    let header = file.header
    guard header.organization == desk.name, header.opening == terms.opening, header.context == terms.context,
      header.auditor == terms.auditor
    else { throw .otherSecrets(path: path) }
    guard moment < header.until else { throw .pastWindow(path: path, until: header.until) }
    pass("until \(Date(timeIntervalSince1970: TimeInterval(header.until)).formatted(.iso8601))")
    return file
  }

  // MARK: - What is unsealed

  /// Manifest, plan and model of the run, from which the context is computed that the members have signed.
  private mutating func checkContext(
    _ subject: SealedSubject
  ) throws(OpeningError) -> (context: AggregationContext, run: RunAgreement) {
    let run: RunAgreement
    let context: AggregationContext
    do throws(FederationError) {
      let signed = try SignedManifest(parsing: subject.manifest, file: "the sealed manifest")
      run = RunAgreement(
        manifest: signed, plan: try RunPlan(parsing: subject.plan, file: "the sealed plan"), run: terms.opening.run)
      context = try run.context(
        of: terms.opening, cohort: subject.cohort, features: subject.features, model: subject.model)
    } catch { throw .federation(error) }
    let rule = terms.rule
    guard context.digest == terms.context, terms.statement.isAbout(survivors: terms.survivors, in: context),
      context.parameters.assumedCorrupt == terms.assumedCorrupt,
      rule.minimumHonest >= context.parameters.minimumHonest
    else { throw .otherContext }
    pass("manifest, plan '\(run.plan.name)', model and cohort give \(context.digest)")
    return (context, run)
  }

  private mutating func open(
    _ secrets: borrowing UnsealedSecrets, file: SealedFile, context: AggregationContext, run: RunAgreement,
    records: [AuditRecord]
  ) throws(OpeningError) {
    step = .advertisements
    let term = secrets.term
    report.shape = (term.tensorCount, term.counterCount)
    let commitment = file.header.commitment
    let evidence: MaskedInputEvidence
    let recomputed: RecomputedInput
    do {
      evidence = try MaskedInputEvidence(decoding: secrets.subject.evidence, context: context)
      guard evidence.message.transcript == terms.statement.transcript,
        evidence.message.shareSurvivors == terms.statement.shareSurvivors
      else { throw OpeningFault.otherTranscript }
      let masking = try MaskingSecrets(encoded: secrets.secrets)
      recomputed = try RecomputedInput(of: term, in: FileManager.default.temporaryDirectory.path)
      var passed: [OpeningStep] = []
      do {
        try MaskedInputOpening.verify(
          evidence, of: desk.name, secrets: masking, term: term, salt: secrets.salt, commitment: commitment,
          context: context, passed: { passed.append($0) }, spool: { try recomputed.append($0) })
      } catch {
        // A file that cannot be read gives another term; that it cannot be read is what is wrong then.
        note(passed)
        try term.finish()
        throw error
      }
      note(passed)
      try term.finish()
    } catch { throw OpeningError(error) }
    step = .egress
    let traced = try EgressTrace(
      records: records, evidence: evidence, commitment: commitment, answers: secrets.subject.answers,
      opening: terms.opening)
    try traced.compare(recomputed)
    pass("\(traced.description) in the log")
    guard let ingress = opened.ingress else { return }
    step = .ingress
    let size = try verified(ingress, key: manifest.server.member.logNoteKey)
    try traced.compare(ingress: ingress, sender: desk.name, size: size)
    pass("the same bytes in the log of \(manifest.server.name), which verifies")
  }

  /// The steps that held; the first that did not is the one at which the run stands.
  private mutating func note(_ passed: [OpeningStep]) {
    let details: [OpeningStep: String] = [
      .advertisements: "each signed under its identity key in this context; together they give T1",
      .signature: "the hash of y is signed over this T1 and U2", .maskKey: "z·G is the key that was advertised",
      .selfMaskKey: "b·G is the key that was advertised",
      .maskedInput: "x + every mask, coordinate by coordinate, has the hash that was signed",
      .commitment: "the commitment on the record is to this term",
    ]
    for (index, held) in OpeningStep.allCases.enumerated() {
      guard let next = OpeningReport.Step(rawValue: held.rawValue) else { continue }
      step = next
      guard index < passed.count else { return }
      pass(details[held] ?? "")
    }
  }
}
