import Cryptography
import Federation

/// One number for everything by which a member is known: its name, its three verifier keys, its certificate's key.
///
/// Two people read it to each other before they trust a file. 128 bits: nobody can make other keys with the same one.
struct MemberFingerprint: Sendable, Hashable, CustomStringConvertible {
  private static let label = "bauta/v1/member-fingerprint"
  private static let digits = 32

  let hexadecimal: String

  init(_ member: Manifest.Member) {
    self.init(name: member.name, keys: member.keys, certificateKey: member.pins.current)
  }

  init(name: OrganizationName, keys: Manifest.Keys, certificateKey: CertificateKeyHash) {
    var encoder = CanonicalEncoder(Self.label)
    encoder.append(name.value)
    encoder.append(keys.identity.bytes)
    encoder.append(keys.log.bytes)
    encoder.append(keys.witness.bytes)
    encoder.append(certificateKey)
    hexadecimal = String(SHA256Digest(hashing: encoder.finish()).hexadecimal.prefix(Self.digits))
  }

  /// Eight groups of four digits.
  var description: String { Fingerprint.grouped(hexadecimal) }
}
