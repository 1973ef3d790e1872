public import AuditLog
public import Cryptography
public import Federation
import Foundation
public import SecureAggregation

/// Why a masked input is not opened, or what an opening found.
public enum OpeningError: BlamedError {
  // What is sealed
  case missingSecrets(path: String)
  /// The file's window is over.
  case pastWindow(path: String, until: Int64)
  /// The header of a file is not one.
  case malformedSecrets(path: String)
  case secretsTruncated(path: String, expected: Int, found: Int)
  /// A byte of the file is not as it was sealed.
  case secretsAltered(path: String)
  case otherAuditor(path: String)
  /// The file is not the one that the request names.
  case otherSecrets(path: String)
  case unreadable(path: String, reason: String)
  /// A fault of this program: a term is read once, from its start.
  case secretsReadOutOfOrder

  // Request and consents
  case malformedNote(String)
  case notSigned(String, by: OrganizationName)
  case notAMember(OrganizationName)
  case notInSum(OrganizationName)
  /// This organisation has not signed this statement in this context.
  case unknownStatement(OpeningIdentifier)
  /// This organisation's masked input is in no sum that it knows of, or its secrets were not kept.
  case notOpenable(run: String, task: TaskKind, round: Int)
  /// A consent to another request.
  case otherRequest(OrganizationName)
  /// A request by this organisation itself.
  case ownRequest
  case otherFederation(expected: OrganizationName, found: OrganizationName)
  case tooFewConsents(have: Int, need: Int)
  case refused(OpeningRefusal)

  // Logs
  case logNotVerified(path: String, detail: String)
  /// The request is not on the record that its checkpoint commits to, or not under a checkpoint with its cosignatures.
  case requestNotRecorded(entry: UInt64)
  /// The record of the masked input, or of a part of it, is not there.
  case egressMissing
  /// More than one masked input left in one attempt.
  case egressRepeated(sequence: UInt64)
  /// What an egress record says left is not what was recomputed.
  case egressDiffers(sequence: UInt64)
  case ingressMissing(message: String)
  case ingressDiffers(sequence: UInt64)

  /// What was checked did not hold.
  case fault(OpeningFault)
  /// The manifest or the plan that was sealed does not give the context.
  case otherContext
  case federation(FederationError)
  case log(AuditLogError)
  case client(ClientError)

  private var underlying: (any BlamedError)? {
    switch self {
    case .refused(let error): error
    case .fault(let error): error
    case .federation(let error): error
    case .log(let error): error
    case .client(let error): error
    case .missingSecrets, .pastWindow, .malformedSecrets, .secretsTruncated, .secretsAltered, .otherAuditor,
      .otherSecrets, .unreadable, .secretsReadOutOfOrder, .malformedNote, .notSigned, .notAMember, .notInSum,
      .unknownStatement, .notOpenable, .otherRequest, .ownRequest, .otherFederation, .tooFewConsents, .logNotVerified,
      .requestNotRecorded, .egressMissing, .egressRepeated, .egressDiffers, .ingressMissing, .ingressDiffers,
      .otherContext:
      nil
    }
  }

  public var code: String {
    if let underlying { return underlying.code }
    return switch self {
    case .missingSecrets: "opening-secrets-missing"
    case .pastWindow: "opening-past-window"
    case .malformedSecrets: "opening-file-malformed"
    case .secretsTruncated: "opening-file-truncated"
    case .secretsAltered: "opening-file-altered"
    case .otherAuditor: "opening-other-auditor"
    case .otherSecrets: "opening-other-file"
    case .unreadable: "opening-file-unreadable"
    case .secretsReadOutOfOrder: "opening-out-of-order"
    case .malformedNote: "opening-note-malformed"
    case .notSigned: "opening-note-not-signed"
    case .notAMember: "opening-not-a-member"
    case .notInSum: "opening-not-in-sum"
    case .unknownStatement: "opening-unknown-statement"
    case .notOpenable: "opening-not-openable"
    case .otherRequest: "opening-other-request"
    case .ownRequest: "opening-own-request"
    case .otherFederation: "opening-other-federation"
    case .tooFewConsents: "opening-too-few-consents"
    case .logNotVerified: "opening-log-not-verified"
    case .requestNotRecorded: "opening-not-recorded"
    case .egressMissing: "opening-egress-missing"
    case .egressRepeated: "opening-egress-repeated"
    case .egressDiffers: "opening-egress-differs"
    case .ingressMissing: "opening-ingress-missing"
    case .ingressDiffers: "opening-ingress-differs"
    case _: "opening-other-context"
    }
  }

  public var blame: Blame {
    if let underlying { return underlying.blame }
    return switch self {
    case .unreadable, .secretsReadOutOfOrder: .local
    case .missingSecrets, .pastWindow, .otherAuditor, .notOpenable, .ownRequest, .otherRequest, .unknownStatement:
      .caller
    case .tooFewConsents: .participants
    case _: .peer
    }
  }

  public var message: String {
    if let underlying { return underlying.message }
    return switch self {
    case .missingSecrets(let path): "there are no sealed secrets at \(path)"
    case .pastWindow(let path, let until): "\(path) could be opened until \(Self.moment(until)), and not any more"
    case .malformedSecrets(let path): "\(path) is not a file of sealed secrets"
    case .secretsTruncated(let path, let expected, let found):
      "\(path) has \(found) bytes, and should have \(expected)"
    case .secretsAltered(let path): "\(path) is not as it was sealed, or not sealed to this key"
    case .otherAuditor(let path): "\(path) is sealed to another auditor's key"
    case .otherSecrets(let path): "\(path) is of another organisation or another sum than the request"
    case .unreadable(let path, let reason): "cannot read \(path): \(reason)"
    case .secretsReadOutOfOrder: "a sealed term was read out of order"
    case .malformedNote(let what): "\(what) is not as bauta writes it"
    case .notSigned(let what, let name): "\(what) is not signed by the identity key of \(name)"
    case .notAMember(let name): "the manifest does not name \(name)"
    case .notInSum(let name): "\(name) is not in the sum"
    case .unknownStatement(let opening):
      "this organisation has not signed who is in the sum of \(opening) as the request says it"
    case .notOpenable(let run, let task, let round):
      "nothing is kept here that opens \(task.rawValue) of round \(round) of run \(run)"
    case .otherRequest(let name): "the consent of \(name) is to another request"
    case .ownRequest: "the request is this organisation's own; it counts as its consent"
    case .otherFederation(let expected, let found): "the request is of \(found), not of \(expected)"
    case .tooFewConsents(let have, let need):
      "\(have) of the \(need) members needed have agreed, the requester included"
    case .logNotVerified(let path, let detail): "the log at \(path) does not verify: \(detail)"
    case .requestNotRecorded(let entry): "the request is not in entry \(entry) of the log, under its checkpoint"
    case .egressMissing: "the log does not hold the whole masked input of this attempt"
    case .egressRepeated(let sequence): "entry \(sequence) of the log is another masked input of the same attempt"
    case .egressDiffers(let sequence): "what left by entry \(sequence) of the log is not what was recomputed"
    case .ingressMissing(let message): "the server's log holds no message \(message)"
    case .ingressDiffers(let sequence): "entry \(sequence) of the server's log is not what was recomputed"
    case _: "manifest, plan and model that were sealed do not give the context of the masked input"
    }
  }

  public var remedy: String {
    if let underlying { return underlying.remedy }
    return switch self {
    case .missingSecrets, .notOpenable:
      "Only sums made while policy.yaml had audit.keepSecretsFor and audit.auditor, and whose time is not over, can be opened."
    case .pastWindow: "Open a masked input of a later round, in time."
    case .malformedSecrets, .secretsTruncated, .secretsAltered, .otherSecrets:
      "Nothing can be concluded from it; restore the file from a copy, or ask the organisation for an explanation."
    case .otherAuditor: "Use the key whose public text was in policy.yaml when the round was made."
    case .unreadable: "Check the path, its permissions and the disk."
    case .secretsReadOutOfOrder: "This is a fault of the program; report it."
    case .malformedNote, .notSigned: "Ask for the file again, as the command wrote it."
    case .notAMember, .notInSum: "Only those whose masked inputs are in the sum are opened, or agree."
    case .unknownStatement: "Do not agree. Keep the request, and ask its organisation what it is about."
    case .otherRequest: "Collect consents to this very request; a new request needs new ones."
    case .ownRequest: "Send it to the other members of the sum."
    case .otherFederation: "Use the directory of the federation that the request names."
    case .tooFewConsents: "Collect consents of more members of the sum: bauta audit open consent"
    case .logNotVerified: "Run: bauta audit verify. Nothing can be concluded from a log that does not verify."
    case .requestNotRecorded: "Make the request again: bauta audit open request"
    case .egressMissing, .egressRepeated, .egressDiffers, .ingressMissing, .ingressDiffers, .otherContext:
      "What is sealed is not what left. Keep the files and the logs, and ask the organisation for an explanation."
    case _: ""
    }
  }

  private static func moment(_ seconds: Int64) -> String {
    Date(timeIntervalSince1970: TimeInterval(seconds)).formatted(.iso8601)
  }
}
