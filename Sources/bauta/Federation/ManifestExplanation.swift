import Cryptography
import Federation

/// What a new version of a manifest would change, in words that need no manual.
enum ManifestExplanation {
  /// Most important first: whose keys change, who joins, who leaves, on what the sums rest.
  static func lines(from old: Manifest, to new: Manifest) -> [StyledText] {
    var keys: [StyledText] = []
    var joins: [StyledText] = []
    var leaves: [StyledText] = []
    var settings: [StyledText] = []
    for change in new.changes(since: old) {
      switch change {
      case .key(let name, let role): keys += [key(name, role: role, in: new)].compactMap { $0 }
      case .pinReplaced(let name), .pinRotated(let name), .pinAnnounced(let name), .pinWithdrawn(let name):
        // One line a member: a new identity says it all.
        if old.member(named: name)?.keys.identity == new.member(named: name)?.keys.identity {
          keys.append("\(change.description): compare its fingerprint \(fingerprint(name, in: new))")
        }
      case .added(let name): joins.append("\(name, .strong) joins; fingerprint \(fingerprint(name, in: new))")
      case .removed(let name):
        leaves.append("\(name, .strong) leaves: it is in no sum any more, and approves nothing")
      case .setting(let name, let old, let new): settings.append(setting(name, from: old, to: new))
      }
    }
    return keys + joins + leaves + settings
  }

  private static func fingerprint(_ name: OrganizationName, in manifest: Manifest) -> String {
    manifest.member(named: name).map { MemberFingerprint($0).description } ?? "–"
  }

  private static func key(_ name: OrganizationName, role: String, in manifest: Manifest) -> StyledText? {
    switch role {
    case IdentityKeyRole.name:
      "\(name, .strong) has a \("NEW IDENTITY KEY", .caution): compare the fingerprint by voice: \(fingerprint(name, in: manifest))"
    case LogKeyRole.name:
      "\(name, .strong) has a new log key: its log up to now is checked with the one before"
    case _: "\(name, .strong) has a new \(role) key"
    }
  }

  private static func setting(_ name: String, from old: String, to new: String) -> StyledText {
    switch name {
    case "assumedCorrupt":
      "assumed corrupt from \(old) to \(new): the sum stays safe even if \(members(new)) with the server"
    case "minimumCohort": "smallest sum from \(old) to \(new): at least \(new) organisations must be in every sum"
    case "witnessQuorum": "witnesses from \(old) to \(new): so many must have signed the server's log"
    case "server.name": "the server is \(new), and no more \(old)"
    case "server.addresses": "the server is reached at \(new), and no more at \(old)"
    case _: "\(name) from \(old) to \(new)"
    }
  }

  private static func members(_ count: String) -> String {
    count == "1" ? "1 organisation colludes" : "\(count) organisations collude"
  }
}
