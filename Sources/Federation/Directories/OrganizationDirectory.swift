public import Cryptography

/// An organisation's directory: ``ParticipantDirectory``'s files and `policy.yaml`.
public struct OrganizationDirectory: ParticipantDirectory, Equatable {
  public let path: String
  public let name: OrganizationName

  /// Opens a directory that ``create(at:name:policy:prepare:)`` has made.
  ///
  /// - Throws: ``FederationError/file(_:)`` if it is missing, if others can enter it, or if its keys are not there.
  public init(opening path: String) throws(FederationError) {
    name = try DirectoryFiles.owner(of: path)
    self.path = path
  }

  private init(path: String, name: OrganizationName) {
    self.path = path
    self.name = name
  }

  public var policyPath: String { "\(path)/policy.yaml" }
  /// Secrets of masked inputs, sealed to an auditor, for as long as the policy keeps them.
  public var sealedPath: String { "\(path)/sealed" }

  /// - Throws: ``FederationError/file(_:)``, ``FederationError/document(_:_:)``.
  public func policy() throws(FederationError) -> Policy { try Policy(contentsOf: policyPath) }

  /// Makes a directory with new keys and a policy. All or nothing: on any error nothing is left at the path.
  ///
  /// - Parameters:
  ///   - path: must not exist, or be an empty directory; the directory above must exist.
  ///   - policy: the policy's text; it must parse.
  ///   - prepare: adds further files (the key of the certificate) to the directory while it is still under another
  ///     name, whose path it is given. What it throws is thrown on.
  /// - Throws: ``FederationError``, and what `prepare` throws.
  public static func create(
    at path: String, name: OrganizationName, policy: String = Policy.template,
    prepare: (_ stagingPath: String) throws -> Void = { _ in }
  ) throws -> OrganizationDirectory {
    _ = try Policy(parsing: policy)
    try DirectoryFiles.create(
      path, owner: name, folders: ["log"], files: [("policy.yaml", policy)], prepare: prepare)
    return OrganizationDirectory(path: path, name: name)
  }
}

/// The server's directory: ``ParticipantDirectory``'s files, `ca/` and `runs/`.
public struct ServerDirectory: ParticipantDirectory, Equatable {
  public let path: String
  public let name: OrganizationName

  /// - Throws: ``FederationError/file(_:)`` if it is missing, if others can enter it, or if its keys are not there.
  public init(opening path: String) throws(FederationError) {
    name = try DirectoryFiles.owner(of: path)
    self.path = path
  }

  private init(path: String, name: OrganizationName) {
    self.path = path
    self.name = name
  }

  /// The federation's own certificate authority, unless the federation uses another.
  public var authorityPath: String { "\(path)/ca" }
  public var runsPath: String { "\(path)/runs" }

  /// Plan, models, metrics and report of one run.
  public func runPath(_ run: RunIdentifier) -> String { "\(runsPath)/\(run)" }

  /// Makes a directory with new keys. All or nothing: on any error nothing is left at the path.
  ///
  /// - Parameter prepare: adds further files; see ``OrganizationDirectory/create(at:name:policy:prepare:)``.
  /// - Throws: ``FederationError``, and what `prepare` throws.
  public static func create(
    at path: String, name: OrganizationName, prepare: (_ stagingPath: String) throws -> Void = { _ in }
  ) throws -> ServerDirectory {
    try DirectoryFiles.create(path, owner: name, folders: ["log", "ca", "runs"], files: [], prepare: prepare)
    return ServerDirectory(path: path, name: name)
  }
}
