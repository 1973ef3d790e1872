import Cryptography
import Federation
import MutualTLS
import Synchronization

/// Who may connect, and under which manifest runs are announced: what the server's directory says, read again when told.
///
/// A version of the manifest is acted under once everybody has approved it. Whoever is in it or in the one that waits for
/// approvals may connect, under the keys that each has stated last, unless the operator has revoked it.
final class ServerMembership: Sendable {
  struct View: Sendable {
    /// The latest version, with the approvals so far.
    private(set) var newest: SignedManifest
    /// The latest version with everybody's approval; nil before there is one.
    private(set) var inForce: SignedManifest?
    /// What members have said last of their certificate keys.
    private(set) var statements: [SignedPins]
    let revocations: [Revocation]

    /// Under what a run that begins now is announced.
    var current: SignedManifest { inForce ?? newest }

    /// The versions that count, the later one last: one where the newest is in force.
    private var versions: [SignedManifest] {
      guard let inForce, inForce.hash != newest.hash else { return [newest] }
      return [inForce, newest]
    }

    /// The version with this hash, if it is one of the two.
    func manifest(_ hash: ManifestHash) -> SignedManifest? { versions.last { $0.hash == hash } }

    func isRevoked(_ member: Manifest.Member) -> Bool { revocations.contains { $0.revokes(member) } }

    /// Organisations of the version in force and of the one that waits, without those that were revoked.
    var organizations: Set<OrganizationName> {
      var names: Set<OrganizationName> = []
      for version in versions {
        names.formUnion(version.manifest.organizations.filter { !isRevoked($0) }.map(\.name))
      }
      return names
    }

    /// Whose certificate key is whose.
    private(set) var pins: [CertificateKeyHash: OrganizationName] = [:]
    /// What counts of the statements, under the newest version.
    private var stated: PinSet

    init(newest: SignedManifest, inForce: SignedManifest?, statements: [SignedPins], revocations: [Revocation]) {
      self.newest = newest
      self.inForce = inForce
      self.statements = statements
      self.revocations = revocations
      stated = PinSet(newest.manifest)
      settle()
    }

    /// Signatures are verified here once for each version, and not in every handshake. Called after every change of
    /// versions or statements, on a copy that no handshake waits for.
    private mutating func settle() {
      var table: [CertificateKeyHash: OrganizationName] = [:]
      // Where both versions name a key, they name the same member or the later version counts.
      for version in versions {
        let revoked = Set(version.manifest.organizations.filter(isRevoked).map(\.name))
        stated = PinSet(version.manifest, statements: statements)
        for (pin, name) in stated.organizations { table[pin] = revoked.contains(name) ? nil : name }
      }
      pins = table
    }

    /// Takes a copy of the newest version with more approvals. Which keys count changes only where it takes the place of
    /// an earlier version.
    mutating func take(_ approved: SignedManifest) {
      let before = versions.map(\.hash)
      newest = approved
      if approved.isApprovedByAll { inForce = approved }
      if versions.map(\.hash) != before { settle() }
    }

    /// Takes a member's statement that counts under the newest version.
    mutating func take(_ statement: SignedPins) {
      statements.removeAll { $0.name == statement.name }
      statements.append(statement)
      settle()
    }

    /// - Throws: ``FederationError/membership(_:)`` if a statement does not count under the newest version.
    func check(_ statement: SignedPins) throws(FederationError) {
      var stated = stated
      try stated.take(statement)
    }

    /// The server's own latest statement, if it has made one.
    var ownStatement: SignedPins? { statement(of: newest.manifest.server.name) }

    func statement(of name: OrganizationName) -> SignedPins? { stated.statements[name] }

    /// The number of an organisation's latest statement; 0 if the manifest's pins count.
    func sequence(of name: OrganizationName) -> Int { statement(of: name)?.sequence ?? 0 }
  }

  private let directory: ServerDirectory?
  /// Every handshake asks it: held to read or to replace the value, and for no work beside that.
  private let view: Mutex<View>
  /// Held from reading files to the change of the view, so that no older reading takes the place of a later one. Whoever
  /// holds it may change a copy of the view and put that in its place.
  private let changing = Mutex(())
  /// Of the files when they were read first.
  let stamps: FileStamps?

  /// - Throws: ``ServerError`` if there is no manifest, or anything in the directory cannot be read.
  init(_ directory: ServerDirectory) throws(ServerError) {
    self.directory = directory
    stamps = FileStamps(of: directory)
    view = Mutex(try Self.read(directory))
  }

  /// Kept in memory only.
  init(_ manifest: SignedManifest) {
    directory = nil
    stamps = nil
    view = Mutex(
      View(newest: manifest, inForce: manifest.isApprovedByAll ? manifest : nil, statements: [], revocations: []))
  }

  var current: View { view.withLock { $0 } }

  /// Reads the directory again. Approvals that were given over the network are kept.
  ///
  /// - Throws: ``ServerError``; what was known stays then.
  func reload() throws(ServerError) {
    try changing.withLock { (_) throws(ServerError) in try readAgain() }
  }

  private func readAgain() throws(ServerError) {
    guard let directory else { return }
    replace(with: try Self.read(directory, known: current.newest))
  }

  private func replace(with next: View) { view.withLock { $0 = next } }

  /// Takes an organisation's approval of one of the two versions.
  ///
  /// - Returns: the version, if the approval is new.
  /// - Throws: ``ServerError`` if it is not the organisation's signature, or cannot be stored.
  func approve(
    _ hash: ManifestHash, by name: OrganizationName, _ signature: Signature
  ) throws(ServerError) -> SignedManifest? {
    try changing.withLock { (_) throws(ServerError) in try add(signature, to: hash, by: name) }
  }

  private func add(
    _ signature: Signature, to hash: ManifestHash, by name: OrganizationName
  ) throws(ServerError) -> SignedManifest? {
    let known = current
    guard known.newest.hash == hash, !known.newest.isApproved(by: name) else { return nil }
    var manifest = known.newest
    do throws(FederationError) {
      try manifest.add(signature, by: name)
      // A command may have collected approvals in the meantime.
      if let directory { manifest = try directory.store(manifest) }
    } catch { throw .federation(error) }
    var next = known
    next.take(manifest)
    replace(with: next)
    return manifest
  }

  /// Takes what an organisation says of its own certificate keys.
  ///
  /// - Parameter record: puts a statement that counts on the record. It is called before anything has changed, and nothing
  ///   changes where it throws: what cannot be recorded does not count.
  /// - Returns: the statement, if it is new.
  /// - Throws: ``ServerError`` if it is another's, older than what is known, or cannot be stored; what `record` throws.
  func take(
    _ note: [UInt8], from name: OrganizationName, record: (SignedPins) throws(ServerError) -> Void = { _ in }
  ) throws(ServerError) -> SignedPins? {
    try changing.withLock { (_) throws(ServerError) in
      guard let statement = try news(in: note, of: name) else { return nil }
      try record(statement)
      guard try add(statement) else { return nil }
      return statement
    }
  }

  /// A statement that is later than the one known; nil for one that says nothing new.
  private func news(in note: [UInt8], of name: OrganizationName) throws(ServerError) -> SignedPins? {
    let known = current
    do throws(FederationError) {
      let statement = try SignedPins(parsing: note)
      guard statement.name == name else { throw .membership(.foreignPins(statement.name)) }
      if let held = known.statement(of: name), held.sequence >= statement.sequence {
        // The one that is known, or one before it: nothing to do. Two under one number are a fork.
        guard held.sequence > statement.sequence || held.pins == statement.pins else {
          throw .membership(.forkedPins(name, sequence: held.sequence))
        }
        return nil
      }
      try known.check(statement)
      return statement
    } catch { throw .federation(error) }
  }

  /// - Returns: false if a command has stored it in the meantime: the next reading finds it.
  private func add(_ statement: SignedPins) throws(ServerError) -> Bool {
    var next = current
    do throws(FederationError) {
      if let directory, try !directory.store(statement, under: next.newest.manifest) { return false }
    } catch { throw .federation(error) }
    next.take(statement)
    replace(with: next)
    return true
  }

  /// A handshake asks for the keys that count now.
  var verifier: any PinVerifier { Verifier(membership: self) }

  private struct Verifier: PinVerifier {
    let membership: ServerMembership

    func verify(fingerprint: CertificateKeyHash, names: [String]) -> PinDecision {
      guard let name = membership.view.withLock({ $0.pins[fingerprint] }) else {
        return .refused(reason: "the manifest pins no such key")
      }
      return .accepted(name: name)
    }
  }

  /// - Parameter known: the version that was the newest so far, whose approvals are kept.
  private static func read(
    _ directory: ServerDirectory, known: SignedManifest? = nil
  ) throws(ServerError) -> View {
    do throws(FederationError) {
      guard var newest = try directory.manifest() else { throw .file(.missing(path: directory.manifestPath)) }
      if let known, known.hash == newest.hash { try newest.merge(known) }
      return View(
        newest: newest, inForce: newest.isApprovedByAll ? newest : try directory.manifestInForce(),
        statements: try directory.pinStatements(), revocations: try directory.revocations())
    } catch {
      guard case .file(.missing(directory.manifestPath)) = error else { throw .federation(error) }
      throw .noManifest(path: directory.manifestPath)
    }
  }
}
