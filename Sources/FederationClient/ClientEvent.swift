import Cryptography
import Federation
import Foundation
import Learning
import SecureAggregation

/// What a data scientist sees while the client works. Local figures stay here: they are shown, not sent.
public enum ClientEvent: Sendable {
  case connecting(to: String)
  /// A new connection; through a proxy, if one is named.
  case connected(to: NetworkAddress, via: String?)
  case unreachable(String)
  /// The server was reached, and lets this organisation in no more or takes nothing of it; it is asked again by and by.
  case refusedByServer(code: String, reason: String, remedy: String)
  case connectionLost
  case announced(run: RunIdentifier, plan: String)
  case accepted(run: RunIdentifier, rows: Int, columns: Int)
  /// Not taking part, in a run or in one sum. The rules are stable codes; the reasons may say what is in the data.
  case refused(run: RunIdentifier, rule: String, reasons: [String])
  case training(OpeningIdentifier)
  case trained(OpeningIdentifier, loss: Double?, clipped: Int)
  /// A sum was charged: count releases, none where an earlier round of a tree has paid for it. Epsilon is what the data set
  /// has been charged in all, and noise who adds it.
  case charged(run: RunIdentifier, task: TaskKind, round: Int, count: Int, epsilon: Double, noise: NoisePlacement)
  case sent(ClientRoundMessageKind, OpeningIdentifier)
  case completed(OpeningIdentifier, survivors: Int, of: Int)
  case metrics(round: Int, BinaryMetrics)
  case ended(run: RunIdentifier, state: String, reason: String, model: String?)

  /// The server has answered a greeting: this organisation is known, under this version of the manifest.
  case greeted(version: Int)
  /// Certificate, key or authority were replaced: new connections are made with this key.
  case credentialsChanged(key: CertificateKeyHash)
  /// What has replaced them cannot be used; connections go on with what was there before.
  case credentialsUnusable(code: String, reason: String)
  /// A certificate ends within 30 days, has ended, or is not valid yet.
  case certificateDates(owner: String, notBefore: Date, notAfter: Date)
  /// The server announced certificate keys of its own; they count from now on.
  case serverPins(name: OrganizationName, sequence: Int)
  /// Somebody used the server's name for certificate keys that are not its own.
  case forgedPins(reason: String, remedy: String)
  /// A version of the manifest waits for this organisation's approval.
  case proposed(version: Int, federation: OrganizationName)
  /// The version that is approved here has everybody's approval.
  case inForce(version: Int)
  /// Another member's log does not continue what this organisation has witnessed of it, as the server shows it.
  case logConflict(OrganizationName, held: UInt64, offered: UInt64)
  /// Fewer witnesses than the manifest asks for have cosigned the log of a run when it ended.
  case quorumMissed(found: Int, needed: Int)
  /// Something of the directory could not be read anew; what was known goes on.
  case unreadable(code: String, reason: String)
  /// A witness outside the federation has not cosigned the log this time.
  case witnessSilent(code: String, reason: String, remedy: String)
  /// A service goes on after this.
  case trouble(code: String, reason: String, remedy: String)
  /// Told to stop: what is on the record is brought to its end.
  case stopping

  public typealias ClientRoundMessageKind = String
}
