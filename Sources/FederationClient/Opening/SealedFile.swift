import Cryptography
import Federation
import Foundation
import SecureAggregation
import Synchronization
import TransparencyLog

/// A file of sealed secrets that is read: its header by anybody, the rest with the auditor's key.
struct SealedFile: Sendable {
  let path: String
  let header: SealedHeader
  private let offset: UInt64

  /// Reads the header and holds the file's length against it.
  ///
  /// - Throws: ``OpeningError``: `missingSecrets`, `malformedSecrets`, `secretsTruncated`, `unreadable`.
  init(path: String) throws(OpeningError) {
    self.path = path
    let descriptor = try Self.open(path)
    defer { close(descriptor) }
    let size = try Self.wrap(path) { () throws(TransparencyLogError) in
      try DurableFile.regularFileSize(descriptor, path: path)
    }
    let length = try Self.read(4, descriptor, path).reduce(0) { $0 << 8 | Int($1) }
    guard (1...SealedHeader.maximumByteCount).contains(length) else { throw .malformedSecrets(path: path) }
    let bytes = try Self.read(length, descriptor, path)
    guard let header = try? SealedHeader(decoding: bytes) else { throw .malformedSecrets(path: path) }
    guard size == header.fileByteCount else {
      throw .secretsTruncated(path: path, expected: header.fileByteCount, found: size)
    }
    self.header = header
    offset = UInt64(4 + length)
  }

  /// Unseals what the header announces, all but the term, which is read as it is asked for.
  ///
  /// - Throws: ``OpeningError``: `pastWindow`, `otherAuditor`, `secretsAltered`, `malformedSecrets`, `unreadable`.
  func unseal(with key: borrowing AuditorKeyPair, at moment: Int64) throws(OpeningError) -> UnsealedSecrets {
    guard moment < header.until else { throw .pastWindow(path: path, until: header.until) }
    guard header.auditor == key.publicKey.digest else { throw .otherAuditor(path: path) }
    let descriptor = try Self.open(path)
    guard lseek(descriptor, off_t(offset), SEEK_SET) == off_t(offset) else {
      close(descriptor)
      throw .unreadable(path: path, reason: String(cString: strerror(errno)))
    }
    var reader: UnsealedReader
    do throws(OpeningError) {
      let prefix = try Self.read(SealedStream.prefixByteCount, descriptor, path)
      do throws(CryptographyError) {
        reader = UnsealedReader(
          path: path, descriptor: descriptor,
          stream: try SealedStreamReader(prefix: prefix, key: key, associatedData: header.associatedData))
      } catch { throw .secretsAltered(path: path) }
    } catch {
      close(descriptor)
      throw error
    }
    let subject = try reader.read(header.subjectByteCount)
    let secrets = try reader.read(MaskingSecrets.byteCount)
    let salt = try reader.read(TermCommitting.saltByteCount)
    let decoded: SealedSubject
    do throws(CryptographyError) {
      decoded = try SealedSubject(decoding: subject.withUnsafeBytes { Array($0) })
    } catch { throw .malformedSecrets(path: path) }
    return UnsealedSecrets(
      subject: decoded, secrets: secrets, salt: salt,
      term: UnsealedTerm(reader: reader, tensorCount: header.tensorCount, counterCount: header.counterCount))
  }

  private static func open(_ path: String) throws(OpeningError) -> Int32 {
    let descriptor = Foundation.open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK)
    guard descriptor >= 0 else {
      if errno == ENOENT || errno == ENOTDIR { throw .missingSecrets(path: path) }
      throw .unreadable(path: path, reason: String(cString: strerror(errno)))
    }
    return descriptor
  }

  /// Exactly so many bytes.
  private static func read(_ count: Int, _ descriptor: Int32, _ path: String) throws(OpeningError) -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: count)
    let found = try wrap(path) { () throws(TransparencyLogError) in
      try DurableFile.read(descriptor, into: &bytes, path: path)
    }
    guard found == count else { throw .malformedSecrets(path: path) }
    return bytes
  }

  private static func wrap<Value>(
    _ path: String, _ body: () throws(TransparencyLogError) -> Value
  ) throws(OpeningError) -> Value {
    do throws(TransparencyLogError) { return try body() } catch {
      throw .unreadable(path: path, reason: error.message)
    }
  }
}

/// What a file held, for as long as it is looked at.
struct UnsealedSecrets: ~Copyable {
  let subject: SealedSubject
  /// z ‖ b
  let secrets: SecretBytes
  let salt: SecretBytes
  let term: UnsealedTerm
}

/// Reads the plaintext of a sealed stream in order.
struct UnsealedReader: ~Copyable, Sendable {
  private let path: String
  private let descriptor: Int32
  private var stream: SealedStreamReader
  private var buffer = SecretBytes(count: SealedStream.chunkByteCount)
  /// What of the buffer was not read yet.
  private var rest = 0..<0

  /// - Parameter descriptor: stands behind the stream's prefix, and is closed with the reader.
  init(path: String, descriptor: Int32, stream: consuming SealedStreamReader) {
    self.path = path
    self.descriptor = descriptor
    self.stream = stream
  }

  deinit { close(descriptor) }

  /// The next bytes.
  ///
  /// - Throws: as ``read(into:)``.
  mutating func read(_ count: Int) throws(OpeningError) -> SecretBytes {
    var bytes = SecretBytes(count: count)
    try bytes.withUnsafeMutableBytes { (space) throws(OpeningError) in try read(into: space) }
    return bytes
  }

  /// Fills the space with the next bytes.
  ///
  /// - Throws: ``OpeningError/secretsAltered(path:)``, also if there are too few; ``OpeningError/unreadable(path:reason:)``.
  mutating func read(into space: UnsafeMutableRawBufferPointer) throws(OpeningError) {
    var filled = 0
    while filled < space.count {
      if rest.isEmpty {
        try refill()
        guard !rest.isEmpty else { throw .secretsAltered(path: path) }
      }
      let piece = rest.prefix(space.count - filled)
      buffer.withUnsafeBytes { bytes in
        UnsafeMutableRawBufferPointer(rebasing: space[filled...]).copyMemory(
          from: UnsafeRawBufferPointer(rebasing: bytes[piece]))
      }
      rest = piece.endIndex..<rest.upperBound
      filled += piece.count
    }
  }

  /// That the stream ends here, with its last chunk.
  mutating func finish() throws(OpeningError) {
    if rest.isEmpty, !stream.isFinished { try refill() }
    guard stream.isFinished, rest.isEmpty else { throw .secretsAltered(path: path) }
  }

  private mutating func refill() throws(OpeningError) {
    var box = [UInt8](repeating: 0, count: SealedStream.chunkByteCount + SealedStream.chunkOverhead)
    do throws(TransparencyLogError) {
      let found = try DurableFile.read(descriptor, into: &box, path: path)
      box.removeLast(box.count - found)
    } catch { throw .unreadable(path: path, reason: error.message) }
    do throws(CryptographyError) { rest = 0..<(try stream.open(box, into: &buffer)) } catch {
      throw .secretsAltered(path: path)
    }
  }
}

/// A term that is unsealed while it is read, once and in order. After a failure it gives zeros, and says so when asked.
final class UnsealedTerm: TermSource {
  private struct Progress: ~Copyable {
    var reader: UnsealedReader
    var words = 0
    var failure: OpeningError?

    init(reader: consuming UnsealedReader) { self.reader = reader }
  }

  let tensorCount: Int
  let counterCount: Int
  private let progress: Mutex<Progress>

  init(reader: consuming UnsealedReader, tensorCount: Int, counterCount: Int) {
    progress = Mutex(Progress(reader: reader))
    self.tensorCount = tensorCount
    self.counterCount = counterCount
  }

  func copyTensors(_ range: Range<Int>, into buffer: UnsafeMutableBufferPointer<UInt32>) {
    copy(range.lowerBound, UnsafeMutableBufferPointer(rebasing: buffer[..<range.count]))
  }

  func copyCounters(_ range: Range<Int>, into buffer: UnsafeMutableBufferPointer<UInt64>) {
    copy(tensorCount + range.lowerBound, UnsafeMutableBufferPointer(rebasing: buffer[..<range.count]))
  }

  /// - Throws: what went wrong so far while the term was read; what was made of it is to be thrown away then.
  func requireRead() throws(OpeningError) {
    if let failure = progress.withLock({ $0.failure }) { throw failure }
  }

  /// - Throws: as ``requireRead()``, and if the term does not end here.
  func finish() throws(OpeningError) {
    try requireRead()
    try progress.withLock { (progress: inout Progress) throws(OpeningError) in try progress.reader.finish() }
  }

  private func copy<Word: FixedWidthInteger>(_ first: Int, _ words: UnsafeMutableBufferPointer<Word>) {
    // The compiler holds that what the lock guards might keep the pointer; it is the caller's, and only used in this call.
    nonisolated(unsafe) let words = words
    progress.withLock { progress in
      let bytes = UnsafeMutableRawBufferPointer(words)
      do throws(OpeningError) {
        if let failure = progress.failure { throw failure }
        guard progress.words == first else { throw .secretsReadOutOfOrder }
        try progress.reader.read(into: bytes)
        for index in words.indices { words[index] = Word(littleEndian: words[index]) }
        progress.words += words.count
      } catch {
        progress.failure = progress.failure ?? error
        for index in bytes.indices { bytes[index] = 0 }
      }
    }
  }
}
