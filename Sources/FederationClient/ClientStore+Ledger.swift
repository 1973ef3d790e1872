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
        unit TEXT NOT NULL,
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
      INSERT INTO privacy_charge (data_set, run, task, round, unit, event, time)
        SELECT data_set, run, task, round, 'none', 'unbounded()', MIN(time) FROM signed_opening
        GROUP BY run, task, round;
      """)

  /// Noise of each organisation's own training counts once a step, that of a tree with its first round, and the server's is told from
  /// that of shares.
  static let noisePlacementMigration = Migration(
    "who added the noise, and how often a charge counts",
    sql: """
      ALTER TABLE privacy_charge ADD COLUMN count INTEGER NOT NULL DEFAULT 1 CHECK (count >= 0);
      ALTER TABLE privacy_charge ADD COLUMN noise TEXT NOT NULL DEFAULT 'distributed'
        CHECK (count >= 1 OR noise = 'central');
      """)

  /// Everything that was charged, oldest first, or what was for one sum.
  ///
  /// - Throws: ``ClientError/storage(_:)``; ``ClientError/federation(_:)`` for an entry that cannot be accounted for, so that
  ///   nothing is charged on top of what is not known.
  func ledger(of opening: OpeningIdentifier? = nil) throws(ClientError) -> PrivacyLedger {
    let condition = opening == nil ? "" : "WHERE run = ?1 AND task = ?2 AND round = ?3"
    let entries = try read { transaction in
      try transaction.rows(
        "SELECT * FROM privacy_charge \(condition) ORDER BY position", opening.map(Self.key) ?? []
      ).map(LedgerEntry.init)
    }
    let isIncomplete = try lostAt != nil
    do throws(FederationError) { return try PrivacyLedger(entries: entries, isIncomplete: isIncomplete) } catch {
      throw .federation(error)
    }
  }

  /// A sum without noise is noted with each of its attempts, and counts once.
  static func insert(_ charge: LedgerEntry, in transaction: WriteTransaction) throws {
    let known = "EXISTS (SELECT 1 FROM privacy_charge WHERE run = ?2 AND task = ?3 AND round = ?4)"
    try transaction.execute(
      """
      INSERT INTO privacy_charge (data_set, run, task, round, unit, event, count, noise, time)
      SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9 \(charge.unit == .none ? "WHERE NOT \(known)" : "")
      """,
      [
        .text(charge.dataSet), .text(charge.run.text), .text(charge.task.rawValue), .integer(Int64(charge.round)),
        .text(charge.unit.rawValue), .text(charge.event.canonical), .integer(Int64(charge.count)),
        .text(charge.noise.rawValue), .integer(charge.time),
      ])
  }
}

extension LedgerEntry {
  fileprivate init(_ row: StoredRow) throws {
    guard let task = TaskKind(rawValue: try row.text("task")), let unit = PrivacyUnit(rawValue: try row.text("unit")),
      let noise = NoisePlacement(rawValue: try row.text("noise"))
    else { throw StorageError.statement(reason: "a charge is for an unknown task, unit or kind of noise") }
    self.init(
      dataSet: try row.text("data_set"), run: try RunIdentifier(try row.text("run")), task: task,
      round: Int(try row.integer("round")), unit: unit, event: try PrivacyEvent(canonical: try row.text("event")),
      count: Int(try row.integer("count")), noise: noise, time: try row.integer("time"))
  }
}
