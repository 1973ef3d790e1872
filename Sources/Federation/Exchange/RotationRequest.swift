import Cryptography
import Foundation
import TransparencyLog

/// What an organisation hands to the operator when its certificate key changes: its own signed statement of pins, and,
/// while the key is being replaced, the request for the next key's certificate. No secret is in it.
///
/// Without a request it says how a rotation ended: completed or withdrawn.
///
/// The statement is signed by the identity key that the manifest lists; the request by the key in it. Whether that key is
/// the one stated as next is for the reader of the request to check, who also knows certificates.
public struct RotationRequest: Sendable, Equatable {
  public static let schema = "bauta/rotation/1"
  public static let maximumBytes = 64 * 1024

  public let statement: SignedPins
  /// PKCS #10, PEM; nil where no certificate is asked for.
  public let certificateRequest: String?

  public var name: OrganizationName { statement.name }

  /// - Throws: ``FederationError/exchange(_:)`` for a request that is not PEM text, or that comes with a statement
  ///   without a next key.
  public init(statement: SignedPins, certificateRequest: String? = nil) throws(FederationError) {
    if let certificateRequest {
      guard ExchangeText.isPEM(certificateRequest, label: "CERTIFICATE REQUEST") else {
        throw .exchange(.certificate(.rotation, name: "certificateRequest"))
      }
      guard statement.pins.next != nil else { throw .exchange(.field(.rotation, name: "certificateRequest")) }
    }
    self.statement = statement
    self.certificateRequest = certificateRequest
  }

  /// Reads a file. The statement's signature is not checked: that takes the manifest.
  ///
  /// - Throws: ``FederationError``.
  public init(parsing bytes: [UInt8]) throws(FederationError) {
    let fields = try ExchangeText.parse(
      bytes, kind: .rotation, schema: Self.schema, keys: ["statement", "certificateRequest"],
      maximum: Self.maximumBytes)
    let request = fields["certificateRequest"] ?? ""
    try self.init(
      statement: try SignedPins(parsing: Array((fields["statement"] ?? "").utf8), file: "the rotation's statement"),
      certificateRequest: request.isEmpty ? nil : request)
  }

  /// - Throws: ``FederationError``.
  public init(contentsOf path: String) throws(FederationError) {
    try self.init(parsing: try FileAccess.bytes(of: path, maximum: Self.maximumBytes))
  }

  /// The file's text, one JSON object.
  public var text: String {
    ExchangeText.write([
      ("schema", Self.schema), ("statement", String(decoding: statement.serialized, as: UTF8.self)),
      ("certificateRequest", certificateRequest ?? ""),
    ])
  }

  /// - Throws: ``FederationError/file(_:)``.
  public func write(to path: String) throws(FederationError) {
    try FileAccess.replace(path, mode: 0o644, bytes: Array(text.utf8))
  }
}

/// What an operator is handed by an organisation: a request to join, or one about its certificate key.
public enum AdmissionRequest: Sendable, Equatable {
  case join(JoinRequest)
  case rotation(RotationRequest)

  /// - Throws: ``FederationError``; a file of neither kind is refused as a join request.
  public init(contentsOf path: String) throws(FederationError) {
    let limit = max(JoinRequest.maximumBytes, RotationRequest.maximumBytes)
    let bytes = try FileAccess.bytes(of: path, maximum: limit)
    self =
      ExchangeText.schema(of: bytes) == RotationRequest.schema
      ? .rotation(try RotationRequest(parsing: bytes)) : .join(try JoinRequest(parsing: bytes))
  }
}
