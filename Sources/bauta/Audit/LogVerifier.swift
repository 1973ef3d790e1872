import AuditLog
import Cryptography
import Federation
import FederationWire
import TransparencyLog

/// Verifies logs by their directories, and says from where the key came that it trusted.
enum LogVerifier {
  /// Where a log's verifier key comes from.
  enum KeySource: Sendable {
    /// A file beside the log: shows that both belong together, not whose they are.
    case besideLog
    case file(String)
    /// The key that a manifest names for the keeper of the log.
    case manifest(Manifest)
  }

  struct Result: Sendable {
    let directory: String
    let report: VerificationReport
    /// The key that the checkpoint was held against.
    let key: NoteVerifierKey<LogKeyRole>?
  }

  /// Witnesses that the auditor names beside the manifest's.
  struct Cosigners: Sendable {
    var witnesses: [NoteVerifierKey<WitnessKeyRole>] = []
    /// Nil: the manifest's quorum, or all of ``witnesses`` without one.
    var quorum: Int?
  }

  /// - Throws: `CommandError` if there is no such directory or key file; what the log's files hold is reported.
  static func verify(
    _ directory: String, key source: KeySource = .besideLog, cosigners: Cosigners = Cosigners()
  ) throws -> Result {
    try LocalFile.requireLogDirectory(directory)
    let text = try keyText(for: directory, source)
    let key = text.flatMap { try? NoteVerifierKey<LogKeyRole>($0) }
    let policy = Self.policy(source, cosigners, keeper: key?.name)
    let report = AuditVerifier.verify(logDirectory: directory, verifierKey: text, cosigners: policy)
    return Result(directory: directory, report: report, key: key)
  }

  /// - Parameter keeper: of the log, who is no witness of it.
  private static func policy(_ source: KeySource, _ cosigners: Cosigners, keeper: NoteKeyName?) -> CosignerPolicy? {
    guard case .manifest(let manifest) = source else {
      guard !cosigners.witnesses.isEmpty else { return nil }
      return CosignerPolicy(
        witnesses: cosigners.witnesses, quorum: cosigners.quorum ?? cosigners.witnesses.count)
    }
    let members = manifest.cosigners(ofLogOf: keeper)
    return CosignerPolicy(
      witnesses: members.witnesses + cosigners.witnesses,
      quorum: cosigners.quorum ?? max(members.quorum, cosigners.witnesses.count))
  }

  private static func keyText(for directory: String, _ source: KeySource) throws -> String? {
    switch source {
    case .besideLog: return try AuditVerifier.verifierKeyText(logDirectory: directory)
    case .file(let path): return String(decoding: try LocalFile.read(path, maximum: 512), as: UTF8.self)
    case .manifest(let manifest):
      // Whose log it claims to be decides which of the manifest's keys it must be signed with.
      guard let keeper = try AuditLogReader.keeper(of: directory) else {
        throw CommandError.unsuitable(
          path: directory,
          problem: "nothing in it says whose log it is: it has no entry that can be read, and no checkpoint",
          remedy: "Give the directory of a log, or of the organisation that keeps it.")
      }
      guard let member = manifest.member(named: keeper) else {
        throw CommandError.unsuitable(
          path: directory, problem: "the manifest does not name the keeper of this log, \(keeper)",
          remedy: "Give the manifest of the federation that the log's keeper is in.")
      }
      return member.logNoteKey.text
    }
  }
}
