public import Cryptography
import Foundation
import TransparencyLog

/// The operator's record that a member is no longer let in. It counts at the server at once, before the version of the
/// manifest without the member has everybody's approval.
///
/// It holds for an identity key, not for a name: the same organisation can be admitted again with new keys.
public struct Revocation: Sendable, Equatable {
  public static let schema = "bauta/revocation/1"
  static let maximumBytes = 8192
  public static let maximumReasonBytes = 1024

  public let name: OrganizationName
  public let identity: IdentityVerifyingKey
  /// One line, in the operator's words.
  public let reason: String
  /// When, as text in UTC.
  public let time: String

  public init(name: OrganizationName, identity: IdentityVerifyingKey, reason: String, time: String) {
    self.name = name
    self.identity = identity
    self.reason = reason
    self.time = time
  }

  init(parsing bytes: [UInt8]) throws(FederationError) {
    let fields = try ExchangeText.parse(
      bytes, kind: .revocation, schema: Self.schema, keys: ["name", "identity", "reason", "time"],
      maximum: Self.maximumBytes)
    guard let name = try? OrganizationName(fields["name"] ?? "") else {
      throw .exchange(.field(.revocation, name: "name"))
    }
    guard let key = try? NoteVerifierKey<IdentityKeyRole>(fields["identity"] ?? ""), key.organization == name else {
      throw .exchange(.field(.revocation, name: "identity"))
    }
    self.init(name: name, identity: key.key, reason: fields["reason"] ?? "", time: fields["time"] ?? "")
  }

  var text: String {
    ExchangeText.write([
      ("schema", Self.schema), ("name", name.value),
      ("identity", NoteVerifierKey(organization: name, key: identity).text), ("reason", reason), ("time", time),
    ])
  }

  /// Under which names it may be stored: the first for a name's first revoked key, the second for further ones.
  var fileNames: [String] {
    // No organisation's name holds a '+'.
    ["\(name).json", "\(name)+\(SHA256Digest(hashing: identity.bytes).hexadecimal.prefix(16)).json"]
  }

  /// Whether it is about this member under its present identity key.
  public func revokes(_ member: Manifest.Member) -> Bool {
    member.name == name && member.keys.identity == identity
  }
}
