import Cryptography
import Learning
import Training

/// What is wrong with the organisation's data, or with training on it.
public struct DataError: BlamedError, Equatable {
  public let code: String
  public let blame: Blame
  public let message: String
  public let remedy: String

  public init(_ error: LearningError) {
    code = error.code
    blame = Blame(rawValue: error.blame) ?? .local
    message = error.message
    remedy = error.remedy
  }

  public init(_ error: TrainingError) {
    code = error.code
    blame = Blame(rawValue: error.blame) ?? .local
    message = error.message
    remedy = error.remedy
  }
}
