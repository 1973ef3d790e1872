import Cryptography
import Federation
import FederationWire
import Foundation
import SecureAggregation
import Synchronization

/// Long masked inputs on disk, one file an organisation, until each is complete and its hash was checked.
///
/// So an organisation that is lost in the middle of an upload leaves no trace in the sum, and the server's memory does
/// not depend on how many upload at a time. Only members of U2 of the attempt that is going on may upload, each at most
/// the bytes of one masked input.
final class MaskedInputSpools: Sendable {
  private struct Upload {
    let path: String
    let file: FileHandle
    var count = 0
  }

  private struct Attempt {
    let opening: OpeningIdentifier
    let members: Set<OrganizationName>
    let byteCount: Int
    var uploads: [OrganizationName: Upload] = [:]
  }

  private let directory: String
  private let attempt = Mutex<Attempt?>(nil)

  /// - Parameter directory: made when it is needed, and emptied after each attempt.
  init(directory: String) { self.directory = directory }

  /// Takes uploads of an attempt from now on.
  ///
  /// - Throws: ``ServerError/directory(path:reason:)``.
  func open(
    _ opening: OpeningIdentifier, members: some Sequence<OrganizationName>, byteCount: Int
  ) throws(ServerError) {
    close()
    do {
      try FileManager.default.createDirectory(
        atPath: directory, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
    } catch { throw .directory(path: directory, reason: error.localizedDescription) }
    attempt.withLock { $0 = Attempt(opening: opening, members: Set(members), byteCount: byteCount) }
  }

  /// Stores the next segment of an organisation's masked input.
  ///
  /// One that is stored already is acknowledged again, one that would leave a gap is not taken; the answer says where to
  /// go on. Never more than one masked input a member.
  func store(_ segment: MaskedInputSegment, from organization: OrganizationName) -> StoredBytes {
    attempt.withLock { attempt in
      guard let current = attempt, current.opening == segment.opening, current.members.contains(organization),
        var upload = current.uploads[organization] ?? begin(organization)
      else { return StoredBytes(count: 0, isOpen: false) }
      if segment.offset == UInt64(upload.count), segment.bytes.count <= current.byteCount - upload.count {
        do { try upload.file.write(contentsOf: segment.bytes) } catch {
          // A full disk: the member is a dropout of this attempt, the others are not. A part that was written goes, or what
          // follows would be taken for the member's fault.
          try? upload.file.truncate(atOffset: UInt64(upload.count))
          attempt?.uploads[organization] = upload
          return StoredBytes(count: UInt64(upload.count), isOpen: false)
        }
        upload.count += segment.bytes.count
      }
      attempt?.uploads[organization] = upload
      return StoredBytes(count: UInt64(upload.count), isOpen: segment.offset <= UInt64(upload.count))
    }
  }

  /// Whether a segment is the one that follows what a member has uploaded: full, or the last.
  func isNext(_ segment: MaskedInputSegment, of organization: OrganizationName) -> Bool {
    attempt.withLock { attempt in
      guard let attempt, attempt.opening == segment.opening, attempt.members.contains(organization) else {
        return false
      }
      let count = attempt.uploads[organization]?.count ?? 0
      let expected = min(WireLimits.segmentBytes, attempt.byteCount - count)
      return segment.offset == UInt64(count) && segment.bytes.count == expected
    }
  }

  /// The complete upload of a member in the attempt that is going on.
  func body(of organization: OrganizationName, in opening: OpeningIdentifier) -> SpooledBody? {
    attempt.withLock { attempt in
      guard let attempt, attempt.opening == opening, let upload = attempt.uploads[organization],
        upload.count == attempt.byteCount
      else { return nil }
      return SpooledBody(path: upload.path, byteCount: upload.count)
    }
  }

  /// Frees the disk of an upload that was added to the sum.
  func remove(_ organization: OrganizationName) {
    attempt.withLock { attempt in
      guard let upload = attempt?.uploads[organization] else { return }
      try? upload.file.truncate(atOffset: 0)
    }
  }

  /// Takes no more uploads, and removes what is there.
  func close() {
    attempt.withLock { attempt in
      for upload in attempt.map({ Array($0.uploads.values) }) ?? [] {
        try? upload.file.close()
        try? FileManager.default.removeItem(atPath: upload.path)
      }
      attempt = nil
    }
  }

  private func begin(_ organization: OrganizationName) -> Upload? {
    // A name is made of letters, digits, hyphens and dots, so it is a file name.
    let path = "\(directory)/\(organization.value)"
    guard FileManager.default.createFile(atPath: path, contents: nil, attributes: [.posixPermissions: 0o600]),
      let file = FileHandle(forWritingAtPath: path)
    else { return nil }
    return Upload(path: path, file: file)
  }
}

/// A masked input in a file.
struct SpooledBody: MaskedInputBody {
  static var canChange: Bool { true }
  private static let chunkByteCount = 1 << 18

  let path: String
  let byteCount: Int

  func forEachChunk(_ body: (UnsafeRawBufferPointer) throws -> Void) throws {
    guard let file = FileHandle(forReadingAtPath: path) else { throw CocoaError(.fileReadNoSuchFile) }
    defer { try? file.close() }
    while let chunk = try file.read(upToCount: Self.chunkByteCount), !chunk.isEmpty {
      try chunk.withUnsafeBytes(body)
    }
  }
}
