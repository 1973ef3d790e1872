/// What can be wrong with the state's database.
///
/// Has the members of `BlamedError`; this target may not know `Cryptography`, so ``blame`` is a word.
public enum StorageError: Error, Sendable, Equatable, CustomStringConvertible {
  /// The file cannot be opened or made.
  case cannotOpen(path: String, reason: String)
  /// Others than the owner can read or change it.
  case exposed(path: String, mode: UInt16)
  /// Another process holds it.
  case locked(path: String)
  /// Not a database, or a damaged one.
  case corrupt(path: String)
  /// Made by a later version of this program.
  case newer(path: String)
  /// The disk is full or failing.
  case disk(path: String, reason: String)
  /// A setting that durability rests on did not take.
  case setting(name: String, expected: String, found: String)
  /// A rule of the schema was violated: a unique key, a foreign key, a check.
  case constraint(reason: String)
  /// The statement or its result does not fit the schema.
  case statement(reason: String)

  /// Stable, kebab-case name of the error.
  public var code: String {
    switch self {
    case .cannotOpen: "state-cannot-open"
    case .exposed: "state-readable-by-others"
    case .locked: "state-locked"
    case .corrupt: "state-corrupt"
    case .newer: "state-of-newer-version"
    case .disk: "state-disk"
    case .setting: "state-setting"
    case .constraint: "state-constraint"
    case .statement: "state-statement"
    }
  }

  /// Who is at fault; always `local` or, for the program above, `caller`.
  public var blame: String {
    switch self {
    case .cannotOpen, .exposed, .locked, .corrupt, .newer, .disk, .setting: "local"
    case .constraint, .statement: "caller"
    }
  }

  /// One sentence: what is wrong, and where.
  public var message: String {
    switch self {
    case .cannotOpen(let path, let reason): "cannot open the state \(path): \(reason)"
    case .exposed(let path, let mode):
      "the state \(path) can be read or changed by others (mode 0\(String(mode, radix: 8)))"
    case .locked(let path): "the state \(path) is in use by another process"
    case .corrupt(let path): "the state \(path) is damaged or is not a database"
    case .newer(let path): "the state \(path) was made by a later version of this program"
    case .disk(let path, let reason): "the state \(path) cannot be written: \(reason)"
    case .setting(let name, let expected, let found):
      "the database does not keep \(name) = \(expected); it says \(found)"
    case .constraint(let reason): "the state refuses a change: \(reason)"
    case .statement(let reason): "the state cannot answer: \(reason)"
    }
  }

  /// What to do about it.
  public var remedy: String {
    switch self {
    case .cannotOpen: "Check that the directory exists and that you may write there."
    case .exposed(let path, _): "Run: chmod 600 \(path)"
    case .locked: "End the other program that uses this directory; only one may at a time."
    case .corrupt:
      "Put the newest undamaged copy back, or move the file away; the client notices by its log what is missing then, "
        + "and says what to do."
    case .newer: "Use the version of the program that made it, or a later one."
    case .disk: "Free space or replace the disk; nothing that was confirmed is lost."
    case .setting: "Report it with the version of the SQLite library; do not go on without durable state."
    case .constraint, .statement: "This is a fault of the program; report it with the log."
    }
  }

  public var description: String { message }
}
