import AuditLog
import Foundation
import Testing

/// Logs with one thing changed in each, and what two verifiers must say of them.
final class VerdictTable {
  enum Expected {
    case verified, refused
    /// What the change hits is nobody's in particular; both must say the same, whatever it is.
    case same
    /// They differ by nature, for the reason given.
    case differs(ours: Bool, theirs: Bool, because: String)
  }

  /// Under which keys a log is verified.
  struct Policy: Hashable {
    var key: String
    var witnesses: [UInt8] = [9]
    var quorum = 1
    /// File with a checkpoint that was seen before; ours does not ask for one.
    var seen: String?
  }

  private struct Row {
    let name: String
    let directory: String
    let policy: Policy
    let expected: Expected
  }

  private let root: TemporaryDirectory
  private let standard: Policy
  private var rows: [Row] = []

  init() throws {
    root = try TemporaryDirectory()
    standard = Policy(key: try Fixed.verifierKey())
  }

  var count: Int { rows.count }

  /// Adds a row: a copy of the log in `sample` (nothing if nil) with `change` made to it.
  func add(
    _ name: String, to sample: String?, _ expected: Expected, policy: Policy? = nil,
    change: (String) throws -> Void = { _ in }
  ) throws {
    let directory = "\(root.path)/\(rows.count)"
    if let sample {
      try Self.link(sample, to: directory)
    } else {
      try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: false)
    }
    try change(directory)
    rows.append(Row(name: name, directory: directory, policy: policy ?? standard, expected: expected))
  }

  /// A row with other contents of one file.
  func add(
    _ name: String, to sample: String, _ expected: Expected, policy: Policy? = nil, file: String,
    change: (inout [UInt8]) throws -> Void
  ) throws {
    try add(name, to: sample, expected, policy: policy) { try Self.edit("\($0)/\(file)", change) }
  }

  /// Asks both about every row.
  func compare() throws {
    var wrong: [String] = []
    for (policy, group) in Dictionary(grouping: rows, by: \.policy) {
      var arguments = ["--key", policy.key, "--quorum", String(policy.quorum)]
      let witnesses = try policy.witnesses.map { try FixedWitness.verifierKey($0) }
      for witness in witnesses { arguments += ["--witness", witness.text] }
      if let seen = policy.seen { arguments += ["--seen", seen] }
      let verdicts = try IndependentVerifier.verdicts(arguments + group.map(\.directory))
      try #require(verdicts.count == group.count)
      let cosigners = CosignerPolicy(witnesses: witnesses, quorum: policy.quorum)
      for (row, theirs) in zip(group, verdicts) {
        let ours = AuditVerifier.verify(logDirectory: row.directory, verifierKey: policy.key, cosigners: cosigners)
        if !row.expected.allows(ours: ours.verified, theirs: theirs.verified) {
          wrong.append("\(row.name): ours \(ours.verified) \(ours.failures), theirs \(theirs.failures)")
        }
        // Where both are content they have seen the same log.
        if ours.verified, theirs.verified, ours.size != theirs.size || ours.unsignedTail != theirs.unsignedTail {
          wrong.append("\(row.name): sizes differ")
        }
      }
    }
    #expect(wrong.isEmpty, "\(wrong.count) of \(rows.count): \(wrong.prefix(10).joined(separator: "\n"))")
  }

  /// Replaces a file of a copy: the original has the same bytes on disk.
  static func edit(_ path: String, _ change: (inout [UInt8]) throws -> Void) throws {
    var bytes = try read(path)
    let before = bytes
    try change(&bytes)
    try #require(bytes != before, "nothing was changed in \(path)")
    try replace(path, bytes)
  }

  static func replace(_ path: String, _ bytes: [UInt8]) throws {
    try? FileManager.default.removeItem(atPath: path)
    let folder = (path as NSString).deletingLastPathComponent
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    try write(bytes, to: path)
  }

  private static func link(_ source: String, to target: String) throws {
    let manager = FileManager.default
    try manager.createDirectory(atPath: target, withIntermediateDirectories: false)
    for name in try manager.contentsOfDirectory(atPath: source) {
      var isDirectory: ObjCBool = false
      _ = manager.fileExists(atPath: "\(source)/\(name)", isDirectory: &isDirectory)
      if isDirectory.boolValue {
        try link("\(source)/\(name)", to: "\(target)/\(name)")
      } else {
        try manager.linkItem(atPath: "\(source)/\(name)", toPath: "\(target)/\(name)")
      }
    }
  }
}

extension VerdictTable.Expected {
  fileprivate func allows(ours: Bool, theirs: Bool) -> Bool {
    switch self {
    case .verified: ours && theirs
    case .refused: !ours && !theirs
    case .same: ours == theirs
    case .differs(let expectedOurs, let expectedTheirs, _): ours == expectedOurs && theirs == expectedTheirs
    }
  }
}
