import TransparencyLog

/// Reads a log once, from its first entry to its last, and keeps figures only.
///
/// While reading it makes the tree's root over the entries, so that a report can say whether the entries behind its
/// figures are the ones whose signature was checked.
public struct LogAnalysis: Hashable, Sendable {
  /// Whether the entries behind the figures are those that a checkpoint was signed over.
  public enum Tie: Hashable, Sendable {
    case same
    case differs
    case notChecked(reason: String)
  }

  public static let shownDefects = 10

  /// Of the records that the filter let pass.
  public let figures: LogFigures
  /// All entries that could be read, whatever the filter.
  public let entries: UInt64
  /// Whose log it is by its first entry, whatever the filter.
  public let keeper: String?
  /// The first entry that is still kept.
  public let firstEntry: UInt64?
  /// Lines that are not entries and segments that are missing, and the first of them in words.
  public let unreadable: UInt64
  public let defects: [String]
  public let tie: Tie

  /// - Parameters:
  ///   - directory: of the log, or of the organisation that keeps it.
  ///   - verification: what a verification of the same log found; its checkpoint is what entries are held against.
  /// - Throws: `noJournal`, `storage`; lines that are not entries and segments that are missing are counted.
  public init(
    directory: String, filter: AuditFilter = AuditFilter(), verification: VerificationReport? = nil
  ) throws(AuditLogError) {
    var reader = try AuditLogReader(directory: directory)
    var reading = Reading(signedSize: verification?.size)
    while true {
      do throws(AuditLogError) {
        guard let entry = try reader.next() else { break }
        reading.take(entry, filter)
      } catch {
        guard error.isSkipped else { throw error }
        reading.takeDefect(error.message)
      }
    }
    figures = reading.figures
    entries = reading.entries
    firstEntry = reading.firstEntry
    keeper = reading.keeper
    unreadable = reading.unreadable
    defects = reading.defects
    tie = reading.tie(to: verification)
  }
}

private struct Reading {
  let signedSize: UInt64?
  var figures = LogFigures()
  var entries: UInt64 = 0
  var firstEntry: UInt64?
  var keeper: String?
  var unreadable: UInt64 = 0
  var defects: [String] = []
  private var frontier = MerkleFrontier()
  private var rootAtSignedSize: TreeHash?
  /// Ends with the first entry that is not where it belongs.
  private var isContiguous = true

  init(signedSize: UInt64?) {
    self.signedSize = signedSize
    if signedSize == 0 { rootAtSignedSize = frontier.root }
  }

  mutating func take(_ entry: AuditLogReader.Entry, _ filter: AuditFilter) {
    firstEntry = firstEntry ?? entry.record.sequence
    keeper = keeper ?? entry.record.organization.value
    entries += 1
    if entry.record.sequence != frontier.size { isContiguous = false }
    if isContiguous, rootAtSignedSize == nil, let signedSize, frontier.size < signedSize {
      frontier.append(entry.leaf)
      if frontier.size == signedSize { rootAtSignedSize = frontier.root }
    } else if isContiguous {
      // Past the checkpoint: only the place matters.
      isContiguous = false
    }
    if filter.matches(entry.record) { figures.add(entry.record) }
  }

  mutating func takeDefect(_ text: String) {
    isContiguous = false
    unreadable += 1
    if defects.count < LogAnalysis.shownDefects { defects.append(text) }
  }

  func tie(to verification: VerificationReport?) -> LogAnalysis.Tie {
    guard let verification, let signed = verification.root,
      verification.checks.contains(where: { $0.name == .checkpoint && $0.result == .passed })
    else { return .notChecked(reason: "there is no checkpoint whose signature was checked") }
    if let rootAtSignedSize { return rootAtSignedSize == signed ? .same : .differs }
    if let firstEntry, firstEntry > 0 { return .notChecked(reason: "entries before \(firstEntry) are no longer kept") }
    return .differs
  }
}
