import Cryptography
import Federation
import Foundation
import Learning
import SecureAggregation

/// What an operator sees while a run works. Figures are sums over the cohort; none is one organisation's.
public enum RunEvent: Sendable {
  case listening(address: String)
  case waiting(for: [OrganizationName])
  case connected(OrganizationName)
  case disconnected(OrganizationName)
  case accepted(OrganizationName)
  case refused(OrganizationName, reason: String)
  case refusedMessage(OrganizationName, code: String, message: String)
  case runStarted(run: RunIdentifier, cohort: [OrganizationName])
  case openingStarted(OpeningIdentifier)
  case answered(OrganizationName, stage: RoundStage, opening: OpeningIdentifier)
  case stageClosed(RoundStage, opening: OpeningIdentifier, answered: [OrganizationName], missing: [OrganizationName])
  case attemptFailed(OpeningIdentifier, reason: String)
  case blamed(OrganizationName, opening: OpeningIdentifier, code: String)
  case openingCompleted(OpeningIdentifier, survivors: [OrganizationName])
  case evaluated(round: Int, metrics: BinaryMetrics)
  case approved(OrganizationName, version: Int, missing: [OrganizationName])
  /// An organisation has said which certificate keys it uses.
  case pinsStated(OrganizationName, sequence: Int)
  case revoked(OrganizationName)
  /// A member's log does not continue what this server has cosigned of it.
  case logConflict(LogConflict)
  /// A certificate ends soon, has ended or is not valid yet.
  case certificateDates(owner: String, notBefore: Date, notAfter: Date)
  /// The directory was read again, for better or worse.
  case reloaded(version: Int)
  case reloadFailed(reason: String)
  /// A witness outside the federation has not cosigned the server's log this time.
  case witnessSilent(code: String, reason: String)
  case ended(RunReport)
}
