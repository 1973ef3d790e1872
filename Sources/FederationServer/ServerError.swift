import AuditLog
import Cryptography
import Federation
import LogService
import MutualTLS
import ServiceControl
import TransparencyLog

/// Why a server cannot start or go on.
public enum ServerError: BlamedError {
  case directory(path: String, reason: String)
  /// A file of a run, made by a server, that cannot be read as one.
  case unreadable(path: String, what: String)
  /// The seed that the noise of a run's trees is made from is not there, or not to be used: no sum is published then.
  case treeSeed(path: String, reason: String)
  case control(ControlError)
  case stopping
  case nothingRuns
  case unknownRun(RunIdentifier)
  case runHasEnded(RunIdentifier, state: RunReport.State)
  /// A run of an earlier server was announced under a version that neither counts nor waits for approvals any more.
  case supersededManifest(version: Int)
  case federation(FederationError)
  case log(AuditLogError)
  /// A witness outside the federation has seen another log than this one.
  case externalWitness(WitnessSubmissionError)
  case credential(CredentialError)
  case transport(TransportError)
  case witness(WitnessError)
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
    case .externalWitness(let error): error
    case .credential(let error): error
    case .transport(let error): error
    case .witness(let error): error
    case .control(let error): error
    case .directory, .unreadable, .treeSeed, .noManifest, .otherServer, .tooFewMembers, .stopping, .nothingRuns,
      .unknownRun,
      .runHasEnded, .supersededManifest:
      nil
    }
  }

  public var code: String {
    if let underlying { return underlying.code }
    return switch self {
    case .directory: "server-directory"
    case .unreadable: "run-file-unreadable"
    case .treeSeed: "run-noise-seed"
    case .noManifest: "server-no-manifest"
    case .stopping: "server-stopping"
    case .nothingRuns: "no-run"
    case .unknownRun: "run-unknown"
    case .runHasEnded: "run-ended"
    case .supersededManifest: "run-manifest-superseded"
    case .otherServer: "server-other"
    default: "too-few-members"
    }
  }

  public var blame: Blame { underlying?.blame ?? .caller }

  public var message: String {
    if let underlying { return underlying.message }
    return switch self {
    case .directory(let path, let reason): "cannot write \(path): \(reason)"
    case .unreadable(let path, let what): "\(path) cannot be read as \(what)"
    case .treeSeed(let path, let reason): "the run's noise cannot be made as it began, from \(path): \(reason)"
    case .stopping: "the server is stopping and takes no run"
    case .nothingRuns: "no run is going on"
    case .unknownRun(let run): "there is no run \(run)"
    case .runHasEnded(let run, let state): "run \(run) has ended: \(state.rawValue)"
    case .supersededManifest(let version):
      "the run was announced under version \(version) of the manifest, which does not count any more"
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
    case .unreadable: "cancel the run that it belongs to, and start another"
    case .treeSeed:
      "start another run, which draws a seed of its own; whoever moves a server's directory moves all of it, and its modes"
    case .stopping: "start the server again, and queue the run then"
    case .nothingRuns, .unknownRun: "see which runs there are: bauta run list"
    case .runHasEnded: "nothing to do"
    case .supersededManifest: "cancel it, and start another run"
    case .noManifest: "make one with 'bauta federation init', and admit organisations with 'bauta federation admit'"
    case .otherServer: "give the directory that 'bauta federation init' made for this server"
    default: "admit more organisations with 'bauta federation admit', or lower the plan's minimums"
    }
  }
}
