import DifferentialPrivacy
import Federation
import Storage

/// The privacy ledger: what was charged, and never taken back. The table refuses changes and removals.
extension ClientStore {
  static let ledgerMigration = Migration(
    "the privacy ledger",
    sql: """
      CREATE TABLE privacy_charge (
        position INTEGER PRIMARY KEY,
        data_set TEXT NOT NULL,
        run TEXT NOT NULL,
        task TEXT NOT NULL,
        round INTEGER NOT NULL,
        event TEXT NOT NULL,
        time INTEGER NOT NULL,
        UNIQUE (run, task, round)
      ) STRICT;
      CREATE TRIGGER privacy_charge_is_not_changed BEFORE UPDATE ON privacy_charge
        BEGIN SELECT RAISE(ABORT, 'a charge is never changed'); END;
      CREATE TRIGGER privacy_charge_is_not_replaced BEFORE INSERT ON privacy_charge
        WHEN EXISTS (
          SELECT 1 FROM privacy_charge
          WHERE position = NEW.position OR (run = NEW.run AND task = NEW.task AND round = NEW.round))
        BEGIN SELECT RAISE(ABORT, 'a charge is never replaced'); END;
      CREATE TRIGGER privacy_charge_is_not_removed BEFORE DELETE ON privacy_charge
        BEGIN SELECT RAISE(ABORT, 'a charge is never taken back'); END;
      """)

  /// Everything that was charged, oldest first.
  ///
  /// - Throws: ``ClientError/storage(_:)``; ``ClientError/federation(_:)`` for an entry that cannot be accounted for, so that
  ///   nothing is charged on top of what is not known.
  func ledger() throws(ClientError) -> PrivacyLedger {
    let entries = try read { transaction in
      try transaction.rows("SELECT * FROM privacy_charge ORDER BY position").map(LedgerEntry.init)
    }
    do throws(FederationError) { return try PrivacyLedger(entries: entries) } catch { throw .federation(error) }
  }

  static func insert(_ charge: LedgerEntry, in transaction: WriteTransaction) throws {
    try transaction.execute(
      "INSERT INTO privacy_charge (data_set, run, task, round, event, time) VALUES (?, ?, ?, ?, ?, ?)",
      [
        .text(charge.dataSet), .text(charge.run.text), .text(charge.task.rawValue), .integer(Int64(charge.round)),
        .text(charge.event.canonical), .integer(charge.time),
      ])
  }
}

extension LedgerEntry {
  fileprivate init(_ row: StoredRow) throws {
    guard let task = TaskKind(rawValue: try row.text("task")) else {
      throw StorageError.statement(reason: "a charge is for an unknown task")
    }
    self.init(
      dataSet: try row.text("data_set"), run: try RunIdentifier(try row.text("run")), task: task,
      round: Int(try row.integer("round")), event: try PrivacyEvent(canonical: try row.text("event")),
      time: try row.integer("time"))
  }
}
