import Cryptography
import DifferentialPrivacy
import SecureAggregation

/// Only this file can make one, and so a value that holds one: an extension elsewhere in the module cannot.
private struct Seal: Sendable {}

/// Proof that what a message costs in privacy has been charged, for the gate that lets it out.
///
/// A message of a sum under a plan with differential privacy leaves under a charge from the ledger for that very sum; every
/// other under ``notPrivate()``, which says that nothing was charged and nothing is promised: what protects a term then is
/// the secure sum alone.
public struct PrivacyCharge: ~Copyable, Sendable {
  /// The sum that was paid for; nil where no differential privacy applies.
  private let paid: LedgerEntry?
  private let seal: Seal

  fileprivate init(paid: LedgerEntry?) {
    seal = Seal()
    self.paid = paid
  }

  /// For a message outside differential privacy.
  public static func notPrivate() -> PrivacyCharge { PrivacyCharge(paid: nil) }

  /// Whether it lets a message of this sum out under the decision: where that demands a charge, only the sum's own.
  ///
  /// - Parameter opening: the sum that the message belongs to; nil for one that belongs to none.
  public borrowing func covers(_ opening: OpeningIdentifier?, under decision: borrowing PolicyDecision) -> Bool {
    guard decision.requiresCharge else { return true }
    guard let opening, let paid else { return false }
    return paid.pays(for: opening)
  }
}

extension PrivacyLedger {
  /// The charge for messages of a sum; nil if the ledger has none for it.
  public func proof(for opening: OpeningIdentifier) -> PrivacyCharge? {
    guard let entry = charge(for: opening) else { return nil }
    return PrivacyCharge(paid: entry)
  }
}
