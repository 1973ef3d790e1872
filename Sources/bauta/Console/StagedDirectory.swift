import Foundation

/// A new directory that appears complete or not at all.
enum StagedDirectory {
  /// Fills a directory beside `path` and moves it into place.
  ///
  /// - Parameter fill: is given the path to write to; after an error everything it wrote is removed.
  /// - Throws: ``CommandError/exists(path:)``, `unwritable`, and what `fill` throws.
  static func create<Result>(_ path: String, fill: (String) throws -> Result) throws -> Result {
    let path = path.count > 1 && path.hasSuffix("/") ? String(path.dropLast()) : path
    guard !LocalFile.exists(path) else { throw CommandError.exists(path: path) }
    let staging = "\(path).\(UInt32.random(in: .min ... .max)).new"
    guard mkdir(staging, 0o700) == 0 else {
      throw CommandError.unwritable(path: path, reason: String(cString: strerror(errno)))
    }
    do {
      let result = try fill(staging)
      // Fails if somebody else made one with content meanwhile.
      guard rename(staging, path) == 0 else {
        throw errno == ENOTEMPTY || errno == EEXIST || errno == ENOTDIR
          ? CommandError.exists(path: path)
          : CommandError.unwritable(path: path, reason: String(cString: strerror(errno)))
      }
      return result
    } catch {
      try? FileManager.default.removeItem(atPath: staging)
      throw error
    }
  }
}
