import Cryptography
import Federation
import SecureAggregation
import Storage

/// What an organisation must remember of its openings across restarts: `state.sqlite`.
///
/// Every write is a transaction that is on disk when it returns.
struct ClientStore: Sendable {
  private let database: Database

  static let migrations = [
    Migration(
      "openings",
      sql: """
        CREATE TABLE opening (
          run TEXT NOT NULL,
          task TEXT NOT NULL,
          round INTEGER NOT NULL,
          ledger BLOB NOT NULL,
          term BLOB,
          PRIMARY KEY (run, task, round)
        ) STRICT;
        """),
    Migration(
      "signed openings",
      sql: """
        CREATE TABLE signed_opening (
          position INTEGER PRIMARY KEY,
          data_set TEXT NOT NULL,
          run TEXT NOT NULL,
          task TEXT NOT NULL,
          round INTEGER NOT NULL,
          survivors TEXT NOT NULL,
          model BLOB NOT NULL,
          time INTEGER NOT NULL,
          charged INTEGER NOT NULL
        ) STRICT;
        """),
    Migration("accepted runs", sql: "CREATE TABLE accepted_run (run TEXT PRIMARY KEY) STRICT;"),
  ]

  /// - Throws: ``ClientError/storage(_:)``.
  init(path: String) throws(ClientError) {
    do throws(StorageError) {
      database = try Database(path: path, migrations: Self.migrations)
    } catch { throw .storage(StorageFailure(error)) }
  }

  /// Notes that a run is accepted, before the acceptance leaves.
  ///
  /// - Returns: whether an earlier process had accepted it already.
  func accept(_ run: RunIdentifier) throws(ClientError) -> Bool {
    do {
      return try database.write { transaction in
        let known = try transaction.row("SELECT run FROM accepted_run WHERE run = ?", [.text(run.text)]) != nil
        if !known { try transaction.execute("INSERT INTO accepted_run (run) VALUES (?)", [.text(run.text)]) }
        return known
      }
    } catch { throw .storage(StorageFailure(error)) }
  }

  /// What is known of earlier attempts at an opening.
  func ledger(of opening: OpeningIdentifier) throws(ClientError) -> AttemptLedger {
    guard case .blob(let bytes)? = try value("ledger", of: opening) else {
      return AttemptLedger(run: opening.run.text, round: UInt64(opening.round), task: opening.task.rawValue)
    }
    do throws(AggregationError) { return try AttemptLedger(decoding: bytes) } catch { throw .aggregation(error) }
  }

  /// The term made for an opening, while it is open.
  func term(of opening: OpeningIdentifier) throws(ClientError) -> [UInt8]? {
    guard case .blob(let bytes)? = try value("term", of: opening) else { return nil }
    return bytes
  }

  /// Before anything of an attempt leaves: the attempt and the integers that it masks.
  func enter(_ opening: OpeningIdentifier, ledger: AttemptLedger, term: EncodedTerm) throws(ClientError) {
    try write(
      """
      INSERT INTO opening (run, task, round, ledger, term) VALUES (?, ?, ?, ?, ?)
      ON CONFLICT (run, task, round) DO UPDATE SET ledger = excluded.ledger, term = excluded.term
      """,
      key(opening) + [.blob(ledger.encoded()), .blob(term.encoded())])
  }

  /// Every survivor set signed over a data set, oldest first; never forgotten.
  func history(dataSet: String) throws(ClientError) -> [SignedOpening] {
    do {
      return try database.read { transaction in
        try transaction.rows("SELECT * FROM signed_opening WHERE data_set = ?1 ORDER BY position", [.text(dataSet)])
          .map(SignedOpening.init)
      }
    } catch { throw .storage(StorageFailure(error)) }
  }

  /// Before a statement leaves: the ledger and the set that is signed, together.
  func save(
    _ ledger: AttemptLedger, of opening: OpeningIdentifier, signing signed: SignedOpening
  ) throws(ClientError) {
    do {
      try database.write { transaction in
        _ = try transaction.execute(
          "UPDATE opening SET ledger = ?4 WHERE run = ?1 AND task = ?2 AND round = ?3",
          key(opening) + [.blob(ledger.encoded())])
        _ = try transaction.execute(
          """
          INSERT INTO signed_opening (data_set, run, task, round, survivors, model, time, charged)
          VALUES (?, ?, ?, ?, ?, ?, ?, ?)
          """, signed.values)
      }
    } catch { throw .storage(StorageFailure(error)) }
  }

  /// Before a reply leaves.
  func save(_ ledger: AttemptLedger, of opening: OpeningIdentifier) throws(ClientError) {
    try write(
      "UPDATE opening SET ledger = ?4 WHERE run = ?1 AND task = ?2 AND round = ?3",
      key(opening) + [.blob(ledger.encoded())])
  }

  /// The term of an opening that is summed is erased; that it was opened is not.
  func close(_ opening: OpeningIdentifier) throws(ClientError) {
    try write(
      "UPDATE opening SET term = NULL WHERE run = ?1 AND task = ?2 AND round = ?3", key(opening))
  }

  /// The terms of a run that is over are erased, also of sums that were never completed.
  func close(_ run: RunIdentifier) throws(ClientError) {
    try write("UPDATE opening SET term = NULL WHERE run = ? AND term IS NOT NULL", [.text(run.text)])
  }

  // MARK: -

  private func key(_ opening: OpeningIdentifier) -> [StoredValue] {
    [.text(opening.run.text), .text(opening.task.rawValue), .integer(Int64(opening.round))]
  }

  private func value(_ column: String, of opening: OpeningIdentifier) throws(ClientError) -> StoredValue? {
    do {
      return try database.read { transaction in
        try transaction.row(
          "SELECT \(column) FROM opening WHERE run = ?1 AND task = ?2 AND round = ?3", key(opening))?.value(column)
      }
    } catch { throw .storage(StorageFailure(error)) }
  }

  private func write(_ sql: String, _ arguments: [StoredValue]) throws(ClientError) {
    do {
      try database.write { transaction in _ = try transaction.execute(sql, arguments) }
    } catch { throw .storage(StorageFailure(error)) }
  }
}

/// What is wrong with the organisation's own files.
public struct StorageFailure: BlamedError, Equatable {
  public let code: String
  public var blame: Blame { .local }
  public let message: String
  public let remedy: String

  init(path: String, reason: String) {
    code = "storage"
    message = "cannot write \(path): \(reason)"
    remedy = "free space or correct the permissions, then start the client again"
  }

  init(_ error: any Error) {
    if let error = error as? StorageError {
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

extension SignedOpening {
  fileprivate var values: [StoredValue] {
    [
      .text(dataSet), .text(run), .text(task), .integer(Int64(round)),
      .text(survivors.sorted().map(\.value).joined(separator: " ")), .blob(model.bytes), .integer(time),
      .integer(isCharged ? 1 : 0),
    ]
  }

  fileprivate init(_ row: StoredRow) throws {
    let names = try row.text("survivors").split(separator: " ").map { try OrganizationName(String($0)) }
    self.init(
      dataSet: try row.text("data_set"), run: try row.text("run"), task: try row.text("task"),
      round: UInt64(clamping: try row.integer("round")), survivors: Set(names),
      model: try ModelHash(bytes: try row.blob("model")), time: try row.integer("time"),
      isCharged: try row.integer("charged") != 0)
  }
}
