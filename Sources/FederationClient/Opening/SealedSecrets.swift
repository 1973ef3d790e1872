import Cryptography
import Federation
import Foundation
import SecureAggregation
import TransparencyLog

/// What a file of sealed secrets says in the clear: enough to know which masked input it opens, and until when.
///
/// Layout of a file: 4 bytes big-endian, the length of the header; the header, canonical; the sealed key and the header of
/// the stream; sealed chunks. Within the stream, whose every chunk is bound to the header: ``SealedSubject``, z, b, the
/// salt, then the term, 4 bytes a coordinate and 8 a counter, little-endian.
struct SealedHeader: Hashable, Sendable {
  static let maximumByteCount = 4096
  private static let label = "bauta/v1/sealed-secrets"

  let organization: OrganizationName
  let opening: OpeningIdentifier
  let context: ContextDigest
  let commitment: TermCommitment
  /// Of the auditor's public key.
  let auditor: SHA256Digest
  /// Seconds since 1970.
  let sealedAt: Int64
  /// From this moment on nobody may open it, and the client erases it.
  let until: Int64
  let subjectByteCount: Int
  let tensorCount: Int
  let counterCount: Int

  /// Bytes in the stream.
  var plaintextByteCount: Int {
    subjectByteCount + MaskingSecrets.byteCount + TermCommitting.saltByteCount + 4 * tensorCount + 8 * counterCount
  }

  /// Bytes of the whole file.
  var fileByteCount: Int { 4 + encoded().count + SealedStream.byteCount(plaintext: plaintextByteCount) }

  /// What every chunk is bound to.
  var associatedData: [UInt8] { SHA256Digest(hashing: encoded()).bytes }

  func encoded() -> [UInt8] {
    var encoder = CanonicalEncoder(Self.label)
    encoder.append(organization.value)
    encoder.append(opening.run.text)
    encoder.append(opening.task.rawValue)
    encoder.append(UInt64(opening.round))
    encoder.append(UInt64(opening.attempt))
    encoder.append(context)
    encoder.append(commitment)
    encoder.append(auditor)
    encoder.append(sealedAt)
    encoder.append(until)
    encoder.append(UInt64(subjectByteCount))
    encoder.append(UInt64(tensorCount))
    encoder.append(UInt64(counterCount))
    return encoder.finish()
  }
}

extension SealedHeader {
  /// - Throws: `CryptographyError`, `FederationError`; every count is bounded.
  init(decoding bytes: [UInt8]) throws {
    var decoder = try CanonicalDecoder(bytes, label: Self.label)
    organization = try OrganizationName(try decoder.string(maximum: OrganizationName.maximumByteCount))
    let run = try RunIdentifier(try decoder.string(maximum: RunIdentifier.maximumBytes))
    guard let task = TaskKind(rawValue: try decoder.string(maximum: 64)) else { throw CryptographyError.malformedField }
    func count(_ maximum: Int) throws(CryptographyError) -> Int {
      guard let value = Int(exactly: try decoder.uint64()), value <= maximum else { throw .malformedField }
      return value
    }
    opening = OpeningIdentifier(run: run, task: task, round: try count(1 << 20), attempt: try count(1 << 20))
    context = try decoder.digest()
    commitment = try decoder.digest()
    auditor = try decoder.digest()
    sealedAt = try decoder.int64()
    until = try decoder.int64()
    subjectByteCount = try count(SealedSubject.maximumByteCount)
    tensorCount = try count(AggregationParameters.maximumTensorCount)
    counterCount = try count(AggregationParameters.maximumCounterCount)
    try decoder.finish()
  }
}

/// From what the context of a masked input follows, and what its members know of the attempt. Nothing of it is secret; it
/// is sealed all the same, so that the file tells nobody else what it opens.
struct SealedSubject: Equatable, Sendable {
  static let maximumByteCount = MaskedInputEvidence.maximumByteCount + (8 << 20)
  private static let label = "bauta/v1/sealed-subject"
  private static let maximumPlanByteCount = 1 << 20

  /// The note of the run's manifest.
  var manifest: [UInt8]
  var plan: String
  var features: [String]
  var cohort: [OrganizationName]
  var model: ModelHash
  /// Number of the instruction that the message answers: part of its envelope.
  var answers: UInt64
  /// Of ``SecureAggregation/MaskedInputEvidence``.
  var evidence: [UInt8]

  func encoded() -> [UInt8] {
    var encoder = CanonicalEncoder(Self.label)
    encoder.append(manifest)
    encoder.append(plan)
    encoder.append(list: features) { (encoder: inout CanonicalEncoder, name: String) in encoder.append(name) }
    encoder.append(list: cohort) { (encoder: inout CanonicalEncoder, name: OrganizationName) in
      encoder.append(name.value)
    }
    encoder.append(model)
    encoder.append(answers)
    encoder.append(evidence)
    return encoder.finish()
  }
}

extension SealedSubject {
  /// - Throws: `CryptographyError`.
  init(decoding bytes: [UInt8]) throws(CryptographyError) {
    var decoder = try CanonicalDecoder(bytes, label: Self.label)
    manifest = try decoder.bytes(maximum: SignedManifest.maximumBytes)
    plan = try decoder.string(maximum: Self.maximumPlanByteCount)
    features = try decoder.list(maximum: RunPlan.maximumFeatures) {
      (decoder: inout CanonicalDecoder) throws(CryptographyError) in
      try decoder.string(maximum: RunPlan.maximumFeatureNameBytes)
    }
    cohort = try decoder.list(maximum: Manifest.maximumOrganizations) {
      (decoder: inout CanonicalDecoder) throws(CryptographyError) in
      try OrganizationName(try decoder.string(maximum: OrganizationName.maximumByteCount))
    }
    model = try decoder.digest()
    answers = try decoder.uint64()
    evidence = try decoder.bytes(maximum: MaskedInputEvidence.maximumByteCount)
    try decoder.finish()
  }
}

/// Writes one file of sealed secrets: whole and on disk, or not at all.
struct SealedFileWriter: ~Copyable {
  private let path: String
  private let temporary: String
  private let descriptor: Int32
  private var stream: SealedStreamWriter
  private var buffer = SecretBytes(count: SealedStream.chunkByteCount)
  private var filled = 0

  /// Memory: two chunks, whatever the length of the term.
  ///
  /// - Throws: ``ClientError/storage(_:)``; nothing is left behind then.
  static func write(
    _ header: SealedHeader, subject: [UInt8], secrets: borrowing MaskingSecrets, salt: borrowing SecretBytes,
    term: some TermSource, to auditor: AuditorPublicKey, path: String
  ) throws(ClientError) {
    let temporary = path + DurableFile.temporarySuffix
    unlink(temporary)
    let descriptor = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0o600)
    guard descriptor >= 0 else { throw .storage(.init(path: path, reason: String(cString: strerror(errno)))) }
    let encoded = header.encoded()
    let length = withUnsafeBytes(of: UInt32(encoded.count).bigEndian) { Array($0) }
    var writer = SealedFileWriter(
      path: path, temporary: temporary, descriptor: descriptor,
      stream: SealedStreamWriter(to: auditor, associatedData: header.associatedData))
    do throws(ClientError) {
      try write(length + encoded + writer.stream.prefix, descriptor, path)
      try subject.withUnsafeBytesTyped { (bytes) throws(ClientError) in try writer.append(bytes) }
      try secrets.encoded().withUnsafeBytes { (bytes) throws(ClientError) in try writer.append(bytes) }
      try salt.withUnsafeBytes { (bytes) throws(ClientError) in try writer.append(bytes) }
      try term.forEachPiece { (bytes) throws(ClientError) in try writer.append(bytes) }
      try writer.finish()
    } catch {
      writer.abandon()
      throw error
    }
    writer.end()
  }

  private init(path: String, temporary: String, descriptor: Int32, stream: consuming SealedStreamWriter) {
    self.path = path
    self.temporary = temporary
    self.descriptor = descriptor
    self.stream = stream
  }

  private mutating func append(_ bytes: UnsafeRawBufferPointer) throws(ClientError) {
    var rest = bytes[...]
    while !rest.isEmpty {
      // Only when more comes is it known that a full chunk is not the last.
      if filled == buffer.count { try flush(isLast: false) }
      let piece = UnsafeRawBufferPointer(rebasing: rest.prefix(buffer.count - filled))
      let start = filled
      buffer.withUnsafeMutableBytes { UnsafeMutableRawBufferPointer(rebasing: $0[start...]).copyMemory(from: piece) }
      filled += piece.count
      rest = rest.dropFirst(piece.count)
    }
  }

  private mutating func flush(isLast: Bool) throws(ClientError) {
    let count = filled
    var box: [UInt8] = []
    buffer.withUnsafeBytes { bytes in
      box = stream.seal(UnsafeRawBufferPointer(rebasing: bytes[..<count]), isLast: isLast)
    }
    filled = 0
    try Self.write(box, descriptor, path)
  }

  private mutating func finish() throws(ClientError) {
    try flush(isLast: true)
    do throws(TransparencyLogError) {
      try DurableFile.synchronize(descriptor, path: temporary)
      guard rename(temporary, path) == 0 else { throw .fileOperation(.rename, path: path, code: errno) }
      try DurableFile.synchronizeDirectory(DurableFile.parent(of: path))
    } catch { throw .storage(.init(path: path, reason: error.message)) }
  }

  private borrowing func end() { close(descriptor) }

  private borrowing func abandon() {
    close(descriptor)
    unlink(temporary)
    unlink(path)
  }

  private static func write(_ bytes: [UInt8], _ descriptor: Int32, _ path: String) throws(ClientError) {
    do throws(TransparencyLogError) { try DurableFile.write(bytes, to: descriptor, path: path) } catch {
      throw .storage(.init(path: path, reason: error.message))
    }
  }
}

extension [UInt8] {
  /// The standard library's accessor does not carry a typed error through.
  func withUnsafeBytesTyped<E: Error>(_ body: (UnsafeRawBufferPointer) throws(E) -> Void) throws(E) {
    let result: Result<Void, E> = withUnsafeBytes { bytes in
      do throws(E) { return .success(try body(bytes)) } catch { return .failure(error) }
    }
    try result.get()
  }
}
