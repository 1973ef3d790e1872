import Cryptography
import Foundation
import TransparencyLog

/// Reads a journal line by line in flat memory, the sealed segments first: one buffer, whatever the length.
///
/// A line that ends with the file is not one yet: it is left out, as a crash or another process that is appending leaves
/// it. The log may go on, and segments may be sealed, while it is read.
final class JournalScanner {
  /// A line in place; its bytes are valid until the next call.
  struct RawLine {
    /// Without the newline; nil with a `defect`.
    let bytes: UnsafeRawBufferPointer?
    let defect: AuditLogError.EntryDefect?
    /// From the start of its file.
    let offset: UInt64
    /// Among `files`.
    let file: Int
  }

  struct Line {
    /// Without the newline; nil if the line is longer than an entry can be, or was cut off, and was skipped.
    let bytes: [UInt8]?
    let defect: AuditLogError.EntryDefect?
    let offset: UInt64
    /// Within the log's directory.
    let file: String
  }

  let segments: JournalSegments
  /// The names within the log's directory, the active journal last.
  let files: [String]
  /// The entry that the next line should be, by its place.
  private(set) var position: UInt64
  /// Bytes after the last newline, known at the end.
  private(set) var tornBytes: UInt64 = 0
  /// Lines at the beginning of the active journal that a sealed segment holds as well: sealing was interrupted.
  private(set) var repeatedLines: UInt64 = 0
  /// Where the next line begins in its file.
  private(set) var offset: UInt64 = 0

  private let directory: String
  private let active: Int32
  private var descriptor: Int32 = -1
  private var file = 0
  private let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 19, alignment: 64)
  private var filled = 0
  private var place = 0
  private var isAtEnd = false

  /// - Parameter start: begins with the file that holds this entry, the active journal if no segment does.
  /// - Throws: `noJournal`, `storage`.
  init(directory: String, from start: UInt64 = 0) throws(AuditLogError) {
    self.directory = directory
    let path = "\(directory)/\(LogLayout.journal)"
    // Before the segments are listed: what is sealed in between is then in both, and skipped.
    // Non-blocking, so that a named pipe in the journal's place cannot hold us.
    let descriptor = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK)
    let code = errno
    let listed: Result<JournalSegments, TransparencyLogError> = Result { () throws(TransparencyLogError) in
      guard descriptor >= 0 else { throw .fileOperation(.open, path: path, code: code) }
      _ = try DurableFile.regularFileSize(descriptor, path: path)
      return try JournalSegments(listing: directory)
    }
    switch listed {
    case .failure(let error):
      if descriptor >= 0 { close(descriptor) }
      buffer.deallocate()
      if descriptor < 0, code == ENOENT || code == ENOTDIR { throw .noJournal(path: path) }
      throw .storage(error)
    case .success(let segments):
      active = descriptor
      self.segments = segments
      files = segments.sealed.map(\.path) + [LogLayout.journal]
      file = segments.sealed.firstIndex { $0.last >= start } ?? segments.sealed.count
      position = file < segments.sealed.count ? segments.sealed[file].first : segments.end
    }
    try openFile()
  }

  deinit {
    buffer.deallocate()
    if descriptor >= 0, descriptor != active { close(descriptor) }
    if active >= 0 { close(active) }
  }

  /// The next whole line, or nil at the end.
  ///
  /// - Throws: `segmentMissing`, once for each gap; the following call goes on after it. `storage`.
  func next() throws(AuditLogError) -> Line? {
    guard let line = try nextRaw() else { return nil }
    return Line(
      bytes: line.bytes.map { Array($0) }, defect: line.defect, offset: line.offset, file: files[line.file])
  }

  /// As `next`, without a copy.
  func nextRaw() throws(AuditLogError) -> RawLine? {
    while true {
      if let line = try lineOfFile() {
        position += 1
        return line
      }
      guard file < segments.sealed.count else { return nil }
      file += 1
      let expected = position
      try openFile()
      if file < segments.sealed.count, segments.sealed[file].first > segments.sealed[file - 1].last + 1 {
        position = segments.sealed[file].first
        throw .segmentMissing(path: "\(directory)/\(LogLayout.segments)", sequence: expected)
      }
    }
  }

  private var isSealed: Bool { file < segments.sealed.count }

  private func openFile() throws(AuditLogError) {
    if descriptor >= 0, descriptor != active { close(descriptor) }
    descriptor = -1
    filled = 0
    place = 0
    offset = 0
    isAtEnd = false
    guard isSealed else {
      descriptor = active
      try skipRepeated()
      return
    }
    let path = "\(directory)/\(files[file])"
    let opened = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK)
    guard opened >= 0 else { throw .storage(.fileOperation(.open, path: path, code: errno)) }
    descriptor = opened
    do { _ = try DurableFile.regularFileSize(opened, path: path) } catch { throw .storage(error) }
  }

  /// Between the sealing of a segment and the shortening of the active journal, entries are in both.
  private func skipRepeated() throws(AuditLogError) {
    guard let oldest = segments.sealed.first?.first else { return }
    // Looks at the first line, and goes back.
    let first = try lineOfFile().flatMap { line in line.bytes.flatMap { try? AuditRecord(entry: $0) } }
    if let sequence = first?.sequence, sequence >= oldest, sequence < segments.end {
      repeatedLines = segments.end - sequence
    }
    guard repeatedLines > 0 else {
      guard lseek(descriptor, 0, SEEK_SET) == 0 else {
        throw .storage(.fileOperation(.read, path: "\(directory)/\(files[file])", code: errno))
      }
      filled = 0
      place = 0
      offset = 0
      tornBytes = 0
      isAtEnd = false
      return
    }
    for _ in 1..<repeatedLines { guard try lineOfFile() != nil else { break } }
  }

  /// The next line of the file, or nil at its end.
  private func lineOfFile() throws(AuditLogError) -> RawLine? {
    var skipped: UInt64 = 0
    while true {
      let rest = UnsafeRawBufferPointer(rebasing: buffer[place..<filled])
      if let start = rest.baseAddress, let newline = memchr(start, 0x0A, rest.count) {
        let count = UnsafeRawPointer(newline) - start
        let bytes = UnsafeRawBufferPointer(rebasing: rest[..<count])
        return line(bytes, skipped: skipped, isWhole: true)
      }
      if isAtEnd {
        let length = skipped + UInt64(rest.count)
        if length == 0 { return nil }
        if isSealed { return line(rest, skipped: skipped, isWhole: false) }
        // What was skipped is not there any more when the end is asked for again.
        tornBytes = max(tornBytes, length)
        return nil
      }
      if rest.count > AuditRecord.maximumBytes {
        skipped += UInt64(rest.count)
        place = filled
      }
      try fill()
    }
  }

  private func line(_ bytes: UnsafeRawBufferPointer, skipped: UInt64, isWhole: Bool) -> RawLine {
    let start = offset
    let length = UInt64(bytes.count) + (isWhole ? 1 : 0)
    place += Int(length)
    offset += skipped + length
    let isTooLong = skipped > 0 || bytes.count > AuditRecord.maximumBytes
    let defect: AuditLogError.EntryDefect? = isTooLong ? .tooLong : isWhole ? nil : .torn
    return RawLine(bytes: defect == nil ? bytes : nil, defect: defect, offset: start, file: file)
  }

  private func fill() throws(AuditLogError) {
    let rest = filled - place
    if rest > 0, place > 0, let base = buffer.baseAddress { memmove(base, base + place, rest) }
    place = 0
    filled = rest
    let space = UnsafeMutableRawBufferPointer(rebasing: buffer[rest...])
    do {
      let count = try DurableFile.read(descriptor, into: space, path: "\(directory)/\(files[file])")
      filled += count
      isAtEnd = count < space.count
    } catch { throw .storage(error) }
  }
}
