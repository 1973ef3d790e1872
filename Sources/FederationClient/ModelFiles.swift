import Federation
import Foundation

/// Models of past runs in the organisation's directory: `runs/<run>/model.safetensors`.
struct ModelFiles {
  let directory: String

  /// Writes the file whole or not at all.
  ///
  /// - Returns: its path.
  func save(_ model: [UInt8], run: RunIdentifier) throws(ClientError) -> String {
    let folder = directory + "/" + run.text
    let path = folder + "/model.safetensors"
    do {
      try FileManager.default.createDirectory(
        atPath: folder, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
      try Data(model).write(to: URL(fileURLWithPath: path), options: .atomic)
    } catch { throw .storage(StorageFailure(path: path, reason: error.localizedDescription)) }
    return path
  }
}
