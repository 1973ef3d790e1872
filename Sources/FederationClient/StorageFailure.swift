import Cryptography
import Federation
import Storage

/// What is wrong with the organisation's own files.
public struct StorageFailure: BlamedError, Equatable {
  public let code: String
  public var blame: Blame { .local }
  public let message: String
  public let remedy: String

  /// Whether another program has the file.
  var isLocked: Bool { code == StorageError.locked(path: "").code }

  init(path: String, reason: String) {
    code = "storage"
    message = "cannot write \(path): \(reason)"
    remedy = "free space or correct the permissions, then start the client again"
  }

  /// - Parameter maximum: bytes that the path may have.
  init(longPath path: String, maximum: Int) {
    code = "storage-path-too-long"
    message = "the path of \(path) has \(path.utf8.count) bytes; the database takes at most \(maximum)"
    remedy = "move the organisation's directory to a place with a shorter path"
  }

  init(_ error: any Error) {
    if let error = error as? StorageError {
      code = error.code
      message = error.message
      remedy = error.remedy
    } else if let error = error as? FederationError {
      code = error.code
      message = error.message
      remedy = error.remedy
    } else {
      code = "storage"
      message = "the organisation's state could not be used (\(type(of: error)))"
      remedy = "check the disk, then start the client again"
    }
  }
}
