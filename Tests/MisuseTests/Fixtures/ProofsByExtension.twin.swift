@testable import SecureAggregation

extension VerifiedRoster {
  static func forged() -> VerifiedRoster? { nil }
}

extension VerifiedDelivery {
  static func forged() -> VerifiedDelivery? { nil }
}

extension VerifiedSurvivors {
  static func forged() -> VerifiedSurvivors? { nil }
}

extension ThresholdProof {
  static func forged() -> ThresholdProof? { nil }
}
