import AuditLog
public import Cryptography
public import Federation
public import Foundation
import SecureAggregation
import TransparencyLog

/// Where an organisation asks to have its masked input opened, agrees that another's is, and opens it.
///
/// It holds the log and the state of the directory, so no client runs in it meanwhile. Nothing here is sent: requests and
/// consents are files that people hand over.
public final class OpeningDesk: Sendable {
  public let name: OrganizationName
  /// Under which members are known here.
  public let manifest: Manifest
  let sealedDirectory: String
  let log: AuditLogWriter
  private let store: ClientStore
  private let identity: IdentitySigningKey
  /// Of the policy as it stands now.
  private let minimumHonest: Int

  /// Opens an organisation's directory.
  ///
  /// - Throws: ``OpeningError``: also where a client runs, or where state and log do not agree.
  public convenience init(directory path: String) throws(OpeningError) {
    do {
      let directory = try OrganizationDirectory(opening: path)
      let policy = try directory.policy()
      let membership = try Membership(directory)
      let log = try AuditLogWriter(
        directory: directory.logPath, organization: directory.name, logKey: directory.logKey())
      do {
        try self.init(
          name: directory.name, manifest: membership.trusted, sealedDirectory: directory.sealedPath, log: log,
          store: ClientStore(path: directory.statePath, reviewedAgainst: log), identity: directory.identityKey(),
          minimumHonest: policy.cohort.minimumHonest)
      } catch {
        try? log.close()
        throw error
      }
    } catch { throw OpeningError(error) }
  }

  init(
    name: OrganizationName, manifest: Manifest, sealedDirectory: String, log: AuditLogWriter, store: ClientStore,
    identity: consuming IdentitySigningKey, minimumHonest: Int
  ) {
    self.name = name
    self.manifest = manifest
    self.sealedDirectory = sealedDirectory
    self.log = log
    self.store = store
    self.identity = identity
    self.minimumHonest = minimumHonest
  }

  /// Puts everything under a checkpoint and lets the directory go.
  public func close() throws(OpeningError) {
    do throws(AuditLogError) { try log.close() } catch { throw .log(error) }
  }

  // MARK: - Request

  /// Asks the other members of a sum to agree that this organisation's masked input is opened.
  ///
  /// This organisation's own consent is in it, and remembered like any other. On the record, and under a published
  /// checkpoint, before the request exists.
  ///
  /// - Parameter slot: nil for the one that this organisation has, or the lowest that nobody is known to have.
  /// - Throws: ``OpeningError``.
  public func request(
    run: RunIdentifier, task: TaskKind, round: Int, slot: Int? = nil, at moment: Date = Date()
  ) throws(OpeningError) -> OpeningRequest {
    let found: ClientStore.SealedEntry?
    do throws(ClientError) { found = try store.sealedSecret(run: run, task: task, round: round) } catch {
      throw .client(error)
    }
    guard let entry = found else { throw .notOpenable(run: run.text, task: task, round: round) }
    let path = "\(sealedDirectory)/\(entry.file)"
    let header = try SealedFile(path: path).header
    guard let signed = try statement(in: header.context) else { throw .unknownStatement(entry.opening) }
    guard header.opening == entry.opening, header.organization == name else { throw .otherSecrets(path: path) }
    guard Int64(moment.timeIntervalSince1970) < header.until else { throw .pastWindow(path: path, until: header.until) }
    var consents = try consents(to: signed)
    let chosen = try Self.refusing { () throws(OpeningRefusal) -> Int in
      if let slot { return slot }
      return try consents.slot(for: name)
    }
    try Self.refusing { () throws(OpeningRefusal) in try consents.grant(slot: chosen, to: name) }
    let terms = OpeningTerms(
      federation: manifest.federation, organization: name, opening: entry.opening, context: header.context,
      statement: signed.statement, survivors: signed.survivors.sorted(), assumedCorrupt: signed.assumedCorrupt,
      minimumHonest: consents.rule.minimumHonest, slot: chosen, auditor: header.auditor)
    try remember(terms, in: signed)
    let record = try record(.openingRequested, terms)
    let checkpoint = try publish()
    return try OpeningRequest(
      terms: terms, entry: record.sequence, size: checkpoint.checkpoint.size, root: checkpoint.checkpoint.root,
      signedWith: identity)
  }

  // MARK: - Consent

  /// Holds a request against what this organisation has signed itself, and against what it has agreed to before.
  ///
  /// Changes nothing.
  ///
  /// - Throws: ``OpeningError``; nobody should agree then.
  public func review(_ request: OpeningRequest) throws(OpeningError) { _ = try reviewed(request) }

  /// - Returns: what this organisation has signed of the sum.
  private func reviewed(_ request: OpeningRequest) throws(OpeningError) -> ClientStore.SignedStatement {
    let terms = request.terms
    guard terms.federation == manifest.federation else {
      throw .otherFederation(expected: manifest.federation, found: terms.federation)
    }
    guard terms.organization != name else { throw .ownRequest }
    guard let member = manifest.organization(named: terms.organization) else { throw .notAMember(terms.organization) }
    try OpeningNote.require(request.note, by: member, what: "the request")
    guard let signed = try statement(in: terms.context), signed.opening == terms.opening,
      signed.statement == terms.statement,
      signed.survivors.sorted() == terms.survivors, signed.assumedCorrupt == terms.assumedCorrupt
    else { throw .unknownStatement(terms.opening) }
    guard signed.survivors.contains(terms.organization) else { throw .notInSum(terms.organization) }
    guard signed.survivors.contains(name) else { throw .notInSum(name) }
    var consents = try consents(to: signed)
    try Self.refusing { () throws(OpeningRefusal) in try consents.grant(slot: terms.slot, to: terms.organization) }
    return signed
  }

  /// Agrees to a request: remembered in the state, then on the record, and only then signed.
  ///
  /// - Throws: ``OpeningError``, as ``review(_:)``.
  public func consent(to request: OpeningRequest) throws(OpeningError) -> OpeningConsent {
    try remember(request.terms, in: try reviewed(request))
    try record(.openingConsented, request.terms)
    try publish()
    return try OpeningConsent(to: request, by: name, signedWith: identity)
  }

  // MARK: - What was signed and agreed to

  private func statement(in context: ContextDigest) throws(OpeningError) -> ClientStore.SignedStatement? {
    do throws(ClientError) { return try store.statement(in: context) } catch { throw .client(error) }
  }

  /// By the state and by the log: what one of them has lost, the other still says.
  private func consents(to signed: ClientStore.SignedStatement) throws(OpeningError) -> OpeningConsents {
    var granted: [Int: OrganizationName]
    do throws(ClientError) { granted = try store.consents(to: signed.opening) } catch { throw .client(error) }
    do throws(AuditLogError) {
      var filter = AuditFilter()
      filter.events = [.openingRequested, .openingConsented]
      filter.run = signed.opening.run.text
      filter.round = signed.opening.round
      var reader = try AuditLogReader(directory: log.directory, filter: filter)
      while let entry = try reader.next() {
        guard entry.record.task == signed.opening.task.rawValue, let opening = entry.record.opening else { continue }
        granted[opening.slot] = granted[opening.slot] ?? opening.organization
      }
    } catch { throw .log(error) }
    return OpeningConsents(
      rule: OpeningRule(
        survivors: signed.survivors.count, assumedCorrupt: signed.assumedCorrupt,
        minimumHonest: max(signed.minimumHonest, minimumHonest)),
      granted: granted)
  }

  private func remember(
    _ terms: OpeningTerms, in signed: ClientStore.SignedStatement
  ) throws(OpeningError) {
    do throws(ClientError) {
      try store.remember(terms.organization, slot: terms.slot, in: signed)
    } catch { throw .client(error) }
  }

  // MARK: - Records

  @discardableResult
  func record(
    _ event: AuditRecord.Event, _ terms: OpeningTerms, _ fill: (inout AuditRecord.Draft) -> Void = { _ in }
  ) throws(OpeningError) -> AppendedRecord {
    var draft = AuditRecord.Draft(event)
    draft.actor = .init(
      service: "bauta", keyID: NoteVerifierKey(organization: name, key: identity.verifyingKey).id)
    draft.federation = terms.federation.value
    draft.run = terms.opening.run.text
    draft.task = terms.opening.task.rawValue
    draft.round = terms.opening.round
    draft.attempt = terms.opening.attempt
    draft.context = terms.context
    draft.opening = .init(
      organization: terms.organization, slot: terms.slot, statement: terms.digest, auditor: terms.auditor)
    draft.outcome = .succeeded
    do throws(ClientError) { draft.stateVersion = try store.version } catch { throw .client(error) }
    fill(&draft)
    do throws(AuditLogError) { return try log.append(draft) } catch { throw .log(error) }
  }

  @discardableResult
  func publish() throws(OpeningError) -> SignedCheckpoint {
    do throws(AuditLogError) { return try log.publish() } catch { throw .log(error) }
  }

  private static func refusing<Value>(
    _ body: () throws(OpeningRefusal) -> Value
  ) throws(OpeningError) -> Value {
    do throws(OpeningRefusal) { return try body() } catch { throw .refused(error) }
  }
}

extension OpeningError {
  init(_ error: any Error) {
    switch error {
    case let error as OpeningError: self = error
    case let error as OpeningFault: self = .fault(error)
    case let error as FederationError: self = .federation(error)
    case let error as AuditLogError: self = .log(error)
    case let error as ClientError: self = .client(error)
    case _: self = .unreadable(path: "the organisation's files", reason: error.localizedDescription)
    }
  }
}
