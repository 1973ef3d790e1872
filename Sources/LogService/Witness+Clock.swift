import Foundation
public import TransparencyLog

extension Witness {
  /// The system's clock, in Unix seconds; a cosignature of the time 0 would be none.
  public static let systemClock: @Sendable () -> UInt64 = { UInt64(max(1, Date().timeIntervalSince1970)) }
}
