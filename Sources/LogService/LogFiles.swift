import Foundation
import TransparencyLog

/// An open regular file, to be read from its beginning to the length it had when it was opened.
final class OpenFile: Sendable {
  let length: Int
  private let descriptor: Int32

  init(descriptor: Int32, length: Int) {
    self.descriptor = descriptor
    self.length = length
  }

  deinit { close(descriptor) }

  /// At most `count` bytes from `offset`; none at the end.
  func read(offset: Int, count: Int) throws -> [UInt8] {
    var failure: Int32 = 0
    let bytes = [UInt8](unsafeUninitializedCapacity: count) { space, initialized in
      var read = pread(descriptor, space.baseAddress, count, off_t(offset))
      while read < 0, errno == EINTR { read = pread(descriptor, space.baseAddress, count, off_t(offset)) }
      if read < 0 { failure = errno }
      initialized = max(0, read)
    }
    guard failure == 0 else { throw POSIXError(POSIXErrorCode(rawValue: failure) ?? .EIO) }
    return bytes
  }
}

/// The public files of a log's directory: its checkpoint, tiles and entry bundles, and nothing else that lies there.
///
/// A path is one of a tile exactly as C2SP tlog-tiles writes it, or there is no such file: nothing is decoded, no dots,
/// no empty parts. Every step is opened by itself and without following links, so that no link in the directory leads
/// out of it.
struct LogFiles: Sendable {
  enum Resource: Hashable, Sendable {
    case checkpoint
    case tile(TileAddress)

    /// - Parameter path: the target of a request, as it came.
    init?(path: String) {
      guard path.utf8.first == UInt8(ascii: "/") else { return nil }
      let name = String(path.dropFirst())
      if name.utf8.elementsEqual("checkpoint".utf8) {
        self = .checkpoint
      } else if let address = try? TileAddress(path: name) {
        self = .tile(address)
      } else {
        return nil
      }
    }

    var path: String {
      switch self {
      case .checkpoint: "checkpoint"
      case .tile(let address): address.path
      }
    }

    var contentType: String {
      switch self {
      case .checkpoint: "text/plain; charset=utf-8"
      case .tile: "application/octet-stream"
      }
    }

    /// What is named by its place and width never changes; the checkpoint does.
    var cacheControl: String {
      switch self {
      case .checkpoint: "no-store"
      case .tile: "public, max-age=31536000, immutable"
      }
    }
  }

  /// A full bundle of entries of the greatest length.
  static let maximumBytes = TileAddress.fullWidth * (TileBuilder.maximumEntryBytes + 2)

  /// Of the log itself.
  let directory: String

  /// The file, or nil if there is none that is regular and of a possible length.
  func open(_ resource: Resource) -> OpenFile? {
    // The directory is the operator's own word and may be a link.
    var current = Foundation.open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    guard current >= 0 else { return nil }
    let parts = resource.path.split(separator: "/").map(String.init)
    for part in parts.dropLast() {
      let next = openat(current, part, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
      close(current)
      guard next >= 0 else { return nil }
      current = next
    }
    // Non-blocking, so that a named pipe in the place of a file cannot hold us.
    let file = openat(current, parts[parts.count - 1], O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK)
    close(current)
    guard file >= 0 else { return nil }
    var status = stat()
    guard fstat(file, &status) == 0, status.st_mode & S_IFMT == S_IFREG,
      (0...Self.maximumBytes).contains(Int(status.st_size))
    else {
      close(file)
      return nil
    }
    return OpenFile(descriptor: file, length: Int(status.st_size))
  }
}
