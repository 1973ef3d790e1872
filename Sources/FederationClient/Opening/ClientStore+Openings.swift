import Cryptography
import Federation
import SecureAggregation
import Storage

extension ClientStore {
  /// A statement about the survivors of an attempt that this organisation has signed, with what it says of openings.
  struct SignedStatement: Equatable, Sendable {
    var context: ContextDigest
    var opening: OpeningIdentifier
    var statement: ConsistencyStatement
    /// U3.
    var survivors: [OrganizationName]
    /// n_c of the run's manifest.
    var assumedCorrupt: Int
    /// Of the context.
    var minimumHonest: Int
  }

  /// A file of sealed secrets.
  struct SealedEntry: Hashable, Sendable {
    var opening: OpeningIdentifier
    /// Its name in the directory of such files.
    var file: String
    /// Seconds since 1970.
    var until: Int64
    /// Whether the masked input is in a published sum whose statement this organisation has signed.
    var isSummed = false
  }

  // MARK: - Statements

  /// Within the transaction that commits the message with the statement.
  static func insert(_ signed: SignedStatement, in transaction: WriteTransaction) throws {
    try transaction.execute(
      """
      INSERT OR REPLACE INTO signed_statement (context, run, task, round, attempt, transcript, share_survivors,
        input_survivors, masked_input_root, survivors, assumed_corrupt, minimum_honest)
      VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
      """,
      [
        .blob(signed.context.bytes), .text(signed.opening.run.text), .text(signed.opening.task.rawValue),
        .integer(Int64(signed.opening.round)), .integer(Int64(signed.opening.attempt)),
        .blob(signed.statement.transcript.bytes), .blob(signed.statement.shareSurvivors.bytes),
        .blob(signed.statement.inputSurvivors.bytes), .blob(signed.statement.maskedInputRoot.bytes),
        .text(signed.survivors.map(\.value).joined(separator: " ")), .integer(Int64(signed.assumedCorrupt)),
        .integer(Int64(signed.minimumHonest)),
      ])
  }

  /// The statement that was signed in a context.
  func statement(in context: ContextDigest) throws(ClientError) -> SignedStatement? {
    try read { transaction in
      try transaction.row("SELECT * FROM signed_statement WHERE context = ?", [.blob(context.bytes)])
        .map(SignedStatement.init)
    }
  }

  // MARK: - Sealed secrets

  /// Within the transaction that commits the masked input.
  static func insert(_ sealed: SealedEntry, in transaction: WriteTransaction) throws {
    try transaction.execute(
      "INSERT OR REPLACE INTO sealed_secret (run, task, round, attempt, file, until) VALUES (?, ?, ?, ?, ?, ?)",
      sealed.key + [.text(sealed.file), .integer(sealed.until)])
  }

  /// All files that are to be there.
  func sealedSecrets() throws(ClientError) -> [SealedEntry] {
    try read { try $0.rows("SELECT * FROM sealed_secret ORDER BY run, round, task, attempt", []).map(SealedEntry.init) }
  }

  /// The file of the attempt of an opening that was summed.
  func sealedSecret(run: RunIdentifier, task: TaskKind, round: Int) throws(ClientError) -> SealedEntry? {
    try sealedSecrets().first {
      $0.opening.run == run && $0.opening.task == task && $0.opening.round == round && $0.isSummed
    }
  }

  /// Files of attempts that were left before a statement was signed in them.
  func unsignedSealedSecrets() throws(ClientError) -> [SealedEntry] {
    try read { transaction in
      try transaction.rows(
        """
        SELECT * FROM sealed_secret AS sealed WHERE summed = 0 AND NOT EXISTS (
          SELECT 1 FROM signed_statement AS signed WHERE signed.run = sealed.run AND signed.task = sealed.task
            AND signed.round = sealed.round AND signed.attempt = sealed.attempt)
        """, []
      ).map(SealedEntry.init)
    }
  }

  /// A sum was published: the file of its attempt is kept if this organisation has signed who is in it.
  func noteSummed(_ opening: OpeningIdentifier) throws(ClientError) {
    let key: [StoredValue] = SealedEntry(opening: opening, file: "", until: 0).key
    try write { transaction in
      try transaction.execute(
        """
        UPDATE sealed_secret SET summed = 1 WHERE run = ?1 AND task = ?2 AND round = ?3 AND attempt = ?4 AND EXISTS (
          SELECT 1 FROM signed_statement AS signed WHERE signed.run = ?1 AND signed.task = ?2 AND signed.round = ?3
            AND signed.attempt = ?4)
        """, key)
    }
  }

  /// Once a file is gone, and its erasure on the record.
  func forget(_ sealed: SealedEntry) throws(ClientError) {
    try write { transaction in
      try transaction.execute(
        "DELETE FROM sealed_secret WHERE run = ?1 AND task = ?2 AND round = ?3 AND attempt = ?4", sealed.key)
    }
  }

  // MARK: - Consents

  /// Whom this organisation has agreed to have opened, by slot, whatever the attempt: all of them mask the same term.
  func consents(to opening: OpeningIdentifier) throws(ClientError) -> [Int: OrganizationName] {
    try read { transaction in
      var consents: [Int: OrganizationName] = [:]
      for row in try Self.consents(to: opening, rows: transaction.rows) {
        consents[Int(try row.integer("slot"))] = try OrganizationName(try row.text("organization"))
      }
      return consents
    }
  }

  /// Before anything says so: this organisation agrees to a slot of a sum whose statement it has signed, once and for all.
  ///
  /// The transaction reads what was agreed to before, so that two commands cannot agree to two.
  func remember(_ organization: OrganizationName, slot: Int, in signed: SignedStatement) throws(ClientError) {
    try write { transaction in
      try transaction.execute(
        "INSERT OR IGNORE INTO opening_consent (context, slot, organization) VALUES (?, ?, ?)",
        [.blob(signed.context.bytes), .integer(Int64(slot)), .text(organization.value)])
      let held = try Self.consents(to: signed.opening, rows: transaction.rows).filter { try $0.integer("slot") == slot }
      guard !held.isEmpty, try held.allSatisfy({ try $0.text("organization") == organization.value }) else {
        throw StorageError.constraint(reason: "another organisation has slot \(slot)")
      }
    }
  }

  private static func consents(
    to opening: OpeningIdentifier, rows: (String, [StoredValue]) throws -> [StoredRow]
  ) throws -> [StoredRow] {
    try rows(
      """
      SELECT consent.slot, consent.organization FROM opening_consent AS consent
        JOIN signed_statement AS signed ON signed.context = consent.context
        WHERE signed.run = ? AND signed.task = ? AND signed.round = ?
      """, [.text(opening.run.text), .text(opening.task.rawValue), .integer(Int64(opening.round))])
  }
}

extension ClientStore.SignedStatement {
  fileprivate init(_ row: StoredRow) throws {
    context = try ContextDigest(bytes: try row.blob("context"))
    opening = try OpeningIdentifier(stored: row)
    statement = ConsistencyStatement(
      stored: try TranscriptDigest(bytes: try row.blob("transcript")),
      shareSurvivors: try SurvivorsHash(bytes: try row.blob("share_survivors")),
      inputSurvivors: try SurvivorsHash(bytes: try row.blob("input_survivors")),
      maskedInputRoot: try MaskedInputRoot(bytes: try row.blob("masked_input_root")))
    survivors = try row.text("survivors").split(separator: " ").map { try OrganizationName(String($0)) }
    assumedCorrupt = Int(try row.integer("assumed_corrupt"))
    minimumHonest = Int(try row.integer("minimum_honest"))
  }
}

extension ClientStore.SealedEntry {
  fileprivate var key: [StoredValue] {
    [
      .text(opening.run.text), .text(opening.task.rawValue), .integer(Int64(opening.round)),
      .integer(Int64(opening.attempt)),
    ]
  }

  fileprivate init(_ row: StoredRow) throws {
    opening = try OpeningIdentifier(stored: row)
    file = try row.text("file")
    until = try row.integer("until")
    isSummed = try row.integer("summed") != 0
  }
}

extension OpeningIdentifier {
  fileprivate init(stored row: StoredRow) throws {
    let (round, attempt) = (try row.integer("round"), try row.integer("attempt"))
    guard let task = TaskKind(rawValue: try row.text("task")), round >= 0, attempt >= 0 else {
      throw StorageError.statement(reason: "an opening is malformed")
    }
    self.init(run: try RunIdentifier(try row.text("run")), task: task, round: Int(round), attempt: Int(attempt))
  }
}
