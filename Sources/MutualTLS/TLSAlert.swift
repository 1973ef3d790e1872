/// A fatal alert that the peer sent (RFC 8446, section 6).
public struct TLSAlert: RawRepresentable, Sendable, Hashable, CustomStringConvertible {
  public let rawValue: UInt8

  public init(rawValue: UInt8) { self.rawValue = rawValue }

  public static let unexpectedMessage = TLSAlert(rawValue: 10)
  public static let handshakeFailure = TLSAlert(rawValue: 40)
  public static let badCertificate = TLSAlert(rawValue: 42)
  public static let unsupportedCertificate = TLSAlert(rawValue: 43)
  public static let certificateRevoked = TLSAlert(rawValue: 44)
  public static let certificateExpired = TLSAlert(rawValue: 45)
  public static let certificateUnknown = TLSAlert(rawValue: 46)
  public static let unknownAuthority = TLSAlert(rawValue: 48)
  public static let accessDenied = TLSAlert(rawValue: 49)
  public static let protocolVersion = TLSAlert(rawValue: 70)
  public static let certificateRequired = TLSAlert(rawValue: 116)
  public static let noApplicationProtocol = TLSAlert(rawValue: 120)

  public var description: String {
    switch self {
    case .unexpectedMessage: "unexpected_message"
    case .handshakeFailure: "handshake_failure"
    case .badCertificate: "bad_certificate"
    case .unsupportedCertificate: "unsupported_certificate"
    case .certificateRevoked: "certificate_revoked"
    case .certificateExpired: "certificate_expired"
    case .certificateUnknown: "certificate_unknown"
    case .unknownAuthority: "unknown_ca"
    case .accessDenied: "access_denied"
    case .protocolVersion: "protocol_version"
    case .certificateRequired: "certificate_required"
    case .noApplicationProtocol: "no_application_protocol"
    default: "alert \(rawValue)"
    }
  }

  /// What the alert means for the certificate that its receiver presented.
  var certificateExplanation: String? {
    switch self {
    case .badCertificate:
      """
      its key is not pinned in the manifest the other side follows, its name is not the pinned one, or it is not \
      valid yet by the other side's clock
      """
    case .unsupportedCertificate: "its key usage or kind does not allow this use"
    case .certificateRevoked: "it has been revoked"
    case .certificateExpired: "it has expired"
    case .certificateUnknown: "the other side could not process it"
    case .unknownAuthority: "it was not issued by the federation's certificate authority"
    case .accessDenied: "it is valid, but access was denied"
    case .certificateRequired: "none was presented"
    default: nil
    }
  }
}
