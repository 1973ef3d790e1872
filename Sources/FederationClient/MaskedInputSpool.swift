import Cryptography
import Federation
import Foundation
import SecureAggregation

/// A masked input on disk, from its making until it is uploaded.
///
/// It is no secret: the server is about to be sent it. But only these bytes may ever leave for the attempt, so they are
/// on disk before the first of them is sent, and sent from there.
struct MaskedInputSpool: Sendable {
  let path: String
  let byteCount: Int

  /// Writes what `fill` hands out, in order, and brings it to disk.
  ///
  /// - Throws: ``ClientError/storage(_:)``, or what `fill` throws; nothing is left behind then.
  static func write(
    in directory: String, _ fill: ((UnsafeRawBufferPointer) throws -> Void) throws -> Void
  ) throws -> MaskedInputSpool {
    let path = directory + "/masked-input"
    do {
      try FileManager.default.createDirectory(
        atPath: directory, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
    } catch { throw ClientError.storage(.init(path: directory, reason: error.localizedDescription)) }
    guard FileManager.default.createFile(atPath: path, contents: nil, attributes: [.posixPermissions: 0o600]),
      let file = FileHandle(forWritingAtPath: path)
    else { throw ClientError.storage(.init(path: path, reason: "the file cannot be created")) }
    var count = 0
    do {
      try fill { chunk in
        do { try file.write(contentsOf: chunk) } catch {
          throw ClientError.storage(.init(path: path, reason: error.localizedDescription))
        }
        count += chunk.count
      }
      do {
        try file.synchronize()
        try file.close()
      } catch { throw ClientError.storage(.init(path: path, reason: error.localizedDescription)) }
    } catch {
      try? FileManager.default.removeItem(atPath: path)
      throw error
    }
    return MaskedInputSpool(path: path, byteCount: count)
  }

  /// At most `count` bytes from an offset.
  ///
  /// - Throws: ``ClientError/storage(_:)`` if there are none.
  func read(from offset: Int, count: Int) throws(ClientError) -> [UInt8] {
    do {
      guard let file = FileHandle(forReadingAtPath: path) else { throw CocoaError(.fileReadNoSuchFile) }
      defer { try? file.close() }
      try file.seek(toOffset: UInt64(offset))
      guard let bytes = try file.read(upToCount: min(count, byteCount - offset)), !bytes.isEmpty else {
        throw CocoaError(.fileReadCorruptFile)
      }
      return [UInt8](bytes)
    } catch { throw .storage(.init(path: path, reason: error.localizedDescription)) }
  }

  /// Once it is uploaded, or of no use any more.
  func remove() { try? FileManager.default.removeItem(atPath: path) }
}
