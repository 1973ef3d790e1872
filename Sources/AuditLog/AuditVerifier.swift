import Cryptography
import TransparencyLog

/// Verifies a log offline, from its files alone.
///
/// Never throws: whatever the files hold ends up in the report. It does not show that the log is complete or the
/// only one its keeper made: for that, cosignatures and `reconcile`.
///
/// Memory does not grow with the log: the journal is read once, and each tile and bundle is compared with it when it is
/// full. A journal that does not give the signed root is read a second time, to name the entry.
public enum AuditVerifier {
  /// - Parameters:
  ///   - logDirectory: of the log, or of the organisation that keeps it.
  ///   - verifierKey: the text of the log's `.vkey`, from a source that the auditor trusts. Without it nothing is
  ///     authentic, and the report is not `verified`.
  ///   - cosigners: the witnesses to ask for; nil leaves cosignatures unchecked.
  public static func verify(
    logDirectory: String, verifierKey: String?, cosigners: CosignerPolicy? = nil
  ) -> VerificationReport {
    var verification = LogVerification(directory: LogLayout.logDirectory(of: logDirectory))
    verification.checkCheckpoint(verifierKey: verifierKey)
    verification.readCosignedCheckpoint()
    verification.entryChecks = [ByteAccounting()]
    verification.checkEntries(cosigners)
    verification.checkTail()
    return verification.report
  }

  /// The text of `log.vkey` in or beside the log's directory, or nil if there is none.
  ///
  /// A key that lies beside the log proves only that both belong together.
  public static func verifierKeyText(logDirectory: String) throws(AuditLogError) -> String? {
    let log = LogLayout.logDirectory(of: logDirectory)
    let beside = "\(DurableFile.parent(of: log))/\(LogLayout.verifierKey)"
    for path in ["\(log)/\(LogLayout.verifierKey)", beside] {
      do {
        if let bytes = try DurableFile.read(path, maximum: 512) { return String(decoding: bytes, as: UTF8.self) }
      } catch { throw .storage(error) }
    }
    return nil
  }
}

/// The state of one verification: what has been read so far, and the checks made.
struct LogVerification {
  let directory: String
  let tiles: TileDirectory
  var checkpoint: SignedCheckpoint?
  var isAuthentic = false
  var keyName: NoteKeyName?
  /// Of the journal: those that are no longer kept count.
  private(set) var size: UInt64 = 0
  var entries: UInt64 { max(size, checkpoint?.checkpoint.size ?? 0) }
  /// How many entries are rightly no longer kept.
  private(set) var pruned: UInt64 = 0
  private var tornBytes: UInt64 = 0
  /// The text of the log's key, from the auditor.
  private(set) var keyText: String?
  /// `checkpoint.cosigned`, as long as it is signed by the log's key and nothing speaks against it.
  var cosigned: SignedCheckpoint?
  /// Why it cannot be used.
  var cosignedFailure: VerificationFailure?
  /// What looks at every accepted entry in turn.
  var entryChecks: [any EntryCheck] = []
  private var checks: [VerificationReport.Check] = []

  init(directory: String) {
    self.directory = directory
    tiles = TileDirectory(path: directory)
  }

  var report: VerificationReport {
    let size = checkpoint?.checkpoint.size
    return VerificationReport(
      log: directory, origin: checkpoint?.checkpoint.origin, size: size, root: checkpoint?.checkpoint.root,
      unsignedTail: self.size > (size ?? 0) ? self.size - (size ?? 0) : 0, pruned: pruned, checks: checks)
  }

  mutating func note(
    _ name: VerificationReport.CheckName, _ result: VerificationReport.Result, at: String = "", detail: String
  ) {
    checks.append(VerificationReport.Check(name: name, result: result, at: at, detail: detail))
  }

  /// The failures of one check, or that it passed.
  mutating func conclude(_ name: VerificationReport.CheckName, _ failures: FailureList, passed: String) {
    if failures.count == 0 { note(name, .passed, detail: passed) }
    for failure in failures.kept { note(name, .failed, at: failure.at, detail: failure.detail) }
    if failures.count > failures.kept.count {
      note(name, .failed, detail: "and \(failures.count - failures.kept.count) more")
    }
  }

  // MARK: - Checkpoint

  mutating func checkCheckpoint(verifierKey: String?) {
    let place = LogLayout.checkpoint
    keyText = verifierKey
    do {
      guard let found = try tiles.checkpoint() else {
        note(.checkpoint, .failed, at: place, detail: "there is no checkpoint: nothing in this log is signed")
        return
      }
      checkpoint = found
      guard let verifierKey else {
        note(.checkpoint, .notChecked, at: place, detail: "no verifier key was given")
        return
      }
      let key = try NoteVerifierKey<LogKeyRole>(verifierKey)
      keyName = key.name
      guard found.checkpoint.origin.utf8.elementsEqual(key.name.value.utf8) else {
        note(.checkpoint, .failed, at: place, detail: "its origin is not the name of the key, \(key.name)")
        return
      }
      switch found.status(of: key) {
      case .valid:
        isAuthentic = true
        note(.checkpoint, .passed, at: place, detail: "signed by \(key.name), key \(key.id)")
      case .absent: note(.checkpoint, .failed, at: place, detail: "not signed by \(key.name), key \(key.id)")
      case .invalid:
        note(.checkpoint, .failed, at: place, detail: "the signature of \(key.name), key \(key.id), is not valid")
      }
    } catch { note(.checkpoint, .failed, at: place, detail: error.message) }
  }

  // MARK: - Entries

  /// The journal, the root, and every file, in one pass; in a second one if the root is not the signed one.
  ///
  /// What depends on roots that the entries give is checked here as well.
  mutating func checkEntries(_ cosigners: CosignerPolicy?) {
    let keeper = keyName.flatMap { try? OrganizationName($0.value) }
    let origin = checkpoint.flatMap { try? OrganizationName($0.checkpoint.origin) }
    let comparison = TileComparison(tiles: tiles, inventory: TileInventory(directory: directory))
    var pass = JournalPass(
      directory: directory, comparison: comparison,
      worker: JournalBlockWorker(comparison: comparison, keeper: keeper, origin: origin),
      signedSize: checkpoint?.checkpoint.size, earlierSize: cosigned?.checkpoint.size, checks: entryChecks)
    pass.run()
    size = pass.size
    tornBytes = pass.tornBytes
    pruned = pass.first <= pass.prunedBelow ? pass.first : 0
    checkCosignatures(cosigners, earlierRoot: pass.earlierRoot)
    conclude(.journal, pass.journal, passed: passedDetail(pass))
    checkRoot(pass, comparison)
    for check in pass.checks { check.conclude(in: &self) }
  }

  private func passedDetail(_ pass: JournalPass) -> String {
    var detail = "\(counted(pass.size, "entry", "entries")) in sequence, each continuing the one before it"
    if pruned > 0 {
      let record = pass.prunedBy.map { "entry \($0)" } ?? "no entry"
      detail += "; the first \(pruned) are no longer kept, as \(record) says, and were checked by their hashes"
    }
    if pass.repeatedLines > 0 {
      detail += "; the journal repeats \(pass.repeatedLines) of a sealed segment, which were not read twice"
    }
    return detail
  }

  private mutating func checkRoot(_ pass: JournalPass, _ comparison: TileComparison) {
    var layout = comparison.inventory.strange
    guard let signed = checkpoint?.checkpoint, isAuthentic else {
      note(.root, .notChecked, detail: "there is no authentic checkpoint to compare with")
      concludeFiles(comparison, layout, pass.tiles, pass.bundles)
      return
    }
    if pass.signedRoot == signed.root {
      note(.root, .passed, detail: "the journal gives the signed root over \(counted(signed.size, "entry", "entries"))")
      layout.append(comparison.inventory.missing(size: signed.size, kept: pass.keptSince))
      concludeFiles(comparison, layout, pass.tiles, pass.bundles)
      return
    }
    var second = TilePass(comparison: comparison, signed: signed)
    second.run(size: pass.size)
    if second.isSigned {
      // The tiles are what was signed, so they show which entry of the journal is not.
      note(.root, .failed, at: second.difference ?? LogLayout.journal, detail: "not what the checkpoint signed")
      layout.append(comparison.inventory.missing(size: signed.size, kept: pass.keptSince))
      concludeFiles(comparison, layout, second.tiles, second.bundles)
      return
    }
    if pass.size < signed.size {
      note(
        .root, .failed, at: "journal entry \(pass.size)",
        detail:
          "the journal has \(counted(pass.size, "entry", "entries")), the checkpoint was signed over \(signed.size)")
    } else {
      note(.root, .failed, at: LogLayout.journal, detail: "neither journal nor tiles give the root in the checkpoint")
      layout.append(comparison.inventory.missing(size: signed.size, kept: pass.keptSince))
    }
    concludeFiles(comparison, layout, pass.tiles, pass.bundles)
  }

  private mutating func concludeFiles(
    _ comparison: TileComparison, _ layout: FailureList, _ tiles: FailureList, _ bundles: FailureList
  ) {
    let inventory = comparison.inventory
    conclude(.layout, layout, passed: "the files are those of a log of this size")
    conclude(.tiles, tiles, passed: "\(counted(inventory.tiles, "tile agrees", "tiles agree")) with the entries")
    conclude(
      .entryBundles, bundles,
      passed: "\(counted(inventory.bundles, "entry bundle agrees", "entry bundles agree")) with the entries")
  }

  mutating func checkTail() {
    let count = report.unsignedTail
    let torn =
      tornBytes > 0
      ? "; \(counted(tornBytes, "byte", "bytes")) after the last newline: a line that was never completed" : ""
    if count == 0, tornBytes == 0 {
      note(.unsignedTail, .passed, detail: "every entry is under the checkpoint")
    } else {
      note(
        .unsignedTail, .notChecked, at: count > 0 ? "journal entry \(size - count)" : LogLayout.journal,
        detail: "\(counted(count, "entry", "entries")) after the checkpoint, chained but not signed yet\(torn)")
    }
  }
}

struct VerificationFailure {
  let at: String
  let detail: String

  init(_ at: String, _ detail: String) {
    self.at = at
    self.detail = detail
  }
}
