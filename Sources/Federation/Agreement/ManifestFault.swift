import Cryptography

/// Why a manifest must not be acted upon.
public enum ManifestFault: Hashable, Sendable {
  public enum Field: String, Sendable {
    case version, previous, assumedCorrupt, minimumCohort, witnessQuorum, addresses, organizations
  }

  case outOfRange(Field, expected: String)
  case duplicateName(OrganizationName)
  /// The same key twice, in whatever role and at whatever member.
  case duplicateKey(OrganizationName)
  case duplicatePin(OrganizationName)
  /// t − n_c would be below 2: the corrupt could unmask alone with one more.
  case tooManyCorrupt(organizations: Int, assumedCorrupt: Int)
  /// There is no manifest here yet.
  case noManifest(path: String)
  case unknownMember(OrganizationName)
  case alreadyMember(OrganizationName)
  /// A signature that does not verify.
  case invalidSignature([OrganizationName])
  case missingApprovals([OrganizationName])
  case otherFederation(expected: OrganizationName, found: OrganizationName)
  case wrongVersion(expected: Int, found: Int)
  case wrongPrevious(expected: ManifestHash, found: ManifestHash?)
  /// The key that is to sign is not the one listed for the name.
  case foreignKey(OrganizationName)

  var code: String {
    switch self {
    case .outOfRange: "manifest-out-of-range"
    case .duplicateName, .duplicateKey, .duplicatePin: "manifest-duplicate"
    case .tooManyCorrupt: "manifest-too-many-corrupt"
    case .noManifest: "manifest-missing"
    case .unknownMember: "manifest-unknown-member"
    case .alreadyMember: "manifest-already-member"
    case .invalidSignature: "manifest-invalid-signature"
    case .missingApprovals: "manifest-not-approved"
    case .otherFederation: "manifest-other-federation"
    case .wrongVersion, .wrongPrevious: "manifest-not-successor"
    case .foreignKey: "manifest-foreign-key"
    }
  }

  var message: String {
    switch self {
    case .outOfRange(let field, let expected): "the manifest's \(field.rawValue) must be \(expected)"
    case .duplicateName(let name): "the manifest names \(name) twice"
    case .duplicateKey(let name): "the manifest lists a key of \(name) twice"
    case .duplicatePin(let name): "the manifest lists a certificate pin of \(name) twice"
    case .tooManyCorrupt(let organizations, let corrupt):
      "with \(organizations) organisations, \(corrupt) assumed corrupt leave fewer than 2 honest ones in a threshold"
    case .noManifest(let path): "\(path): there is no manifest yet"
    case .unknownMember(let name): "the manifest does not name \(name)"
    case .alreadyMember(let name): "the manifest names \(name) already"
    case .invalidSignature(let names): "the manifest's signature by \(Self.list(names)) does not verify"
    case .missingApprovals(let names): "the manifest is not yet approved by \(Self.list(names))"
    case .otherFederation(let expected, let found): "the manifest is of federation \(found), not of \(expected)"
    case .wrongVersion(let expected, let found): "the manifest has version \(found); the next one is \(expected)"
    case .wrongPrevious(let expected, let found):
      "the manifest follows \(found.map { "version \($0.hexadecimal.prefix(16))…" } ?? "no version"), "
        + "not \(expected.hexadecimal.prefix(16))…, the one that is held"
    case .foreignKey(let name): "the key at hand is not the one that the manifest lists for \(name)"
    }
  }

  var remedy: String {
    switch self {
    case .outOfRange, .tooManyCorrupt: "Make a version of the manifest with other values."
    case .duplicateName, .duplicateKey, .duplicatePin:
      "Let every member make names, keys and certificates of its own."
    case .noManifest: "Approve the operator's invitation first: bauta federation approve INVITATION"
    case .unknownMember: "Ask the operator to admit it in a new version."
    case .alreadyMember:
      "Nothing needs to be done. If it lost its identity key: bauta federation admit REQUEST --replace --reason TEXT"
    case .invalidSignature: "Do not use this manifest; fetch it again and ask its members who changed it."
    case .missingApprovals: "Ask them to approve it: bauta federation approve"
    case .otherFederation, .wrongVersion, .wrongPrevious:
      "Fetch the version that follows the one held here; every version is approved in turn."
    case .foreignKey: "Use the directory whose keys the manifest lists."
    }
  }

  private static func list(_ names: [OrganizationName]) -> String {
    names.map(\.value).joined(separator: ", ")
  }
}
