import GRDB

/// Reading in one transaction: every statement sees the same state.
public struct ReadTransaction {
  let database: GRDB.Database
  let path: String

  /// All rows of a query. Arguments stand for the `?` in the statement, in order.
  ///
  /// - Throws: ``StorageError``.
  public func rows(_ sql: String, _ arguments: [StoredValue] = []) throws(StorageError) -> [StoredRow] {
    do {
      return try Row.fetchAll(database, sql: sql, arguments: StatementArguments(checking: arguments))
        .map(StoredRow.init)
    } catch { throw StorageError(error, path: path) }
  }

  /// The first row, or nil if there is none.
  ///
  /// - Throws: ``StorageError``.
  public func row(_ sql: String, _ arguments: [StoredValue] = []) throws(StorageError) -> StoredRow? {
    do {
      return try Row.fetchOne(database, sql: sql, arguments: StatementArguments(checking: arguments))
        .map(StoredRow.init)
    } catch { throw StorageError(error, path: path) }
  }
}

/// Reading and writing in one transaction: all of it is on the disk when it ends well, and none of it otherwise.
public struct WriteTransaction {
  let database: GRDB.Database
  let path: String

  private var reading: ReadTransaction { ReadTransaction(database: database, path: path) }

  /// As ``ReadTransaction/rows(_:_:)``.
  public func rows(_ sql: String, _ arguments: [StoredValue] = []) throws(StorageError) -> [StoredRow] {
    try reading.rows(sql, arguments)
  }

  /// As ``ReadTransaction/row(_:_:)``.
  public func row(_ sql: String, _ arguments: [StoredValue] = []) throws(StorageError) -> StoredRow? {
    try reading.row(sql, arguments)
  }

  /// Runs one statement; returns how many rows it has inserted, changed or deleted.
  ///
  /// - Throws: ``StorageError``; the transaction is rolled back unless the body catches it.
  @discardableResult
  public func execute(_ sql: String, _ arguments: [StoredValue] = []) throws(StorageError) -> Int {
    do {
      try database.execute(sql: sql, arguments: StatementArguments(checking: arguments))
      return database.changesCount
    } catch { throw StorageError(error, path: path) }
  }

  /// The row identifier of the last insertion.
  public var lastInsertedRow: Int64 { database.lastInsertedRowID }
}

extension StorageError {
  /// A failure of SQLite in terms of what a user can do about it. Texts of errors never hold argument values.
  init(_ error: any Error, path: String) {
    if let error = error as? StorageError {
      self = error
      return
    }
    guard let error = error as? DatabaseError else {
      self = .statement(reason: "an unexpected \(type(of: error))")
      return
    }
    let reason = error.message ?? "SQLite code \(error.extendedResultCode.rawValue)"
    switch error.resultCode {
    case .SQLITE_BUSY, .SQLITE_LOCKED: self = .locked(path: path)
    case .SQLITE_CORRUPT, .SQLITE_NOTADB: self = .corrupt(path: path)
    case .SQLITE_CANTOPEN, .SQLITE_PERM, .SQLITE_READONLY, .SQLITE_AUTH:
      self = .cannotOpen(path: path, reason: reason)
    case .SQLITE_FULL, .SQLITE_IOERR: self = .disk(path: path, reason: reason)
    case .SQLITE_CONSTRAINT: self = .constraint(reason: reason)
    default: self = .statement(reason: reason)
    }
  }
}

extension StatementArguments {
  /// SQLite ends a text at its first NUL when it is read back, so one with a NUL inside would silently be shortened.
  fileprivate init(checking values: [StoredValue]) throws(StorageError) {
    for case .text(let text) in values where text.utf8.contains(0) {
      throw .statement(reason: "a text with a NUL must be stored as bytes")
    }
    self.init(values.map(\.database))
  }
}
