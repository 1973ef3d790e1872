public import Federation
import Foundation

/// An organisation's privacy ledger as it is on disk, for reading beside a client that runs.
public enum StoredLedger {
  /// - Throws: ``ClientError/storage(_:)``, ``ClientError/federation(_:)`` for an entry that cannot be accounted for.
  public static func read(_ directory: OrganizationDirectory) throws(ClientError) -> PrivacyLedger {
    guard FileManager.default.fileExists(atPath: directory.statePath) else {
      do throws(FederationError) { return try PrivacyLedger() } catch { throw .federation(error) }
    }
    return try ClientStore(path: directory.statePath).ledger()
  }

  /// How the ledger names data: by where they are, without links.
  public static func dataSet(at path: String) -> String {
    URL(fileURLWithPath: path).standardizedFileURL.resolvingSymlinksInPath().path
  }
}
