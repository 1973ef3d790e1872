import Foundation

/// What can be wrong with a file or a directory of an organisation or the server.
public enum FileFault: Hashable, Sendable {
  public enum Operation: String, Sendable {
    case open, inspect, read, write, synchronize, rename, createDirectory, remove, list
  }

  public enum KeyDefect: Hashable, Sendable {
    /// Not `bauta/key/1 ROLE NAME SEED`.
    case shape
    case role(expected: String)
    case name(expected: String)
    case seed
    /// The verifier key beside it is another key's.
    case verifierMismatch
  }

  case missing(path: String)
  case exists(path: String)
  case notRegular(path: String)
  case notDirectory(path: String)
  /// A directory without the files that every organisation's and server's has.
  case notParticipant(path: String)
  case tooLarge(path: String, limit: Int)
  case notUTF8(path: String)
  /// Others than the owner can read or change it.
  case exposed(path: String, mode: UInt16)
  case key(path: String, KeyDefect)
  /// Not the file of an auditor's key.
  case auditorKey(path: String)
  /// Not the file of the seed that this run's noise is made from.
  case treeSeed(path: String)
  /// A file that belongs to another organisation.
  case foreign(path: String, expected: String)
  /// A run's report that is none.
  case malformedReport(path: String)
  /// A file that is not a signed note.
  case malformedNote(path: String, reason: String)
  case operation(Operation, path: String, code: Int32)

  var code: String {
    switch self {
    case .missing: "file-missing"
    case .exists: "file-exists"
    case .notRegular: "file-not-regular"
    case .notDirectory: "file-not-directory"
    case .notParticipant: "directory-not-of-member"
    case .tooLarge: "file-too-large"
    case .notUTF8: "file-not-utf8"
    case .exposed: "file-readable-by-others"
    case .key, .auditorKey, .treeSeed: "key-file-malformed"
    case .foreign: "file-of-another-organisation"
    case .malformedReport: "report-malformed"
    case .malformedNote: "note-file-malformed"
    case .operation: "file-operation"
    }
  }

  var message: String {
    switch self {
    case .missing(let path): "\(path) is missing"
    case .exists(let path): "\(path) exists already"
    case .notRegular(let path): "\(path) is not a regular file"
    case .notDirectory(let path): "\(path) is not a directory"
    case .notParticipant(let path): "\(path) is neither an organisation's nor a server's directory"
    case .tooLarge(let path, let limit): "\(path) is longer than \(limit) bytes"
    case .notUTF8(let path): "\(path) is not UTF-8 text"
    case .exposed(let path, let mode):
      "\(path) can be read or changed by others (mode \(FileFault.octal(mode)))"
    case .key(let path, let defect): "\(path) is not a key file: \(defect.message)"
    case .auditorKey(let path): "\(path) is not the file of an auditor's key: one line 'bauta/auditor-key/1 SECRET'"
    case .treeSeed(let path): "\(path) is not the file of the seed of this run's noise"
    case .foreign(let path, let expected): "\(path) does not belong to \(expected)"
    case .malformedReport(let path): "\(path) is not a run's report"
    case .malformedNote(let path, let reason): "\(path): \(reason)"
    case .operation(let operation, let path, let code):
      "cannot \(operation.phrase) \(path): \(String(cString: strerror(code)))"
    }
  }

  var remedy: String {
    switch self {
    case .missing: "Check the path. A file that was there and is lost has to come back from a copy."
    case .notParticipant: "Check the path; a new one is made by: bauta organization init, bauta federation init"
    case .exists: "Choose another directory, or remove this one if it is no longer needed."
    case .notRegular, .notDirectory: "Check that this is the path that you meant."
    case .tooLarge, .notUTF8, .malformedReport, .malformedNote, .auditorKey, .treeSeed:
      "Check that this is the right file."
    case .exposed(let path, _): "Run: chmod 600 \(path) (700 for a directory)"
    case .key(_, .role), .key(_, .name), .key(_, .verifierMismatch), .foreign:
      "Put back the file that belongs here; keys of different roles or owners are never interchangeable."
    case .key: "Restore the key file from a copy; a key that is lost needs a new version of the manifest."
    case .operation: "Check the path, its permissions and the free space."
    }
  }

  private static func octal(_ mode: UInt16) -> String {
    let digits = String(mode, radix: 8)
    return String(repeating: "0", count: max(0, 4 - digits.count)) + digits
  }
}

extension FileFault.KeyDefect {
  var message: String {
    switch self {
    case .shape: "it is not one line 'bauta/key/1 ROLE NAME SEED'"
    case .role(let expected): "it is not a key of the role '\(expected)'"
    case .name(let expected): "it is not a key of '\(expected)'"
    case .seed: "its seed is not 32 bytes in base64"
    case .verifierMismatch: "the .vkey file beside it belongs to another key"
    }
  }
}

extension FileFault.Operation {
  var phrase: String {
    switch self {
    case .open: "open"
    case .inspect: "inspect"
    case .read: "read"
    case .write: "write"
    case .synchronize: "bring to disk"
    case .rename: "rename to"
    case .createDirectory: "create the directory"
    case .remove: "remove"
    case .list: "list"
    }
  }
}
