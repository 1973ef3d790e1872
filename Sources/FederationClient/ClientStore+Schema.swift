import Storage

extension ClientStore {
  /// The schema of `state.sqlite`, in the steps in which it came about.
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
    // Openings of before are bound to nothing that any context gives: they are not attempted again.
    Migration(
      "what an opening was made under",
      sql: """
        ALTER TABLE opening ADD COLUMN origin BLOB NOT NULL DEFAULT
          x'0000000000000000000000000000000000000000000000000000000000000000';
        ALTER TABLE opening ADD COLUMN cohort TEXT NOT NULL DEFAULT '';
        ALTER TABLE opening ADD COLUMN model BLOB NOT NULL DEFAULT
          x'0000000000000000000000000000000000000000000000000000000000000000';
        """),
    Migration(
      "messages of which there is one an attempt",
      sql: """
        CREATE TABLE committed_message (
          run TEXT NOT NULL,
          task TEXT NOT NULL,
          round INTEGER NOT NULL,
          attempt INTEGER NOT NULL,
          kind TEXT NOT NULL,
          identifier TEXT NOT NULL,
          payload BLOB NOT NULL,
          PRIMARY KEY (run, task, round, attempt, kind)
        ) STRICT;
        """),
    Migration(
      "version, and what was lost",
      sql: """
        CREATE TABLE state (
          id INTEGER PRIMARY KEY CHECK (id = 1),
          version INTEGER NOT NULL,
          log_sequence INTEGER,
          log_leaf BLOB
        ) STRICT;
        INSERT INTO state (id, version) SELECT 1, EXISTS (SELECT 1 FROM accepted_run);
        CREATE TABLE lost_history (time INTEGER NOT NULL) STRICT;
        CREATE TABLE lost_run (run TEXT PRIMARY KEY) STRICT;
        """),
    Migration(
      "openings for auditors",
      sql: """
        CREATE TABLE signed_statement (
          context BLOB PRIMARY KEY,
          run TEXT NOT NULL,
          task TEXT NOT NULL,
          round INTEGER NOT NULL,
          attempt INTEGER NOT NULL,
          transcript BLOB NOT NULL,
          share_survivors BLOB NOT NULL,
          input_survivors BLOB NOT NULL,
          masked_input_root BLOB NOT NULL,
          survivors TEXT NOT NULL,
          assumed_corrupt INTEGER NOT NULL,
          minimum_honest INTEGER NOT NULL
        ) STRICT;
        CREATE TABLE opening_consent (
          context BLOB NOT NULL,
          slot INTEGER NOT NULL,
          organization TEXT NOT NULL,
          PRIMARY KEY (context, slot)
        ) STRICT;
        CREATE TABLE sealed_secret (
          run TEXT NOT NULL,
          task TEXT NOT NULL,
          round INTEGER NOT NULL,
          attempt INTEGER NOT NULL,
          file TEXT NOT NULL,
          until INTEGER NOT NULL,
          summed INTEGER NOT NULL DEFAULT 0,
          PRIMARY KEY (run, task, round, attempt)
        ) STRICT;
        """),
    ledgerMigration,
    noisePlacementMigration,
  ]
}
