public import Cryptography
import Foundation
import TransparencyLog

/// What an organisation hands to the operator to be admitted: its name, its verifier keys and a certificate request,
/// signed by its identity key. No secret is in it.
///
/// The signature shows that whoever made the request holds the identity key; that the key is the organisation's, the
/// operator learns over a channel that they trust.
public struct JoinRequest: Sendable, Equatable {
  public static let schema = "bauta/join-request/1"
  public static let maximumBytes = 64 * 1024
  private static let label = "bauta/v1/join-request"

  public let name: OrganizationName
  public let keys: Manifest.Keys
  /// PKCS #10, PEM.
  public let certificateRequest: String
  public let signature: Signature

  /// - Throws: ``FederationError/exchange(_:)`` if the certificate request is not PEM text.
  public init(
    name: OrganizationName, log: LogVerifyingKey, witness: WitnessVerifyingKey, certificateRequest: String,
    signedWith identity: borrowing IdentitySigningKey
  ) throws(FederationError) {
    try Self.requirePEM(certificateRequest)
    self.name = name
    keys = Manifest.Keys(identity: identity.verifyingKey, log: log, witness: witness)
    self.certificateRequest = certificateRequest
    signature = identity.sign(
      label: Self.label, canonical: Self.canonical(name: name, keys: keys, request: certificateRequest))
  }

  /// Reads a request and checks its signature.
  ///
  /// - Throws: ``FederationError/exchange(_:)``, ``FederationError/cryptography(_:)`` for a name that is none.
  public init(parsing bytes: [UInt8]) throws(FederationError) {
    let fields = try ExchangeText.parse(
      bytes, kind: .joinRequest, schema: Self.schema,
      keys: ["name", "identity", "log", "witness", "certificateRequest", "signature"], maximum: Self.maximumBytes)
    let name: OrganizationName
    do { name = try OrganizationName(fields["name"] ?? "") } catch { throw .cryptography(error) }
    self.name = name
    keys = Manifest.Keys(
      identity: try Self.key(fields, name), log: try Self.key(fields, name), witness: try Self.key(fields, name))
    certificateRequest = fields["certificateRequest"] ?? ""
    try Self.requirePEM(certificateRequest)
    guard let raw = try? Base64.decode(fields["signature"] ?? "", maximum: 128),
      let signature = try? Signature(bytes: raw)
    else { throw .exchange(.field(.joinRequest, name: "signature")) }
    self.signature = signature
    let canonical = Self.canonical(name: name, keys: keys, request: certificateRequest)
    guard keys.identity.verify(signature, label: Self.label, canonical: canonical) else {
      throw .exchange(.signature(name))
    }
  }

  /// - Throws: ``FederationError``.
  public init(contentsOf path: String) throws(FederationError) {
    try self.init(parsing: try FileAccess.bytes(of: path, maximum: Self.maximumBytes))
  }

  /// The file's text, one JSON object.
  public var text: String {
    ExchangeText.write([
      ("schema", Self.schema), ("name", name.value),
      ("identity", NoteVerifierKey(organization: name, key: keys.identity).text),
      ("log", NoteVerifierKey(organization: name, key: keys.log).text),
      ("witness", NoteVerifierKey(organization: name, key: keys.witness).text),
      ("certificateRequest", certificateRequest), ("signature", Base64.encode(signature.bytes)),
    ])
  }

  /// - Throws: ``FederationError/file(_:)``.
  public func write(to path: String) throws(FederationError) {
    try FileAccess.replace(path, mode: 0o644, bytes: Array(text.utf8))
  }

  /// The organisation as a member of a manifest, once its certificate's key is known.
  public func member(pinnedTo key: CertificateKeyHash) -> Manifest.Member {
    Manifest.Member(name: name, keys: keys, pins: Manifest.Pins(current: key))
  }

  private static func key<Role: NoteKeyRole>(
    _ fields: [String: String], _ name: OrganizationName
  ) throws(FederationError) -> VerifyingKey<Role> {
    guard let key = try? NoteVerifierKey<Role>(fields[Role.name] ?? ""), key.organization == name else {
      throw .exchange(.verifierKey(name: Role.name))
    }
    return key.key
  }

  private static func requirePEM(_ request: String) throws(FederationError) {
    guard ExchangeText.isPEM(request, label: "CERTIFICATE REQUEST") else {
      throw .exchange(.certificate(.joinRequest, name: "certificateRequest"))
    }
  }

  private static func canonical(name: OrganizationName, keys: Manifest.Keys, request: String) -> [UInt8] {
    var encoder = CanonicalEncoder(label)
    encoder.append(name.value)
    encoder.append(keys.identity.bytes)
    encoder.append(keys.log.bytes)
    encoder.append(keys.witness.bytes)
    encoder.append(request)
    return encoder.finish()
  }
}
