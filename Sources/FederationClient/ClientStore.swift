import AuditLog
import Cryptography
import Federation
import Foundation
import SecureAggregation
import Storage
import Synchronization

/// What an organisation must remember of its openings across restarts: `state.sqlite`.
///
/// Every write is a transaction that is on disk when it returns. Each raises the state's version by one and notes the
/// last message on the log's record; the version is in every record of a message that leaves. So a state restored from
/// an older copy is noticed against the log, and the other way round. Both restored from one copy are not: that is
/// noticed by whoever has seen a later checkpoint of the log.
final class ClientStore: Sendable {
  private let database: Database
  /// The last message that is on the log's record, for the next transaction.
  private let lastRecord = Mutex<LogPosition?>(nil)

  let path: String

  /// An entry of the log.
  struct LogPosition: Hashable, Sendable {
    let sequence: UInt64
    let leaf: LeafHash
  }

  /// An opening that was entered.
  struct StoredOpening: Equatable, Sendable {
    var ledger: AttemptLedger
    /// The integers that every attempt masks; nil once the opening is closed.
    var term: [UInt8]?
    /// The context with attempt 0: everything that the term was made under.
    var origin: ContextDigest
    var cohort: [OrganizationName]
    var model: ModelHash
  }

  /// A message of an attempt of which there may be one only.
  struct CommittedMessage: Equatable, Sendable {
    var kind: String
    var identifier: MessageIdentifier
    /// Of the payload: its envelope also says which instruction it answers.
    var payload: MessageHash
  }

  /// SQLite takes paths up to 512 bytes, those of the files that it makes beside the database included.
  private static let maximumPathBytes = 500

  /// - Throws: ``ClientError/storage(_:)``.
  init(path: String) throws(ClientError) {
    self.path = path
    let absolute = URL(fileURLWithPath: path).path
    guard absolute.utf8.count <= Self.maximumPathBytes else {
      throw .storage(StorageFailure(longPath: absolute, maximum: Self.maximumPathBytes))
    }
    do throws(StorageError) {
      database = try Database(path: path, migrations: Self.migrations)
    } catch { throw .storage(StorageFailure(error)) }
  }

  // MARK: - Version

  /// 0 for a state in which nothing was ever written.
  var version: UInt64 {
    get throws(ClientError) {
      try read { UInt64(clamping: try $0.row("SELECT version FROM state")?.integer("version") ?? 0) }
    }
  }

  /// The last message on the log's record when the state was written last.
  var rememberedRecord: LogPosition? {
    get throws(ClientError) {
      try read { transaction in
        guard let row = try transaction.row("SELECT log_sequence, log_leaf FROM state"),
          try !row.isNull("log_sequence")
        else { return nil }
        return LogPosition(
          sequence: UInt64(clamping: try row.integer("log_sequence")),
          leaf: try LeafHash(bytes: try row.blob("log_leaf")))
      }
    }
  }

  /// A message is on the record, durably.
  func note(_ record: AppendedRecord) {
    lastRecord.withLock { $0 = LogPosition(sequence: record.sequence, leaf: record.leaf) }
  }

  /// From here on the state counts as written: without it nothing that leaves can be told from what an older one let out.
  func begin() throws(ClientError) {
    guard try version == 0 else { return }
    try write { _ in }
  }

  /// After the owner has said what happened.
  ///
  /// - Parameters:
  ///   - version: above every version on the record.
  ///   - loss: the moment and the runs of the log, where what was signed in them is not remembered any more.
  ///   - record: that of the acknowledgement.
  func acknowledge(
    version: UInt64, loss: (moment: Int64, runs: Set<String>)?, record: AppendedRecord
  ) throws(ClientError) {
    note(record)
    try write { transaction in
      try transaction.execute("UPDATE state SET version = ? WHERE version < ?1", [.integer(Int64(clamping: version))])
      guard let loss else { return }
      try transaction.execute("INSERT INTO lost_history (time) VALUES (?)", [.integer(loss.moment)])
      for run in loss.runs.sorted() {
        try transaction.execute("INSERT OR IGNORE INTO lost_run (run) VALUES (?)", [.text(run)])
      }
    }
  }

  /// When part of the history was lost last, in seconds since 1970.
  var lostAt: Int64? {
    get throws(ClientError) {
      try read { transaction in
        guard let row = try transaction.row("SELECT MAX(time) AS time FROM lost_history"), try !row.isNull("time")
        else { return nil }
        return try row.integer("time")
      }
    }
  }

  // MARK: - Runs

  /// Notes that a run is accepted, before the acceptance leaves.
  ///
  /// - Returns: whether an earlier process had accepted it already.
  /// - Throws: ``StateFault/lostRun(_:)`` for one whose openings are not remembered any more.
  func accept(_ run: RunIdentifier) throws(ClientError) -> Bool {
    let isLost = try read { try $0.row("SELECT run FROM lost_run WHERE run = ?", [.text(run.text)]) != nil }
    guard !isLost else { throw .state(.lostRun(run)) }
    return try write { transaction in
      let known = try transaction.row("SELECT run FROM accepted_run WHERE run = ?", [.text(run.text)]) != nil
      if !known { try transaction.execute("INSERT INTO accepted_run (run) VALUES (?)", [.text(run.text)]) }
      return known
    }
  }

  // MARK: - Openings

  /// What is known of an opening, whatever the attempt; nil if none was entered.
  func opening(_ opening: OpeningIdentifier) throws(ClientError) -> StoredOpening? {
    let key = Self.key(opening)
    return try read { transaction in
      try transaction.row("SELECT * FROM opening WHERE run = ?1 AND task = ?2 AND round = ?3", key)
        .map(StoredOpening.init)
    }
  }

  /// Before anything of an attempt leaves: the attempt, the integers that it masks, and what they were made under.
  ///
  /// - Parameter charge: what the sum costs, with its first attempt.
  func enter(
    _ opening: OpeningIdentifier, _ stored: StoredOpening, charge: LedgerEntry? = nil
  ) throws(ClientError) {
    let values = Self.key(opening) + stored.values
    try write { transaction in
      try transaction.execute(
        """
        INSERT INTO opening (run, task, round, ledger, term, origin, cohort, model) VALUES (?, ?, ?, ?, ?, ?, ?, ?)
        ON CONFLICT (run, task, round) DO UPDATE SET ledger = excluded.ledger, term = excluded.term
        """, values)
      if let charge { try Self.insert(charge, in: transaction) }
    }
  }

  /// Every survivor set signed over a data set, oldest first; never forgotten.
  func history(dataSet: String) throws(ClientError) -> [SignedOpening] {
    try read { transaction in
      try transaction.rows("SELECT * FROM signed_opening WHERE data_set = ?1 ORDER BY position", [.text(dataSet)])
        .map(SignedOpening.init)
    }
  }

  /// Before one of a kind leaves: its hash, and with it the ledger, the set and statement that are signed, and the file
  /// that opens a masked input, together.
  ///
  /// - Throws: ``StateFault/otherMessage(_:kind:)`` if another was committed for the same attempt.
  func commit(
    _ message: CommittedMessage, of opening: OpeningIdentifier, ledger: AttemptLedger? = nil,
    signing signed: SignedOpening? = nil, statement: SignedStatement? = nil, sealed: SealedEntry? = nil
  ) throws(ClientError) {
    if let earlier = try committed(message.kind, of: opening) {
      guard earlier == message else { throw .state(.otherMessage(opening, kind: message.kind)) }
    }
    let key = Self.key(opening)
    try write { transaction in
      try transaction.execute(
        """
        INSERT OR IGNORE INTO committed_message (run, task, round, attempt, kind, identifier, payload)
        VALUES (?, ?, ?, ?, ?, ?, ?)
        """,
        key + [
          .integer(Int64(opening.attempt)), .text(message.kind), .text(message.identifier.value),
          .blob(message.payload.bytes),
        ])
      if let ledger {
        try transaction.execute(
          "UPDATE opening SET ledger = ?4 WHERE run = ?1 AND task = ?2 AND round = ?3",
          key + [.blob(ledger.encoded())])
      }
      if let signed {
        try transaction.execute(
          """
          INSERT INTO signed_opening (data_set, run, task, round, survivors, model, time, charged)
          VALUES (?, ?, ?, ?, ?, ?, ?, ?)
          """, signed.values)
      }
      if let statement { try Self.insert(statement, in: transaction) }
      if let sealed { try Self.insert(sealed, in: transaction) }
    }
  }

  /// The one message of a kind that was committed for an attempt.
  func committed(_ kind: String, of opening: OpeningIdentifier) throws(ClientError) -> CommittedMessage? {
    let key = Self.key(opening) + [.integer(Int64(opening.attempt)), .text(kind)]
    return try read { transaction in
      try transaction.row(
        """
        SELECT * FROM committed_message
        WHERE run = ?1 AND task = ?2 AND round = ?3 AND attempt = ?4 AND kind = ?5
        """, key
      ).map(CommittedMessage.init)
    }
  }

  /// The term of an opening that is summed is erased, and the shares that were released for it; that it was opened, and
  /// that they were released, is not.
  func close(_ opening: OpeningIdentifier) throws(ClientError) {
    try close("run = ?1 AND task = ?2 AND round = ?3", Self.key(opening))
  }

  /// The same for all sums of a run that is over, also those that were never completed.
  func close(_ run: RunIdentifier) throws(ClientError) {
    try close("run = ?1", [.text(run.text)])
  }

  private func close(_ condition: String, _ arguments: [StoredValue]) throws(ClientError) {
    try write { transaction in
      for row in try transaction.rows("SELECT * FROM opening WHERE term IS NOT NULL AND \(condition)", arguments) {
        var ledger = try AttemptLedger(decoding: row.blob("ledger"))
        ledger.forgetReply()
        try transaction.execute(
          "UPDATE opening SET term = NULL, ledger = ?4 WHERE run = ?1 AND task = ?2 AND round = ?3",
          [
            .text(try row.text("run")), .text(try row.text("task")), .integer(try row.integer("round")),
            .blob(ledger.encoded()),
          ])
      }
    }
  }

  // MARK: -

  static func key(_ opening: OpeningIdentifier) -> [StoredValue] {
    [.text(opening.run.text), .text(opening.task.rawValue), .integer(Int64(opening.round))]
  }

  func read<Result>(_ body: (ReadTransaction) throws -> Result) throws(ClientError) -> Result {
    do { return try database.read(body) } catch { throw Self.failure(error) }
  }

  /// One transaction, under the next version of the state.
  @discardableResult
  func write<Result>(_ body: (WriteTransaction) throws -> Result) throws(ClientError) -> Result {
    let position = lastRecord.withLock { $0 }
    do {
      return try database.write { transaction in
        let result = try body(transaction)
        try transaction.execute("UPDATE state SET version = version + 1")
        if let position {
          try transaction.execute(
            "UPDATE state SET log_sequence = ?, log_leaf = ?",
            [.integer(Int64(clamping: position.sequence)), .blob(position.leaf.bytes)])
        }
        return result
      }
    } catch { throw Self.failure(error) }
  }

  private static func failure(_ error: any Error) -> ClientError {
    switch error {
    case let error as AggregationError: .aggregation(error)
    case let error as ClientError: error
    case _: .storage(StorageFailure(error))
    }
  }
}

extension ClientStore.StoredOpening {
  fileprivate var values: [StoredValue] {
    [
      .blob(ledger.encoded()), term.map { .blob($0) } ?? .null, .blob(origin.bytes),
      .text(cohort.map(\.value).joined(separator: " ")), .blob(model.bytes),
    ]
  }

  fileprivate init(_ row: StoredRow) throws {
    ledger = try AttemptLedger(decoding: try row.blob("ledger"))
    term = try row.isNull("term") ? nil : try row.blob("term")
    origin = try ContextDigest(bytes: try row.blob("origin"))
    cohort = try row.text("cohort").split(separator: " ").map { try OrganizationName(String($0)) }
    model = try ModelHash(bytes: try row.blob("model"))
  }
}

extension ClientStore.CommittedMessage {
  fileprivate init(_ row: StoredRow) throws {
    kind = try row.text("kind")
    guard let identifier = MessageIdentifier(try row.text("identifier")) else {
      throw StorageError.statement(reason: "a message identifier is malformed")
    }
    self.identifier = identifier
    payload = try MessageHash(bytes: try row.blob("payload"))
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
