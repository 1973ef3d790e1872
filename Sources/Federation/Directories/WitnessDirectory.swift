public import Cryptography
import Foundation
public import TransparencyLog

/// Where a witness keeps its key and what it recorded: a directory of its own, or that of an organisation.
///
/// | file | what | mode |
/// |---|---|---|
/// | `witness.key` | signing key; see the format in `KeyFile` | 0600 |
/// | `witness.vkey` | its verifier key, for those whose logs it watches | 0644 |
/// | `witness/` | what it recorded; see `Witness` | 0700 |
public struct WitnessDirectory: Sendable {
  public let path: String
  /// As the verifier key names it.
  public let name: OrganizationName
  public let verifierKey: NoteVerifierKey<WitnessKeyRole>

  public var keyPath: String { "\(path)/witness.key" }
  public var verifierKeyPath: String { "\(path)/witness.vkey" }
  public var statePath: String { "\(path)/witness" }

  /// Opens a witness's directory; makes it with a new key if there is none yet.
  ///
  /// - Parameter name: needed where there is no key yet; must be the key's where there is one.
  /// - Throws: ``FederationError/file(_:)``: `missing` for a directory without a key when no name is given, `foreign`,
  ///   `exposed`, `key`. What was recorded under a key that is gone is never taken over by a new one: `exists`.
  public static func open(_ path: String, name: OrganizationName?) throws(FederationError) -> WitnessDirectory {
    let path = path.count > 1 && path.hasSuffix("/") ? String(path.dropLast()) : path
    let verifierPath = "\(path)/witness.vkey"
    guard FileAccess.exists(verifierPath) else {
      guard let name else { throw .file(.missing(path: verifierPath)) }
      return try create(path, name: name)
    }
    let verifier: NoteVerifierKey<WitnessKeyRole> = try DirectoryFiles.verifierKey(in: path)
    guard let owner = verifier.organization else { throw .note(.malformedKeyName) }
    if let name, name != owner { throw .file(.foreign(path: verifierPath, expected: name.value)) }
    return WitnessDirectory(path: path, name: owner, verifierKey: verifier)
  }

  /// - Throws: ``FederationError/file(_:)`` if the file is missing, exposed, malformed or of another verifier key.
  public func witnessKey() throws(FederationError) -> WitnessSigningKey {
    let key = try KeyFile<WitnessKeyRole>.load(keyPath, owner: name)
    guard key.verifyingKey == verifierKey.key else { throw .file(.key(path: keyPath, .verifierMismatch)) }
    return key
  }

  private static func create(_ path: String, name: OrganizationName) throws(FederationError) -> WitnessDirectory {
    try FileAccess.makeDirectory(path)
    let keyPath = "\(path)/witness.key"
    if !FileAccess.exists(keyPath) {
      guard !FileAccess.exists("\(path)/witness") else { throw .file(.exists(path: "\(path)/witness")) }
      try KeyFile<WitnessKeyRole>.create(keyPath, owner: name, key: WitnessSigningKey.generate())
    }
    // The verifier key comes last: a creation that was interrupted is taken up here.
    let key = try KeyFile<WitnessKeyRole>.load(keyPath, owner: name)
    let verifier = NoteVerifierKey<WitnessKeyRole>(organization: name, key: key.verifyingKey)
    try FileAccess.create("\(path)/witness.vkey", mode: 0o644, text: verifier.text + "\n")
    try FileAccess.synchronizeDirectory(path)
    return WitnessDirectory(path: path, name: name, verifierKey: verifier)
  }
}
