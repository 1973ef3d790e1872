import Federation
import Foundation
import MutualTLS

extension ServerCore {
  /// Looks for changes until its task is cancelled: reads the directory again, and says daily which certificates end soon.
  func watchFiles(
    every interval: Duration, _ report: @Sendable (RunEvent) -> Void, reload: () async throws -> Void
  ) async {
    var known = membership.stamps
    var nextExpiryCheck = ContinuousClock.now
    while !Task.isCancelled {
      if .now >= nextExpiryCheck {
        nextExpiryCheck = .now + .seconds(86_400)
        warnOfExpiry(report)
      }
      try? await Task.sleep(for: interval)
      let now = FileStamps(of: directory)
      guard now != known, !Task.isCancelled else { continue }
      do {
        try await reload()
        // What was stored meanwhile is read once more: nothing is passed over.
        known = now
        nextExpiryCheck = .now
      } catch {
        // Tried again every time, until it can be read.
        known = nil
      }
    }
  }

  /// Says which certificates end soon, a month ahead: the server's own, its authority's, and what it has issued.
  private func warnOfExpiry(_ report: (RunEvent) -> Void) {
    var files = [
      ("the server's certificate", directory.tlsCertificatePath),
      ("the authority's certificate", directory.certificateAuthorityPath),
    ]
    for name in membership.current.organizations.sorted() {
      files.append(("the certificate of \(name)", "\(directory.authorityPath)/\(name).crt"))
    }
    for (owner, path) in files {
      guard let certificate = try? Certificate(contentsOfFile: path), certificate.expiry(at: Date()).needsAttention
      else { continue }
      report(.certificateDates(owner: owner, notBefore: certificate.notBefore, notAfter: certificate.notAfter))
    }
  }
}

/// When the files of a server that count while it runs were changed last.
struct FileStamps: Equatable {
  private let stamps: [String: [Int]]

  init(of directory: ServerDirectory) {
    var paths = [
      directory.manifestPath, directory.inForceManifestPath, directory.tlsCertificatePath, directory.tlsKeyPath,
      directory.tlsKeyPath + ".uri", directory.certificateAuthorityPath,
    ]
    for folder in [directory.pinsPath, directory.revokedPath] {
      let names = (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []
      paths += names.map { "\(folder)/\($0)" }
    }
    var stamps: [String: [Int]] = [:]
    for path in paths {
      var status = stat()
      guard stat(path, &status) == 0 else { continue }
      stamps[path] = [Int(status.st_ino), Int(status.st_size), status.st_mtim.tv_sec, status.st_mtim.tv_nsec]
    }
    self.stamps = stamps
  }
}
