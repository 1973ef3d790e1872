import AuditLog
import Cryptography
import Federation
import Foundation
import MutualTLS
import ServiceControl

/// Looks for what keeps an organisation's client from working, before a run finds it.
///
/// Sends nothing that is not recorded: the one thing that the server is sent is a handshake, and that is in the log. Before
/// it, TCP connections to its addresses are tried, which are closed without a byte and not recorded. Changes nothing but
/// that log; where a client runs, it holds the log, and is asked instead.
public struct ClientExamination: Sendable {
  let path: String
  let dataPath: String?
  let proxy: ProxySelection?
  let passphrase: Passphrase?
  let now: @Sendable () -> Date

  /// - Parameters:
  ///   - path: the organisation's directory.
  ///   - dataPath: its CSV file; nil looks at no data.
  public init(directory path: String, data dataPath: String?, proxy: ProxySelection?, passphrase: Passphrase? = nil) {
    self.init(directory: path, data: dataPath, proxy: proxy, passphrase: passphrase) { Date() }
  }

  init(
    directory path: String, data dataPath: String?, proxy: ProxySelection?, passphrase: Passphrase? = nil,
    now: @escaping @Sendable () -> Date
  ) {
    self.passphrase = passphrase
    self.path = path
    self.dataPath = dataPath
    self.proxy = proxy
    self.now = now
  }

  /// All checks, one after another; each is reported when it is done.
  public func examine(_ report: (Finding) -> Void) async {
    let directory: OrganizationDirectory
    do throws(FederationError) {
      directory = try OrganizationDirectory(opening: path)
    } catch {
      // Everything else is in it.
      guard case .file(.exposed(path, _)) = error else { return report(Finding("directory", error)) }
      return report(Finding("directory", .failed, error.message, remedy: "Run: chmod 700 \(path)"))
    }
    for finding in DirectoryChecks(directory: directory, dataPath: dataPath, now: now()).findings { report(finding) }
    let credentials = CredentialChecks(directory: directory, now: now(), passphrase: passphrase)
    for finding in credentials.findings { report(finding) }
    var records = RecordChecks(directory: directory, now: now())
    for finding in records.examine() { report(finding) }
    let network = NetworkChecks(
      directory: directory, proxy: proxy, log: records.log, isRunning: records.isRunning, passphrase: passphrase)
    for finding in await network.reachability() { report(finding) }
    report(await network.handshake(isPossible: !credentials.hasFailed))
    report(NetworkChecks.protocolVersions)
    if let closing = records.close() { report(closing) }
  }
}
