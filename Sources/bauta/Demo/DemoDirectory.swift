import Foundation

/// The directory of a demonstration, recognised by a marker so that nothing else is ever replaced.
enum DemoDirectory {
  static let marker = ".bauta-demo"

  /// Makes an empty directory at the path, in the place of an earlier demonstration.
  ///
  /// - Returns: the path used: with `keep`, the first free one of `path`, `path-2`, `path-3`, ….
  /// - Throws: `CommandError` if something else is there.
  static func prepare(_ path: String, keep: Bool) throws -> String {
    let files = FileManager.default
    var place = path
    if keep {
      var number = 2
      while files.fileExists(atPath: place) {
        place = "\(path)-\(number)"
        number += 1
      }
    }
    if files.fileExists(atPath: place) {
      let isEmpty = (try? files.contentsOfDirectory(atPath: place).isEmpty) ?? false
      guard isEmpty || files.fileExists(atPath: "\(place)/\(marker)") else {
        throw CommandError.unsuitable(
          path: place, problem: "it exists and is not a demonstration",
          remedy: "Give another directory with --directory; nothing was changed.")
      }
      try attempt(place) { try files.removeItem(atPath: place) }
    }
    try attempt(place) {
      try files.createDirectory(
        atPath: place, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
      try Data().write(to: URL(fileURLWithPath: "\(place)/\(marker)"))
    }
    return place
  }

  private static func attempt(_ path: String, _ body: () throws -> Void) throws {
    do { try body() } catch {
      throw CommandError.unwritable(path: path, reason: error.localizedDescription)
    }
  }
}
