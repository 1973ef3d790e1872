import Cryptography
import Federation
import Foundation

/// The directory, what is agreed upon in it, the data, and the room on the disk.
struct DirectoryChecks {
  /// Free space below which the next runs may fail, and below which nothing should be begun, in bytes.
  static let scarceBytes: UInt64 = 1 << 30
  static let missingBytes: UInt64 = 64 << 20

  let directory: OrganizationDirectory
  let dataPath: String?
  let now: Date

  var findings: [Finding] {
    let policy = Result { () throws(FederationError) in try directory.policy() }
    return [ownership] + keys + manifest + [self.policy(policy)] + data(try? policy.get()) + [space]
  }

  private var ownership: Finding {
    var status = stat()
    guard stat(directory.path, &status) == 0 else {
      return Finding("directory", .failed, "\(directory.path) cannot be looked at", remedy: "Check the path.")
    }
    guard status.st_uid == geteuid() else {
      return Finding(
        "directory", .failed, "\(directory.path) belongs to user \(status.st_uid), and this is user \(geteuid())",
        remedy: "Run the client as the directory's owner, or give the directory to this user: chown -R \(geteuid()) "
          + directory.path)
    }
    for path in [directory.path, directory.logPath] where access(path, R_OK | W_OK | X_OK) != 0 {
      let reason = String(cString: strerror(errno))
      return Finding(
        "directory", .failed, "\(path) cannot be written: \(reason)",
        remedy: "Check the file system and the permissions: the client writes log, state and models there.")
    }
    return Finding("directory", .ok, "\(directory.path) of \(directory.name), its owner's alone")
  }

  private var keys: [Finding] {
    func look(_ check: String, _ load: () throws(FederationError) -> Void) -> Finding {
      do throws(FederationError) {
        try load()
        return Finding(check, .ok, "\(check.prefix { $0 != "-" }).key is whole and fits its .vkey")
      } catch { return Finding(check, error) }
    }
    return [
      look("identity-key") { () throws(FederationError) in _ = try directory.identityKey() },
      look("log-key") { () throws(FederationError) in _ = try directory.logKey() },
      look("witness-key") { () throws(FederationError) in _ = try directory.witnessKey() },
    ]
  }

  private var manifest: [Finding] {
    let approve = "bauta federation approve --directory \(directory.path)"
    do throws(FederationError) {
      guard let manifest = try directory.manifest() else {
        return [
          Finding(
            "manifest", .failed, "there is no manifest yet",
            remedy:
              "Send \(directory.name).request.json to the operator; with the invitation: bauta federation approve "
              + "INVITATION --directory \(directory.path)")
        ]
      }
      let title = "version \(manifest.manifest.version) of \(manifest.manifest.federation)"
      guard manifest.isApproved(by: directory.name) else {
        return [Finding("manifest", .failed, "\(title) is not approved here", remedy: "Read it, then: \(approve)")]
      }
      let approvals = manifest.approvals
      var findings: [Finding] = []
      if !approvals.invalid.isEmpty {
        findings.append(
          Finding(
            "manifest", .failed, "\(title) holds signatures that do not verify: \(names(approvals.invalid))",
            remedy: "Get the manifest from the operator again."))
      } else if !approvals.missing.isEmpty {
        let before = try directory.manifestInForce().map { "version \($0.manifest.version) is in force until then" }
        findings.append(
          Finding(
            "manifest", .warning,
            "\(title) is approved here; still missing: \(names(approvals.missing)); "
              + (before ?? "no run can begin until then"),
            remedy: "Nothing to do here: the operator collects the approvals, and the client learns of them by itself.")
        )
      } else {
        findings.append(
          Finding("manifest", .ok, "\(title), approved by all \(manifest.manifest.members.count) members"))
      }
      if let proposed = try directory.proposedManifest() {
        findings.append(
          Finding(
            "manifest-proposed", .warning, "version \(proposed.manifest.version) awaits your approval",
            remedy: "Read it, then: \(approve)"))
      }
      return findings
    } catch { return [Finding("manifest", error)] }
  }

  private func policy(_ policy: Result<Policy, FederationError>) -> Finding {
    switch policy {
    case .success(let policy): Finding("policy", .ok, "policy.yaml is valid (\(policy.hash.hexadecimal.prefix(16))…)")
    case .failure(let error): Finding("policy", error)
    }
  }

  private func data(_ policy: Policy?) -> [Finding] {
    guard let dataPath else { return [] }
    switch DataFile.countRows(dataPath) {
    case .failure(let problem):
      return [
        Finding(
          "data", .failed, "\(dataPath): \(problem.reason)",
          remedy:
            "Give the CSV file with this organisation's rows; 'bauta data check \(dataPath) --label COLUMN' reads it.")
      ]
    case .success(let rows):
      guard let policy else { return [Finding("data", .ok, "\(dataPath) has \(Self.count(rows))")] }
      let needed = policy.cohort.minimumRows
      guard rows >= needed else {
        return [
          Finding(
            "data", .failed,
            "\(dataPath) has \(Self.count(rows)); policy.yaml counts no column with fewer than \(needed)",
            remedy: "Give a file with more rows, or let the security officer lower cohort.minimumRows.")
        ]
      }
      return [Finding("data", .ok, "\(dataPath) has \(Self.count(rows)); policy.yaml asks for \(needed)")]
    }
  }

  private static func count(_ rows: Int) -> String { "\(rows) row\(rows == 1 ? "" : "s")" }

  private var space: Finding {
    var status = statvfs()
    guard statvfs(directory.path, &status) == 0 else {
      return Finding("disk-space", .skipped, "the file system does not say how much room there is")
    }
    let free = UInt64(status.f_bavail) * UInt64(status.f_frsize)
    let text = "\(free >> 20) MiB free for \(directory.path)"
    let remedy =
      "Free space on the file system that holds \(directory.path): without it nothing can be recorded or sent."
    // A file system that has no inodes left is full all the same; some do not count them.
    if status.f_files > 0, status.f_favail == 0 {
      return Finding("disk-space", .failed, "no file can be made beside \(directory.path)", remedy: remedy)
    }
    if free < Self.missingBytes { return Finding("disk-space", .failed, text, remedy: remedy) }
    if free < Self.scarceBytes { return Finding("disk-space", .warning, text, remedy: remedy) }
    return Finding("disk-space", .ok, text)
  }

  private func names(_ names: [OrganizationName]) -> String { names.map(\.value).joined(separator: ", ") }
}

/// A data file as far as it can be looked at without a plan.
enum DataFile {
  struct Problem: Error { let reason: String }

  /// Lines after the header, blank ones left out; the values are not looked at.
  static func countRows(_ path: String) -> Result<Int, Problem> {
    let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
    guard descriptor >= 0 else { return .failure(Problem(reason: String(cString: strerror(errno)))) }
    defer { close(descriptor) }
    var status = stat()
    guard fstat(descriptor, &status) == 0, status.st_mode & S_IFMT == S_IFREG else {
      return .failure(Problem(reason: "it is not a regular file"))
    }
    var lines = 0
    var isBlank = true
    var buffer = [UInt8](repeating: 0, count: 1 << 16)
    while true {
      let count = read(descriptor, &buffer, buffer.count)
      if count < 0, errno == EINTR { continue }
      guard count >= 0 else { return .failure(Problem(reason: String(cString: strerror(errno)))) }
      if count == 0 { break }
      for byte in buffer[..<count] {
        if byte == 0x0A {
          if !isBlank { lines += 1 }
          isBlank = true
        } else if byte != 0x20, byte != 0x0D {
          isBlank = false
        }
      }
    }
    if !isBlank { lines += 1 }
    guard lines > 1 else {
      return .failure(Problem(reason: lines == 0 ? "it is empty" : "it has a header and no rows"))
    }
    return .success(lines - 1)
  }
}
