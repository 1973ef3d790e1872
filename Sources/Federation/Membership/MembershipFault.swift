import Cryptography

/// Why a change to who is in a federation, or under which certificate keys, does not count.
public enum MembershipFault: Hashable, Sendable {
  /// A statement of pins that is not as this program writes it.
  case malformedPins(OrganizationName)
  /// Not signed by the identity key that the manifest lists, or of another federation.
  case foreignPins(OrganizationName)
  case olderPins(OrganizationName, held: Int, found: Int)
  /// Two statements with the same sequence.
  case forkedPins(OrganizationName, sequence: Int)
  /// It names a key of another member.
  case pinOfAnother(OrganizationName)
  /// A record of a revocation that cannot be read as one.
  case malformedRevocation(path: String)

  var code: String {
    switch self {
    case .malformedPins: "pins-malformed"
    case .foreignPins: "pins-not-of-member"
    case .olderPins: "pins-older"
    case .forkedPins: "pins-forked"
    case .pinOfAnother: "pins-of-another-member"
    case .malformedRevocation: "revocation-malformed"
    }
  }

  var message: String {
    switch self {
    case .malformedPins(let name): "the statement of \(name)'s certificate keys is not as bauta writes it"
    case .foreignPins(let name):
      "the statement of \(name)'s certificate keys is not signed by the identity key that the manifest lists for it"
    case .olderPins(let name, let held, let found):
      "the statement of \(name)'s certificate keys is number \(found); number \(held) is known already"
    case .forkedPins(let name, let sequence):
      "there are two different statements number \(sequence) of \(name)'s certificate keys"
    case .pinOfAnother(let name): "\(name) states a certificate key that belongs to another member"
    case .malformedRevocation(let path): "\(path) is not the record of a revocation"
    }
  }

  var remedy: String {
    switch self {
    case .malformedPins, .foreignPins:
      "Ask the member for its latest pins/NAME.note, and compare fingerprints by voice."
    case .olderPins: "Nothing to do if the later one is the member's own; ask it, and compare fingerprints by voice."
    case .forkedPins:
      "Ask the member. If it made only one of them, its identity key is in other hands: revoke it, and admit it anew."
    case .pinOfAnother: "Let the member make a key of its own: bauta organization rotate"
    case .malformedRevocation:
      "Restore the file from a copy. Until then a server that runs goes on with the members and the revocations that it "
        + "knew, and takes up nothing that changes in its directory; a server that is started refuses to."
    }
  }
}
