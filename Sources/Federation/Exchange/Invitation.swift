import Cryptography
import Foundation
import TransparencyLog

/// What the operator hands to an organisation, everything that it needs in one file: its certificate chain, the
/// authority's certificate, the manifest, and what the server has said last of its own certificate keys.
///
/// The first one lets an organisation join; a later one brings a new version of the manifest, a renewed certificate, or
/// the one that completes a rotation.
public struct Invitation: Sendable, Equatable {
  public static let schema = "bauta/invitation/2"
  public static let maximumBytes = 2 << 20

  /// PEM, the organisation's certificate first.
  public let certificateChain: String
  /// PEM; more than one while an authority replaces another.
  public let certificateAuthority: String
  public let manifest: SignedManifest
  /// Nil while the server uses the key that the manifest pins, and no other.
  public let serverPins: SignedPins?
  /// What the operator knew when this was written: whether the organisation's approval of the manifest is still to come.
  /// Words for whoever reads the file; nothing is decided by it.
  public let needsApproval: Bool

  /// - Throws: ``FederationError/exchange(_:)`` if a certificate is not PEM text, ``FederationError/membership(_:)`` for
  ///   a statement that the manifest's server has not signed.
  public init(
    certificateChain: String, certificateAuthority: String, manifest: SignedManifest, serverPins: SignedPins? = nil,
    needsApproval: Bool = true
  ) throws(FederationError) {
    guard ExchangeText.isPEM(certificateChain, label: "CERTIFICATE") else {
      throw .exchange(.certificate(.invitation, name: "certificateChain"))
    }
    guard ExchangeText.isPEM(certificateAuthority, label: "CERTIFICATE") else {
      throw .exchange(.certificate(.invitation, name: "certificateAuthority"))
    }
    if let serverPins {
      let server = manifest.manifest.server
      guard serverPins.name == server.name, serverPins.federation == manifest.manifest.federation,
        serverPins.isSigned(by: server.member.identityNoteKey)
      else { throw .membership(.foreignPins(server.name)) }
    }
    self.certificateChain = certificateChain
    self.certificateAuthority = certificateAuthority
    self.manifest = manifest
    self.serverPins = serverPins
    self.needsApproval = needsApproval
  }

  /// - Throws: ``FederationError``; approvals and certificates are not checked here.
  public init(parsing bytes: [UInt8]) throws(FederationError) {
    let fields = try ExchangeText.parse(
      bytes, kind: .invitation, schema: Self.schema,
      keys: ["needsApproval", "certificateChain", "certificateAuthority", "manifest", "serverPins"],
      maximum: Self.maximumBytes)
    let needsApproval: Bool
    switch fields["needsApproval"] {
    case "yes": needsApproval = true
    case "no": needsApproval = false
    case _: throw .exchange(.field(.invitation, name: "needsApproval"))
    }
    let pins = fields["serverPins"] ?? ""
    try self.init(
      certificateChain: fields["certificateChain"] ?? "", certificateAuthority: fields["certificateAuthority"] ?? "",
      manifest: try SignedManifest(parsing: fields["manifest"] ?? "", file: "the invitation's manifest"),
      serverPins: pins.isEmpty ? nil : try SignedPins(parsing: Array(pins.utf8), file: "the invitation's serverPins"),
      needsApproval: needsApproval)
  }

  /// - Throws: ``FederationError``.
  public init(contentsOf path: String) throws(FederationError) {
    try self.init(parsing: try FileAccess.bytes(of: path, maximum: Self.maximumBytes))
  }

  /// The file's text, one JSON object.
  public var text: String {
    ExchangeText.write([
      ("schema", Self.schema), ("needsApproval", needsApproval ? "yes" : "no"),
      ("certificateChain", certificateChain), ("certificateAuthority", certificateAuthority),
      ("manifest", manifest.serializedText),
      ("serverPins", serverPins.map { String(decoding: $0.serialized, as: UTF8.self) } ?? ""),
    ])
  }

  /// - Throws: ``FederationError/file(_:)``.
  public func write(to path: String) throws(FederationError) {
    try FileAccess.replace(path, mode: 0o644, bytes: Array(text.utf8))
  }
}
