import Cryptography
import Foundation

/// The files of a witness: for each log the checkpoint that it cosigned last, and evidence.
///
/// | file | what |
/// |---|---|
/// | `lock` | held while a process uses the directory |
/// | `logs/SHA256` | the last checkpoint of the log whose origin has that hash, with the log's signatures and ours |
/// | `evidence/SHA256-KIND-…` | see ``WitnessEvidence``; of kind `notIncluded` a receipt and the checkpoint without it |
///
/// What one reads is believed only with this witness's own cosignature. That the whole directory was put back to an
/// earlier state cannot be seen from within: a witness that was restored from a copy must be given a new key.
struct WitnessStore: Sendable {
  /// Of each kind, for each log. The first ones tell the story; nobody fills a disk with the others.
  static let maximumEvidence = 16

  let path: String
  private let lock: LockFile

  /// - Throws: `locked`, `storage`.
  init(path: String) throws(WitnessError) {
    self.path = path
    do throws(TransparencyLogError) {
      try DurableFile.createDirectories(path, mode: 0o700)
      try DurableFile.createDirectories("\(path)/logs", mode: 0o700)
      try DurableFile.createDirectories("\(path)/evidence", mode: 0o700)
    } catch { throw .storage(error) }
    lock = try LockFile("\(path)/lock", directory: path)
  }

  /// The last checkpoint of a log; no file means that nothing was cosigned.
  ///
  /// - Throws: `damagedState` unless it is of this log and bears our own cosignature; `storage`.
  func state(
    origin: String, witness: NoteVerifierKey<WitnessKeyRole>
  ) throws(WitnessError) -> WitnessState {
    let file = statePath(origin)
    let read: [UInt8]?
    do { read = try DurableFile.read(file, maximum: WitnessRequest.maximumBytes + 1024) } catch {
      throw .storage(error)
    }
    guard let bytes = read else { return WitnessState() }
    guard let held = try? SignedCheckpoint(parsing: bytes), held.checkpoint.origin.utf8.elementsEqual(origin.utf8),
      case .valid = held.cosignature(by: witness)
    else { throw .damagedState(path: file) }
    return WitnessState(latest: held)
  }

  /// Puts a checkpoint on disk in the place of the one before. When it returns, a power failure cannot undo it.
  func record(_ checkpoint: SignedCheckpoint) throws(WitnessError) {
    do {
      try DurableFile.writeAtomically(
        checkpoint.serialized, to: statePath(checkpoint.checkpoint.origin), mode: 0o600)
    } catch { throw .storage(error) }
  }

  /// Keeps evidence, unless there is enough of its kind; the same pair is kept once.
  ///
  /// - Returns: the file, or nil if it was not kept.
  func keep(_ evidence: WitnessEvidence) throws(TransparencyLogError) -> String? {
    try keep(
      evidence.serialized, of: evidence.held.checkpoint.origin, kind: evidence.suspicion.rawValue,
      identifier: evidence.identifier)
  }

  /// Keeps evidence against a log under a name of its own; the same name is kept once.
  func keep(
    _ bytes: [UInt8], of origin: String, kind: String, identifier: String
  ) throws(TransparencyLogError) -> String? {
    let prefix = "\(Self.fileName(origin))-\(kind)-"
    let name = prefix + identifier
    let names = try DurableFile.names(in: "\(path)/evidence") ?? []
    if names.contains(name) { return "\(path)/evidence/\(name)" }
    let kept = names.count { $0.hasPrefix(prefix) && !$0.hasSuffix(DurableFile.temporarySuffix) }
    guard kept < Self.maximumEvidence else { return nil }
    let file = "\(path)/evidence/\(name)"
    try DurableFile.writeAtomically(bytes, to: file, mode: 0o600)
    return file
  }

  private func statePath(_ origin: String) -> String { "\(path)/logs/\(Self.fileName(origin))" }

  /// An origin may hold anything, slashes too.
  private static func fileName(_ origin: String) -> String {
    SHA256Digest(hashing: Array(origin.utf8)).hexadecimal
  }
}

/// An advisory lock, held as long as the value lives.
private final class LockFile: Sendable {
  private let descriptor: Int32

  init(_ path: String, directory: String) throws(WitnessError) {
    descriptor = open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0o600)
    guard descriptor >= 0 else { throw .storage(.fileOperation(.open, path: path, code: errno)) }
    guard flock(descriptor, LOCK_EX | LOCK_NB) == 0 else {
      if errno == EWOULDBLOCK { throw .locked(path: directory) }
      throw .storage(.fileOperation(.lock, path: path, code: errno))
    }
  }

  deinit {
    guard descriptor >= 0 else { return }
    // Closing alone leaves the lock with a process that is being started and has the descriptor for a moment too.
    flock(descriptor, LOCK_UN)
    close(descriptor)
  }
}
