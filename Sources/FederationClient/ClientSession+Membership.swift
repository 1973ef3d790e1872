import AuditLog
import Cryptography
import Federation
import FederationWire

/// News of the federation, from the server and from the organisation's own directory.
extension ClientSession {
  /// What the server is told with a greeting.
  struct Introduction: Equatable {
    let manifest: ManifestHash
    let pins: SignedPins?
  }

  var introduction: Introduction { Introduction(manifest: membership.approved.hash, pins: membership.ownPins) }

  /// Tells the server who is here: under which manifest, in which versions of the protocol, with which certificate keys.
  func greet() async throws(ClientError) -> ServerMessage {
    refreshMembership()
    try requireOwnIdentity()
    guard let approval = membership.approved.approval(by: parts.name) else {
      throw .federation(.manifest(.missingApprovals([parts.name])))
    }
    let introduction = introduction
    greeted = introduction
    let greeting = Greeting(
      manifest: introduction.manifest, approval: approval, pins: introduction.pins?.serialized ?? [])
    let reply = try await send(Answer(.hello(greeting)), answering: 0)
    if case .refused = reply.body { return reply }
    if let pins = introduction.pins?.pins { await parts.gate.announced(pins) }
    progress(.greeted(version: membership.approved.manifest.version))
    try await beginWitnessing(answering: reply.instruction)
    return reply
  }

  /// Tells the server which certificate keys this organisation states, if that has changed since the greeting; so that the
  /// next key can be used in the middle of a run.
  func stateOwnPins(answering number: UInt64) async throws(ClientError) {
    guard let known = greeted else { return }
    refreshMembership()
    guard let statement = membership.ownPins, statement.sequence > known.pins?.sequence ?? 0 else { return }
    let reply = try await send(Answer(.pins(statement.serialized)), answering: number)
    guard case .stored(let stored) = reply.body, stored.count >= UInt64(statement.sequence) else { return }
    greeted = Introduction(manifest: known.manifest, pins: statement)
    await parts.gate.announced(statement.pins)
  }

  /// Whether the server should be told anew who is here, at a moment at which it can be.
  ///
  /// Between runs only: a greeting begins a session anew. Of new keys it is told in the middle of one.
  func hasNews() -> Bool {
    refreshMembership()
    return introduction != greeted && run == nil
  }

  /// A process signs with the identity key with which it began. Where the manifest that is approved here has another one,
  /// the key was replaced, and a new process is to take it up.
  ///
  /// - Throws: ``ClientError/federation(_:)``.
  func requireOwnIdentity() throws(ClientError) {
    guard membership.approved.manifest.member(named: parts.name)?.keys.identity == identity.verifyingKey else {
      throw .federation(.manifest(.foreignKey(parts.name)))
    }
  }

  /// Reads the directory anew if it has changed. What cannot be read changes nothing.
  private func refreshMembership() {
    do throws(FederationError) {
      try membership.refresh()
      unreadable = nil
    } catch {
      if unreadable != error { progress(.unreadable(code: error.code, reason: error.message)) }
      unreadable = error
    }
  }

  /// Keeps what passes the checks, shows it, and says nothing of it to the server.
  ///
  /// - Throws: ``ClientError/log(_:)``, ``ClientError/storage(_:)``.
  func take(_ notice: FederationNotice) throws(ClientError) -> Answer {
    let news: [Membership.News]
    do throws(FederationError) {
      news = try membership.take(notice)
    } catch { throw .storage(StorageFailure(error)) }
    for item in news {
      switch item {
      case .pins(let statement):
        try record(.keyChange) {
          $0.source = .init(name: statement.name)
          $0.reason = "the server announced certificate keys, statement \(statement.sequence)"
          $0.outcome = .succeeded
        }
        progress(.serverPins(name: statement.name, sequence: statement.sequence))
      case .proposed(let manifest): announce(proposed: manifest)
      case .inForce(let manifest): progress(.inForce(version: manifest.manifest.version))
      case .refused(let error): try refuseNews(error)
      }
    }
    return Answer(.ready)
  }

  /// Says once that a version waits for its owner.
  func announce(proposed manifest: SignedManifest) {
    guard proposed != manifest.hash else { return }
    proposed = manifest.hash
    progress(.proposed(version: manifest.manifest.version, federation: manifest.manifest.federation))
  }

  /// What is no news is on the record once, and changes nothing.
  private func refuseNews(_ error: FederationError) throws(ClientError) {
    guard refusedNews != error else { return }
    refusedNews = error
    let server = membership.trusted.server.name
    try record(error.isForgedStatement ? .keyChange : .manifestChange) {
      $0.source = .init(name: server)
      $0.reason = "what the server announced is not taken"
      $0.outcome = .refused
      $0.error = .init(error)
    }
    if error.isForgedStatement { progress(.forgedPins(reason: error.message, remedy: error.remedy)) }
  }
}
