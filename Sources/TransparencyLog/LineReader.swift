import Cryptography

/// Reads text line by line, each of a bounded length and ended by a newline, and what follows as it stands.
struct LineReader {
  enum HashLinesDefect: Error {
    /// The lines do not end in an empty one.
    case unterminated
    /// A line is not the base64 of 32 bytes.
    case malformed
    case tooMany
  }

  private let bytes: [UInt8]
  private var place = 0

  init(_ bytes: [UInt8]) {
    self.bytes = bytes
  }

  /// The next line without its newline; nil where there is none of at most `maximum` bytes, or it is not UTF-8.
  mutating func next(maximum: Int) -> String? {
    let end = min(bytes.count, place + maximum + 1)
    guard let newline = bytes[place..<end].firstIndex(of: 0x0A),
      let line = String(validating: bytes[place..<newline], as: UTF8.self)
    else { return nil }
    place = newline + 1
    return line
  }

  /// Hashes in base64, one a line, up to an empty line, which is read too.
  mutating func hashes(maximum: Int) throws(HashLinesDefect) -> [TreeHash] {
    var hashes: [TreeHash] = []
    while true {
      guard place < bytes.count else { throw .unterminated }
      guard let line = next(maximum: 44) else { throw .malformed }
      if line.isEmpty { return hashes }
      guard hashes.count < maximum else { throw .tooMany }
      guard let decoded = try? Base64.decode(line, maximum: TreeHash.byteCount),
        let hash = try? TreeHash(bytes: decoded)
      else { throw .malformed }
      hashes.append(hash)
    }
  }

  /// What has not been read.
  var rest: [UInt8] { Array(bytes[place...]) }

  /// What follows a word and a space, or nil if the line does not begin with them.
  static func value(of word: String, in line: String) -> String? {
    guard line.utf8.starts(with: "\(word) ".utf8) else { return nil }
    return String(decoding: line.utf8.dropFirst(word.utf8.count + 1), as: UTF8.self)
  }

  /// Hash lines and the empty line that ends them.
  static func text(of hashes: [TreeHash]) -> String {
    hashes.map { Base64.encode($0.bytes) + "\n" }.joined() + "\n"
  }
}
