import Cryptography
import Federation
import MutualTLS

/// What the rotation of an organisation's key and that of the server's have in common.
extension Rotation {
  /// The keys with which a rotation begins, or goes on.
  struct Start {
    let own: OwnKeys
    let next: PrivateKey
    /// Of the next key.
    let hash: CertificateKeyHash
    /// The next key is announced already.
    let isPending: Bool

    /// States both keys, unless that has been done.
    ///
    /// - Throws: `FederationError`, `AuditLogError`, `ControlError`.
    func announce(reason: String?) throws -> SignedPins {
      if isPending, let held = own.statement { return held }
      return try own.state(
        Manifest.Pins(current: own.pins.current, next: hash), what: "next certificate key \(hash.hexadecimal)",
        reason: reason)
    }
  }

  /// Finds the next key, or makes it, after the end of an earlier rotation that was interrupted.
  ///
  /// - Throws: `CommandError` where the keys at hand are not those that were stated, where another key is asked for than
  ///   the one announced, and where that is the one in use; `FederationError`, `CredentialError`, `AuditLogError`,
  ///   `ControlError`.
  static func start(
    in directory: some ParticipantDirectory, keyURI: String?, passphrase: Passphrase?
  ) throws -> Start {
    var own = try OwnKeys(directory, passphrase: passphrase)
    switch try own.rotation() {
    case .switched:
      _ = try complete(own)
      own = try OwnKeys(directory, passphrase: passphrase)
    case .lost, .unpinned: throw misfit(own)
    case .none, .keyMade, .announced: break
    }
    let isPending = try own.rotation() == .announced
    guard !isPending || keyURI == nil else {
      throw CommandError.usage(
        "a rotation is pending with another key",
        remedy: "Withdraw it first: \(command(directory)) --cancel --directory \(directory.path)")
    }
    let next = try nextKey(of: own, keyURI: keyURI, passphrase: passphrase)
    let hash = try next.publicKeyHash
    guard try hash != own.current.publicKeyHash else {
      try directory.discardNextTLSKey()
      throw CommandError.usage(
        "the next key is the one in use", remedy: "Give the URI of another key, or let a new one be made.")
    }
    return Start(own: own, next: next, hash: hash, isPending: isPending)
  }

  /// Removes the next key, and states the current one alone if the other was announced.
  ///
  /// - Returns: the statement; nil if nothing was pending.
  /// - Throws: `CommandError` where the next key is in use already, or the one in use was never stated; `FederationError`,
  ///   `CredentialError`, `AuditLogError`, `ControlError`.
  static func withdraw(
    in directory: some ParticipantDirectory, reason: String?, passphrase: Passphrase?
  ) throws -> SignedPins? {
    let own = try OwnKeys(directory, passphrase: passphrase)
    switch try own.rotation() {
    case .none: return nil
    case .keyMade:
      try directory.discardNextTLSKey()
      return nil
    case .switched:
      throw CommandError.usage(
        "the next key is in use already",
        remedy: "To replace it: \(command(directory)) --directory \(directory.path)")
    case .unpinned: throw misfit(own)
    case .announced, .lost: break
    }
    // The key first: one that is withdrawn is never announced again by mistake.
    try directory.discardNextTLSKey()
    return try own.state(
      Manifest.Pins(current: own.pins.current), what: "next certificate key withdrawn", reason: reason)
  }

  static func misfit(_ own: OwnKeys) -> CommandError {
    let directory = own.directory
    let unpinned =
      directory is OrganizationDirectory
      ? "Take the operator's copy of your last statement: bauta federation approve \(directory.name).note --directory \(directory.path)"
      : "Put back the key that was in use, or the directory's latest copy."
    let isLost = (try? own.rotation()) == .lost
    return isLost
      ? .unsuitable(
        path: directory.nextTLSKeyPath, problem: "the next key that was announced is not there",
        remedy: "Put it back, or withdraw it: \(command(directory)) --cancel --directory \(directory.path)")
      : .unsuitable(
        path: directory.tlsKeyPath, problem: "the key in use is not one of those that were stated last",
        remedy: unpinned)
  }

  /// The command that rotates the owner's key.
  private static func command(_ directory: any ParticipantDirectory) -> String {
    directory is OrganizationDirectory ? "bauta organization rotate" : "bauta federation rotate-server"
  }

  /// The key that is there already, or a new one.
  private static func nextKey(of own: OwnKeys, keyURI: String?, passphrase: Passphrase?) throws -> PrivateKey {
    let directory = own.directory
    // One that nothing was said of is taken only if no other was asked for.
    if let made = own.next, keyURI == nil { return made }
    guard let keyURI else {
      return try PrivateKey.generate(creatingFile: directory.nextTLSKeyPath, passphrase: passphrase)
    }
    try directory.discardNextTLSKey()
    try directory.nameKey(at: directory.nextTLSKeyPath, uri: keyURI)
    do {
      return try PrivateKey(loading: .resolve(keyPath: directory.nextTLSKeyPath), passphrase: passphrase)
    } catch {
      try directory.discardNextTLSKey()
      throw error
    }
  }
}
