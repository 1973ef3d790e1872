import Federation

/// A directory that is either an organisation's or a server's.
enum Participant: Sendable {
  case organization(OrganizationDirectory)
  case server(ServerDirectory)

  /// - Throws: `CommandError` if it is neither, `FederationError`.
  init(opening path: String) throws {
    try LocalFile.requireDirectory(path)
    if LocalFile.exists("\(path)/policy.yaml") {
      self = .organization(try OrganizationDirectory(opening: path))
    } else if LocalFile.exists("\(path)/runs") {
      self = .server(try ServerDirectory(opening: path))
    } else {
      throw CommandError.unsuitable(
        path: path, problem: "it is neither an organisation's nor a server's directory",
        remedy: "Give one with --directory, or make one: bauta organization init, bauta federation init.")
    }
  }

  /// For commands about what only an organisation has: a policy, a ledger.
  ///
  /// - Throws: `CommandError` for a server's directory, which is told by its authority.
  static func requireNoServer(_ path: String) throws(CommandError) {
    guard !LocalFile.exists("\(path)/policy.yaml"), LocalFile.exists("\(path)/ca") else { return }
    throw .unsuitable(
      path: path, problem: "it is a server's directory, which has neither a policy nor a privacy budget",
      remedy: "Give an organisation's with --directory.")
  }

  var directory: any ParticipantDirectory {
    switch self {
    case .organization(let directory): directory
    case .server(let directory): directory
    }
  }
}
