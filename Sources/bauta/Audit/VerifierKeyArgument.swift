import Cryptography
import TransparencyLog

/// A verifier key as a user gives it: the line itself, or the file that holds it.
enum VerifierKeyArgument {
  static let explanation = "the line NAME+ID+KEY, or a .vkey file"

  /// - Throws: `CommandError` naming the file, `TransparencyLogError`.
  static func key<Role: NoteKeyRole>(_ text: String, as role: Role.Type = Role.self) throws -> NoteVerifierKey<Role> {
    // A line has two plus signs before its key, and no file of ours has.
    if text.split(separator: "+", maxSplits: 2, omittingEmptySubsequences: false).count == 3, !LocalFile.exists(text) {
      return try NoteVerifierKey<Role>(text)
    }
    let bytes = try LocalFile.read(text, maximum: 512)
    do { return try NoteVerifierKey<Role>(String(decoding: bytes, as: UTF8.self)) } catch {
      throw CommandError.about(text, error)
    }
  }
}

/// The directory of a log itself, from that of its keeper or its own.
enum LogDirectory {
  /// - Throws: `CommandError` if there is no such directory, or no checkpoint in it.
  static func resolve(_ path: String) throws -> TileDirectory {
    try LocalFile.requireLogDirectory(path)
    var path = path
    while path.utf8.count > 1, path.hasSuffix("/") { path.removeLast() }
    for candidate in [path, "\(path)/log"] where DurableFile.exists("\(candidate)/checkpoint") {
      return TileDirectory(path: candidate)
    }
    throw CommandError.unsuitable(
      path: path, problem: "there is no checkpoint of a log in it",
      remedy: "Give the directory of a log, or of the organisation that keeps it; a checkpoint is signed when the log "
        + "is closed and every 256 entries.")
  }
}
