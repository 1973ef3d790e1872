import ArgumentParser
import Cryptography
import Federation

/// What the next version of a manifest assumes in another way than the one before; nil leaves it.
struct Assumptions: Sendable, Equatable {
  var assumedCorrupt: Int?
  var minimumCohort: Int?

  var isEmpty: Bool { self == Assumptions() }
}

/// `--assumed-corrupt` and `--minimum-cohort`.
struct AssumptionOptions: ParsableArguments {
  @Option(help: ArgumentHelp("From this version on: organisations that may collude with the server.", valueName: "n"))
  var assumedCorrupt: Int?

  @Option(help: ArgumentHelp("From this version on: fewest organisations in any sum.", valueName: "n"))
  var minimumCohort: Int?

  var value: Assumptions { Assumptions(assumedCorrupt: assumedCorrupt, minimumCohort: minimumCohort) }
}

/// The version of the manifest that follows the server's latest.
enum NextVersion {
  /// A version signed by the server; nothing is stored.
  ///
  /// - Throws: `FederationError` where the assumptions cannot hold among these organisations.
  static func make(
    after current: SignedManifest, organizations: [Manifest.Member], assumptions: Assumptions = Assumptions(),
    in server: ServerDirectory
  ) throws -> SignedManifest {
    var manifest = try current.successor(
      Manifest.Amendment(
        assumedCorrupt: assumptions.assumedCorrupt, minimumCohort: assumptions.minimumCohort,
        organizations: organizations))
    try manifest.approve(as: server.name, with: server.identityKey())
    return manifest
  }

  /// The organisations of a version without those that are revoked: everybody has to approve the next one, and they
  /// cannot.
  ///
  /// - Throws: `FederationError`.
  static func remaining(of manifest: Manifest, in server: ServerDirectory) throws -> [Manifest.Member] {
    let revocations = try server.revocations()
    return manifest.organizations.filter { member in !revocations.contains { $0.revokes(member) } }
  }
}
