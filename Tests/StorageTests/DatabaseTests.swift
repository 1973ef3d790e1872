import Foundation
import Testing

@testable import Storage

@Suite("State database")
struct DatabaseTests {
  private static let migrations = [
    Migration("create", sql: "CREATE TABLE replies (key TEXT PRIMARY KEY, bytes BLOB NOT NULL);"),
    Migration(
      "children",
      sql: """
        CREATE TABLE parents (id INTEGER PRIMARY KEY);
        CREATE TABLE children (parent INTEGER NOT NULL REFERENCES parents (id));
        """),
  ]

  private func withPath(_ body: (String) throws -> Void) throws {
    let directory = FileManager.default.temporaryDirectory.appendingPathComponent("bauta-\(UUID().uuidString)").path
    try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(atPath: directory) }
    try body("\(directory)/state.sqlite")
  }

  private func open(_ path: String, _ migrations: [Migration] = migrations) throws(StorageError) -> Database {
    try Database(path: path, migrations: migrations)
  }

  private func storageError<Result>(_ body: () throws -> Result) -> StorageError? {
    do {
      _ = try body()
      return nil
    } catch { return error as? StorageError }
  }

  @Test("Every commit is synchronous, deleted rows are overwritten, keys hold, and the file is the owner's")
  func settings() throws {
    try withPath { path in
      let database = try open(path)
      #expect(
        try database.settings() == [
          "journal_mode": "wal", "synchronous": "2", "secure_delete": "1", "foreign_keys": "1",
          "locking_mode": "exclusive",
        ])
      try database.write { try $0.execute("INSERT INTO replies VALUES ('a', x'01')") }
      #expect(try database.settings()["synchronous"] == "2")
      for name in try FileManager.default.contentsOfDirectory(atPath: (path as NSString).deletingLastPathComponent) {
        let file = (path as NSString).deletingLastPathComponent + "/" + name
        let mode = try FileManager.default.attributesOfItem(atPath: file)[.posixPermissions] as? Int
        #expect(mode == 0o600, "\(name)")
      }
    }
  }

  @Test("Values of every type come back as they were, and again after reopening")
  func values() throws {
    try withPath { path in
      let database = try open(
        path,
        Self.migrations + [Migration("all", sql: "CREATE TABLE everything (i INTEGER, r REAL, t TEXT, b BLOB, n);")])
      let bytes = [UInt8](0...255)
      try database.write { transaction in
        let changed = try transaction.execute(
          "INSERT INTO everything VALUES (?, ?, ?, ?, ?)", [.integer(.min), .real(0.1), "é x", .blob(bytes), nil])
        #expect(changed == 1)
        #expect(transaction.lastInsertedRow == 1)
      }
      try database.close()
      let again = try open(
        path,
        Self.migrations + [Migration("all", sql: "CREATE TABLE everything (i INTEGER, r REAL, t TEXT, b BLOB, n);")])
      let row = try #require(try again.read { try $0.row("SELECT * FROM everything") })
      #expect(try row.integer("i") == .min)
      #expect(try row.real("r") == 0.1)
      #expect(try row.text("t") == "é x")
      #expect(try row.blob("b") == bytes)
      #expect(try row.isNull("n"))
      let cut = storageError {
        try again.write { try $0.execute("INSERT INTO replies VALUES (?, ?)", ["a\u{0}b", nil]) }
      }
      #expect(cut == .statement(reason: "a text with a NUL must be stored as bytes"))
      #expect(storageError { _ = try row.text("i") } == .statement(reason: "column i does not hold text"))
      #expect(storageError { _ = try row.text("x") } == .statement(reason: "there is no column x"))
      #expect(try again.read { try $0.row("SELECT 1 WHERE 0") } == nil)
    }
  }

  @Test("A transaction is whole or nothing")
  func rollback() throws {
    struct Halt: Error {}
    try withPath { path in
      let database = try open(path)
      #expect(throws: Halt.self) {
        try database.write { transaction in
          try transaction.execute("INSERT INTO replies VALUES ('a', x'01')")
          throw Halt()
        }
      }
      #expect(try database.read { try $0.rows("SELECT * FROM replies") }.isEmpty)
      try database.write { try $0.execute("INSERT INTO replies VALUES ('a', x'01')") }
      let twice = storageError {
        try database.write { transaction in
          try transaction.execute("INSERT INTO replies VALUES ('b', x'01')")
          try transaction.execute("INSERT INTO replies VALUES ('a', x'02')")
        }
      }
      #expect(twice?.code == "state-constraint")
      #expect(try database.read { try $0.rows("SELECT key FROM replies") }.count == 1)
    }
  }

  @Test("Foreign keys hold; reading cannot write; a wrong statement is the caller's")
  func rules() throws {
    try withPath { path in
      let database = try open(path)
      #expect(
        storageError { try database.write { try $0.execute("INSERT INTO children VALUES (7)") } }?.code
          == "state-constraint")
      #expect(
        storageError { _ = try database.read { try $0.rows("INSERT INTO parents VALUES (1) RETURNING id") } } != nil)
      #expect(storageError { _ = try database.read { try $0.rows("SELECT * FROM nowhere") } }?.blame == "caller")
      let secret = "the-secret-value"
      let error = storageError {
        try database.write {
          try $0.execute("INSERT INTO replies VALUES (?, NULL)", [.text(secret)])
        }
      }
      #expect(error?.message.contains(secret) == false)
    }
  }

  @Test("A second opener is told that the state is in use, and may have it afterwards")
  func concurrentOpen() throws {
    try withPath { path in
      let first = try open(path)
      #expect(storageError { _ = try open(path) } == .locked(path: path))
      // The attempt has not loosened the first one's hold.
      #expect(storageError { _ = try open(path) } == .locked(path: path))
      try first.write { try $0.execute("INSERT INTO replies VALUES ('a', x'01')") }
      try first.close()
      let second = try open(path)
      #expect(try second.read { try $0.rows("SELECT * FROM replies") }.count == 1)
    }
  }

  @Test("Damaged files are refused")
  func corrupt() throws {
    try withPath { path in
      func put(_ data: Data) throws {
        try? FileManager.default.removeItem(atPath: path)
        try data.write(to: URL(fileURLWithPath: path))
        chmod(path, 0o600)
      }
      try put(Data("this is certainly not a database, it is a text of some length".utf8) + Data(count: 4096))
      #expect(storageError { _ = try open(path) } == .corrupt(path: path))
      try FileManager.default.removeItem(atPath: path)
      let database = try open(path)
      try database.write { transaction in
        for index in 0..<500 {
          try transaction.execute(
            "INSERT INTO replies VALUES (?, ?)", [.text("\(index)"), .blob([UInt8](repeating: 7, count: 200))])
        }
      }
      try database.close()
      var data = try Data(contentsOf: URL(fileURLWithPath: path))
      #expect(data.count > 3 * 4096)
      data.replaceSubrange(4096..<(data.count - 4096), with: Data(repeating: 0xA5, count: data.count - 8192))
      try put(data)
      #expect(storageError { _ = try open(path) } == .corrupt(path: path))
    }
  }

  @Test("A state of a later version is not touched")
  func newer() throws {
    try withPath { path in
      try open(path, Self.migrations + [Migration("future", sql: "CREATE TABLE future (x);")]).close()
      #expect(storageError { _ = try open(path) } == .newer(path: path))
    }
  }

  @Test("Files that are not fit are refused before SQLite sees them")
  func unfit() throws {
    try withPath { path in
      try open(path).close()
      chmod(path, 0o640)
      let exposed = storageError { _ = try open(path) }
      #expect(exposed == .exposed(path: path, mode: 0o640))
      #expect(exposed?.remedy == "Run: chmod 600 \(path)")
      let link = path + ".link"
      try FileManager.default.createSymbolicLink(atPath: link, withDestinationPath: path)
      #expect(storageError { _ = try open(link) }?.code == "state-cannot-open")
      #expect(storageError { _ = try open("/nonexistent/directory/state.sqlite") }?.code == "state-cannot-open")
    }
  }
}
