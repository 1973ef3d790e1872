public import Cryptography
public import DifferentialPrivacy
public import Learning

/// An error of a target that may not know `Cryptography` and so names the blame in words: `caller`, `peer`,
/// `participants` or `local`. Where both are known, `extension SomeError: BlameInWords, BlamedError {}` is enough.
public protocol BlameInWords: Error {
  var blame: String { get }
}

extension BlamedError where Self: BlameInWords {
  public var blame: Blame {
    let named: any BlameInWords = self
    return Blame(rawValue: named.blame) ?? .local
  }
}

extension LearningError: BlameInWords, BlamedError {}
extension MechanismError: BlameInWords, BlamedError {}
extension EmpiricalAuditError: BlameInWords, BlamedError {}
