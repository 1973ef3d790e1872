import Foundation
import GRDB

/// One step in the life of a database's schema. Steps are applied in order, once each, and never change afterwards.
public struct Migration: Sendable, Hashable {
  public let identifier: String
  /// One or more SQL statements, each ended by a semicolon.
  public let sql: String

  public init(_ identifier: String, sql: String) {
    self.identifier = identifier
    self.sql = sql
  }
}

/// The state of an organisation or of the server in one SQLite file, mode 0600.
///
/// What a transaction has committed survives a power failure: write-ahead log with `synchronous = FULL`, set after
/// opening because GRDB's set-up of the write-ahead log lowers it to NORMAL, and read back. Deleted rows are overwritten
/// (`secure_delete`). The file belongs to one process at a time: two that sign from the same state could each make a
/// statement that the other must not contradict.
public final class Database: Sendable {
  public let path: String
  private let queue: DatabaseQueue

  /// Opens the database, makes it if there is none, and brings its schema up to date.
  ///
  /// - Throws: ``StorageError`` if the file is exposed, in use, damaged, or of a later version.
  public init(path: String, migrations: [Migration]) throws(StorageError) {
    self.path = path
    try Self.prepareFile(path)
    do {
      var configuration = Configuration()
      configuration.foreignKeysEnabled = true
      configuration.journalMode = .wal
      configuration.label = "state"
      // Values of the state must not get into errors.
      configuration.publicStatementArguments = false
      configuration.prepareDatabase { try $0.execute(sql: "PRAGMA locking_mode = EXCLUSIVE") }
      queue = try DatabaseQueue(path: path, configuration: configuration)
      try queue.inDatabase { database in
        try database.execute(sql: "PRAGMA synchronous = FULL")
        try database.execute(sql: "PRAGMA secure_delete = ON")
        try Self.requireSettings(database)
        guard try String.fetchOne(database, sql: "PRAGMA quick_check(1)") == "ok" else {
          throw StorageError.corrupt(path: path)
        }
      }
      try Self.migrate(queue, migrations, path: path)
    } catch { throw StorageError(error, path: path) }
  }

  /// Reads in one transaction. What the body throws is thrown on.
  ///
  /// - Throws: ``StorageError`` for a fault of the database.
  public func read<Result>(_ body: (ReadTransaction) throws -> Result) throws -> Result {
    do {
      return try queue.read { try body(ReadTransaction(database: $0, path: path)) }
    } catch let error as DatabaseError {
      throw StorageError(error, path: path)
    }
  }

  /// Reads and writes in one transaction, which is on the disk when this returns. What the body throws is thrown on, and
  /// then nothing has changed.
  ///
  /// Must not be called from within another transaction of the same database.
  ///
  /// - Throws: ``StorageError`` for a fault of the database.
  @discardableResult
  public func write<Result>(_ body: (WriteTransaction) throws -> Result) throws -> Result {
    do {
      return try queue.write { try body(WriteTransaction(database: $0, path: path)) }
    } catch let error as DatabaseError {
      throw StorageError(error, path: path)
    }
  }

  /// Ends the use of the file, so that another process can open it; later calls fail.
  ///
  /// - Throws: ``StorageError``.
  public func close() throws(StorageError) {
    do { try queue.close() } catch { throw StorageError(error, path: path) }
  }

  /// The settings that durability and erasure rest on, as SQLite reports them.
  ///
  /// - Throws: ``StorageError``.
  public func settings() throws(StorageError) -> [String: String] {
    do { return try queue.inDatabase(Self.settings) } catch { throw StorageError(error, path: path) }
  }

  static let requiredSettings = [
    "journal_mode": "wal", "synchronous": "2", "secure_delete": "1", "foreign_keys": "1",
    "locking_mode": "exclusive",
  ]

  private static func settings(_ database: GRDB.Database) throws -> [String: String] {
    var settings: [String: String] = [:]
    for name in requiredSettings.keys {
      settings[name] = try Row.fetchOne(database, sql: "PRAGMA \(name)").flatMap { row in
        switch StoredValue(row[0] as DatabaseValue) {
        case .integer(let value): String(value)
        case .text(let value): value
        case .null, .real, .blob: nil
        }
      }
    }
    return settings
  }

  private static func requireSettings(_ database: GRDB.Database) throws {
    let found = try settings(database)
    for (name, expected) in requiredSettings.sorted(by: { $0.key < $1.key }) where found[name] != expected {
      throw StorageError.setting(name: name, expected: expected, found: found[name] ?? "nothing")
    }
  }

  private static func migrate(_ queue: DatabaseQueue, _ migrations: [Migration], path: String) throws {
    var migrator = DatabaseMigrator()
    for migration in migrations {
      migrator.registerMigration(migration.identifier) { try $0.execute(sql: migration.sql) }
    }
    guard try !queue.read(migrator.hasBeenSuperseded) else { throw StorageError.newer(path: path) }
    try migrator.migrate(queue)
  }

  /// Makes the file for its owner alone before SQLite opens it, or checks that it is one.
  ///
  /// An existing file is not opened here: closing a descriptor would drop the locks that another connection of this
  /// process holds on the same file.
  private static func prepareFile(_ path: String) throws(StorageError) {
    var status = stat()
    if lstat(path, &status) != 0 {
      guard errno == ENOENT else { throw unavailable(path) }
      let descriptor = open(path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0o600)
      guard descriptor >= 0 else { throw unavailable(path) }
      Foundation.close(descriptor)
      return
    }
    guard status.st_mode & S_IFMT == S_IFREG else {
      throw .cannotOpen(path: path, reason: "it is not a regular file")
    }
    guard status.st_mode & 0o077 == 0 else {
      throw .exposed(path: path, mode: UInt16(truncatingIfNeeded: status.st_mode & 0o7777))
    }
  }

  private static func unavailable(_ path: String) -> StorageError {
    .cannotOpen(path: path, reason: String(cString: strerror(errno)))
  }
}
