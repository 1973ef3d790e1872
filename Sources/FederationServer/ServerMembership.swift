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
    var newest: SignedManifest
    /// The latest version with everybody's approval; nil before there is one.
    var inForce: SignedManifest?
    /// What members have said last of their certificate keys.
    var statements: [SignedPins]
    var revocations: [Revocation]

    /// Under what a run that begins now is announced.
    var current: SignedManifest { inForce ?? newest }

    /// The version with this hash, if it is one of the two.
    func manifest(_ hash: ManifestHash) -> SignedManifest? {
      [newest, inForce].compactMap { $0 }.first { $0.hash == hash }
    }

    func isRevoked(_ member: Manifest.Member) -> Bool { revocations.contains { $0.revokes(member) } }

    /// Organisations of the version in force and of the one that waits, without those that were revoked.
    var organizations: Set<OrganizationName> {
      var names: Set<OrganizationName> = []
      for manifest in [inForce, newest].compactMap({ $0?.manifest }) {
        names.formUnion(manifest.organizations.filter { !isRevoked($0) }.map(\.name))
      }
      return names
    }

    /// Whose certificate key is whose.
    private(set) var pins: [CertificateKeyHash: OrganizationName] = [:]
    /// What counts of the statements.
    private var stated: [OrganizationName: SignedPins] = [:]

    init(newest: SignedManifest, inForce: SignedManifest?, statements: [SignedPins], revocations: [Revocation]) {
      self.newest = newest
      self.inForce = inForce
      self.statements = statements
      self.revocations = revocations
      settle()
    }

    /// Signatures are verified here once, and not in every handshake. Called after every change.
    mutating func settle() {
      var table: [CertificateKeyHash: OrganizationName] = [:]
      // Where both versions name a key, they name the same member or the later version counts.
      for manifest in [inForce, newest].compactMap({ $0?.manifest }) {
        let revoked = Set(manifest.organizations.filter(isRevoked).map(\.name))
        let set = PinSet(manifest, statements: statements)
        stated = set.statements
        for (pin, name) in set.organizations { table[pin] = revoked.contains(name) ? nil : name }
      }
      pins = table
    }

    /// The server's own latest statement, if it has made one.
    var ownStatement: SignedPins? { stated[newest.manifest.server.name] }

    func statement(of name: OrganizationName) -> SignedPins? { stated[name] }

    /// The number of an organisation's latest statement; 0 if the manifest's pins count.
    func sequence(of name: OrganizationName) -> Int { stated[name]?.sequence ?? 0 }
  }

  private let directory: ServerDirectory?
  private let view: Mutex<View>
  /// Held from reading files to the change of the view, so that no older reading takes the place of a later one.
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
    var read = try Self.read(directory)
    let known = current.newest
    if read.newest.hash == known.hash { try Self.merge(known, into: &read.newest) }
    if read.newest.isApprovedByAll { read.inForce = read.newest }
    read.settle()
    let next = read
    view.withLock { $0 = next }
  }

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
    let approved = manifest
    view.withLock { view in
      guard view.newest.hash == hash else { return }
      view.newest = approved
      if approved.isApprovedByAll { view.inForce = approved }
      view.settle()
    }
    return approved
  }

  /// Takes what an organisation says of its own certificate keys.
  ///
  /// - Returns: the statement, if it is new.
  /// - Throws: ``ServerError`` if it is another's, older than what is known, or cannot be stored.
  func take(_ note: [UInt8], from name: OrganizationName) throws(ServerError) -> SignedPins? {
    try changing.withLock { (_) throws(ServerError) in try add(note, of: name) }
  }

  private func add(_ note: [UInt8], of name: OrganizationName) throws(ServerError) -> SignedPins? {
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
      if let directory {
        guard try directory.store(statement, under: known.newest.manifest) else { return nil }
      }
      view.withLock { view in
        view.statements.removeAll { $0.name == name }
        view.statements.append(statement)
        view.settle()
      }
      return statement
    } catch { throw .federation(error) }
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

  private static func read(_ directory: ServerDirectory) throws(ServerError) -> View {
    do throws(FederationError) {
      guard let newest = try directory.manifest() else { throw .file(.missing(path: directory.manifestPath)) }
      return View(
        newest: newest, inForce: try directory.manifestInForce(), statements: try directory.pinStatements(),
        revocations: try directory.revocations())
    } catch {
      guard case .file(.missing(directory.manifestPath)) = error else { throw .federation(error) }
      throw .noManifest(path: directory.manifestPath)
    }
  }

  private static func merge(_ other: SignedManifest, into manifest: inout SignedManifest) throws(ServerError) {
    do throws(FederationError) { try manifest.merge(other) } catch { throw .federation(error) }
  }
}
