import Cryptography
import TransparencyLog

/// Verifies a log offline, from its files alone.
///
/// Never throws: whatever the files hold ends up in the report. It does not show that the log is complete or the
/// only one its keeper made: for that, cosignatures and `reconcile`.
///
/// Memory: about 100 bytes an entry.
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
    verification.checkCosignatures(cosigners)
    verification.checkJournal()
    verification.checkRoot()
    verification.checkFiles()
    verification.checkTail()
    verification.note(
      .byteAccounting, .notChecked,
      detail: "this version records no frame counters, so recorded bytes are not compared with bytes on the wire")
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
  /// Rows of one kind beyond this many are summed up in one.
  static let maximumFailures = 20

  let directory: String
  let tiles: TileDirectory
  var checkpoint: SignedCheckpoint?
  var isAuthentic = false
  var keyName: NoteKeyName?
  /// The leaves of the journal, also of lines that are not records.
  var journal = MerkleTree()
  /// The tree that files are compared with: the journal's, or that of the tiles if only they give the signed root.
  var reference = MerkleTree()
  var journalIsReadable = false
  var tornBytes: UInt64 = 0
  private var checks: [VerificationReport.Check] = []

  init(directory: String) {
    self.directory = directory
    tiles = TileDirectory(path: directory)
  }

  var report: VerificationReport {
    let size = checkpoint?.checkpoint.size
    return VerificationReport(
      log: directory, origin: checkpoint?.checkpoint.origin, size: size, root: checkpoint?.checkpoint.root,
      unsignedTail: journal.size > (size ?? 0) ? journal.size - (size ?? 0) : 0, checks: checks)
  }

  mutating func note(
    _ name: VerificationReport.CheckName, _ result: VerificationReport.Result, at: String = "", detail: String
  ) {
    checks.append(VerificationReport.Check(name: name, result: result, at: at, detail: detail))
  }

  /// The failures of one check, or that it passed.
  mutating func conclude(_ name: VerificationReport.CheckName, _ failures: [VerificationFailure], passed: String) {
    if failures.isEmpty { note(name, .passed, detail: passed) }
    for failure in failures.prefix(Self.maximumFailures) { note(name, .failed, at: failure.at, detail: failure.detail) }
    if failures.count > Self.maximumFailures {
      note(name, .failed, detail: "and \(failures.count - Self.maximumFailures) more")
    }
  }

  // MARK: - Checkpoint

  mutating func checkCheckpoint(verifierKey: String?) {
    let place = LogLayout.checkpoint
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

  mutating func checkCosignatures(_ policy: CosignerPolicy?) {
    guard let policy else {
      note(
        .cosignatures, .notChecked,
        detail: "no witnesses were named: that no other history was shown to others is not checked")
      return
    }
    guard let checkpoint, isAuthentic else {
      note(.cosignatures, .notChecked, detail: "there is no authentic checkpoint")
      return
    }
    var cosigners = 0
    var failures: [VerificationFailure] = []
    for witness in policy.witnesses {
      switch checkpoint.cosignature(by: witness) {
      case .valid: cosigners += 1
      case .absent: break
      case .invalid:
        failures.append(
          .init(LogLayout.checkpoint, "the cosignature of \(witness.name), key \(witness.id), is not valid"))
      }
    }
    let count = "\(cosigners) of \(policy.witnesses.count) witnesses cosigned; \(policy.quorum) are needed"
    if cosigners < policy.quorum { failures.append(.init(LogLayout.checkpoint, count)) }
    conclude(.cosignatures, failures, passed: count)
  }

  // MARK: - Journal

  mutating func checkJournal() {
    var failures: [VerificationFailure] = []
    do {
      let scanner = try JournalScanner(directory: directory)
      var previous: LeafHash?
      while let line = try scanner.next() {
        let sequence = journal.size
        if let defect = Self.defect(in: line, sequence: sequence, previous: previous, organization: keyName) {
          let byte = line.offset + UInt64(defect.byte)
          failures.append(.init("journal entry \(sequence) byte \(byte)", defect.defect.explanation))
        }
        // A line too long to be an entry still takes its place, so that those after it keep theirs.
        let leaf = MerkleHashing.leaf(line.bytes ?? [])
        journal.append(leaf)
        previous = leaf
      }
      tornBytes = scanner.tornBytes
      journalIsReadable = true
    } catch {
      failures.append(.init(LogLayout.journal, error.message))
    }
    conclude(.journal, failures, passed: "\(journal.size) entries in sequence, each continuing the one before it")
  }

  private static func defect(
    in line: JournalScanner.Line, sequence: UInt64, previous: LeafHash?, organization: NoteKeyName?
  ) -> EntryDefectError? {
    do throws(EntryDefectError) {
      guard let bytes = line.bytes else { throw EntryDefectError(.tooLong) }
      let record = try AuditRecord(entry: bytes)
      let expected = organization.flatMap { try? OrganizationName($0.value) } ?? record.organization
      try record.requireContinuing(organization: expected, sequence: sequence, previous: previous)
      return nil
    } catch { return error }
  }

  mutating func checkRoot() {
    reference = journal
    guard let signed = checkpoint?.checkpoint, isAuthentic else {
      note(.root, .notChecked, detail: "there is no authentic checkpoint to compare with")
      return
    }
    if journal.size >= signed.size, journal.root(size: signed.size) == signed.root {
      note(.root, .passed, detail: "the first \(signed.size) entries of the journal give the signed root")
      return
    }
    if let fromTiles = try? Self.tree(from: tiles, size: signed.size), fromTiles.root() == signed.root {
      // The tiles are what was signed, so they show which entry of the journal is not.
      reference = fromTiles
      note(.root, .failed, at: firstDifference(signedSize: signed.size), detail: "not what the checkpoint signed")
    } else if journal.size < signed.size {
      note(.root, .failed, at: "journal entry \(journal.size)", detail: truncationDetail(signed.size))
    } else {
      note(.root, .failed, at: LogLayout.journal, detail: "neither journal nor tiles give the root in the checkpoint")
    }
  }

  private func firstDifference(signedSize: UInt64) -> String {
    let common = min(journal.size, signedSize)
    let place = (0..<common).first { journal.leaf(at: $0) != reference.leaf(at: $0) } ?? common
    return "journal entry \(place)"
  }

  private func truncationDetail(_ signedSize: UInt64) -> String {
    "the journal has \(journal.size) entries, the checkpoint was signed over \(signedSize)"
  }

  private static func tree(from tiles: TileDirectory, size: UInt64) throws(TransparencyLogError) -> MerkleTree {
    var tree = MerkleTree()
    // Tile by tile, so that a size that no file backs ends at the first one missing.
    var index: UInt64 = 0
    let full = UInt64(TileAddress.fullWidth)
    while tree.size < size {
      let address = TileAddress(kind: .hashes(level: 0), index: index, width: Int(min(size - tree.size, full)))
      for hash in try tiles.hashes(of: address) { tree.append(LeafHash(hash)) }
      index += 1
    }
    return tree
  }

  mutating func checkTail() {
    let count = report.unsignedTail
    let torn =
      tornBytes > 0 ? "; \(tornBytes) bytes after the last newline are a line that was never completed" : ""
    if count == 0, tornBytes == 0 {
      note(.unsignedTail, .passed, detail: "every entry is under the checkpoint")
    } else {
      note(
        .unsignedTail, .notChecked, at: count > 0 ? "journal entry \(journal.size - count)" : LogLayout.journal,
        detail: "\(count) entries after the checkpoint are chained but not signed yet\(torn)")
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
