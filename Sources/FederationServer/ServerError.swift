import AuditLog
import Cryptography
import Federation
import MutualTLS

/// Why a server cannot start or go on.
public enum ServerError: BlamedError {
  case directory(path: String, reason: String)
  case federation(FederationError)
  case log(AuditLogError)
  case credential(CredentialError)
  case transport(TransportError)
  /// There is no manifest in the server's directory.
  case noManifest(path: String)
  /// The directory belongs to another server than the manifest names.
  case otherServer(expected: OrganizationName, found: OrganizationName)
  /// Fewer organisations in the manifest than a run of the plan needs.
  case tooFewMembers(present: Int, needed: Int)
  /// A sum of the plan could wrap, or its threshold cannot be met, with this manifest.
  case plan(FederationError)

  private var underlying: (any BlamedError)? {
    switch self {
    case .federation(let error), .plan(let error): error
    case .log(let error): error
    case .credential(let error): error
    case .transport(let error): error
    case .directory, .noManifest, .otherServer, .tooFewMembers: nil
    }
  }

  public var code: String {
    if let underlying { return underlying.code }
    return switch self {
    case .directory: "server-directory"
    case .noManifest: "server-no-manifest"
    case .otherServer: "server-other"
    default: "too-few-members"
    }
  }

  public var blame: Blame { underlying?.blame ?? .caller }

  public var message: String {
    if let underlying { return underlying.message }
    return switch self {
    case .directory(let path, let reason): "cannot write \(path): \(reason)"
    case .noManifest(let path): "there is no manifest at \(path)"
    case .otherServer(let expected, let found): "the directory is \(found)'s, and the manifest names \(expected)"
    case .tooFewMembers(let present, let needed):
      "the manifest names \(present) organisations and the plan needs \(needed)"
    default: "the server cannot start"
    }
  }

  public var remedy: String {
    if let underlying { return underlying.remedy }
    return switch self {
    case .directory: "free space or correct the permissions, then start again"
    case .noManifest: "make one with 'bauta federation init', and admit organisations with 'bauta federation admit'"
    case .otherServer: "give the directory that 'bauta federation init' made for this server"
    default: "admit more organisations with 'bauta federation admit', or lower the plan's minimums"
    }
  }
}
