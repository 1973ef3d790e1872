import Cryptography
import Foundation

/// The file of one signing key: a single line
///
///     bauta/key/1 ROLE NAME SEED
///
/// with the role (`identity`, `log` or `witness`), the owner's name and the 32-byte Ed25519 seed in base64. Role and
/// name are checked on loading, so that files cannot be swapped by mistake. Mode 0600; a file that others can read is
/// refused. The seed passes from the file into locked memory and nowhere else.
enum KeyFile<Role: KeyRole> {
  private static var maximumBytes: Int { 512 }

  static func create(
    _ path: String, owner: OrganizationName, key: borrowing SigningKey<Role>
  ) throws(FederationError) {
    try key.withSeed { (seed) throws(FederationError) in
      try SecretLineFile.create(path, prefix: header(owner), secret: seed)
    }
  }

  /// - Throws: ``FederationError/file(_:)``.
  static func load(_ path: String, owner: OrganizationName) throws(FederationError) -> SigningKey<Role> {
    let line = try SecretLineFile.load(path, maximum: maximumBytes)
    let seed = try line.withUnsafeBytes { (line) throws(FederationError) in
      try parse(line, path: path, owner: owner)
    }
    do { return try SigningKey(seed: seed) } catch { throw .file(.key(path: path, .seed)) }
  }

  private static func header(_ owner: OrganizationName) -> String { "bauta/key/1 \(Role.name) \(owner) " }

  private static func parse(
    _ line: UnsafeRawBufferPointer, path: String, owner: OrganizationName
  ) throws(FederationError) -> SecretBytes {
    // Slices of the locked memory; only role and name are ever compared, and neither is secret.
    let fields = line.split(separator: 0x20, omittingEmptySubsequences: false)
    guard fields.count == 4, fields[0].elementsEqual("bauta/key/1".utf8) else {
      throw .file(.key(path: path, .shape))
    }
    guard fields[1].elementsEqual(Role.name.utf8) else {
      throw .file(.key(path: path, .role(expected: Role.name)))
    }
    guard fields[2].elementsEqual(owner.value.utf8) else {
      throw .file(.key(path: path, .name(expected: owner.value)))
    }
    var seed = SecretBytes(count: 32)
    let isValid = seed.withUnsafeMutableBytes { seed in
      SecretBase64.decode(UnsafeRawBufferPointer(rebasing: fields[3]), into: seed)
    }
    guard isValid else { throw .file(.key(path: path, .seed)) }
    return seed
  }
}

/// A file of one line that ends in 32 secret bytes in base64, mode 0600: the secret passes between file and locked memory and
/// nowhere else.
enum SecretLineFile {
  static let secretBytes = 32
  static let encodedSecretBytes = 44

  /// Writes a new file.
  ///
  /// - Throws: ``FederationError/file(_:)``; an existing file is not overwritten.
  static func create(_ path: String, prefix: String, secret: UnsafeRawBufferPointer) throws(FederationError) {
    let prefix = Array(prefix.utf8)
    var line = SecretBytes(count: prefix.count + encodedSecretBytes + 1)
    line.withUnsafeMutableBytes { line in
      line.copyBytes(from: prefix)
      SecretBase64.encode(secret, into: UnsafeMutableRawBufferPointer(rebasing: line[prefix.count...]))
      line[line.count - 1] = 0x0A
    }
    try line.withUnsafeBytes { (bytes) throws(FederationError) in
      try FileAccess.create(path, mode: 0o600, contents: bytes)
    }
  }

  /// The secret of a file that has this prefix and nothing else; nil for another file.
  ///
  /// - Throws: ``FederationError/file(_:)`` if it is missing, no regular file, too large, or can be read by others.
  static func load(_ path: String, prefix: String, maximum: Int) throws(FederationError) -> SecretBytes? {
    let line = try load(path, maximum: maximum)
    var secret = SecretBytes(count: secretBytes)
    let isValid = line.withUnsafeBytes { line in
      // Only the prefix is compared, and it is not secret.
      line.starts(with: prefix.utf8)
        && secret.withUnsafeMutableBytes { secret in
          SecretBase64.decode(UnsafeRawBufferPointer(rebasing: line[prefix.utf8.count...]), into: secret)
        }
    }
    guard isValid else { return nil }
    return secret
  }

  /// The file's bytes, without the newline at their end.
  ///
  /// - Throws: ``FederationError/file(_:)`` if it is missing, no regular file, too large, or can be read by others.
  static func load(_ path: String, maximum: Int) throws(FederationError) -> SecretBytes {
    let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW)
    guard descriptor >= 0 else {
      if errno == ELOOP { throw .file(.notRegular(path: path)) }
      throw FileAccess.failure(.open, path)
    }
    defer { close(descriptor) }
    let status = try FileAccess.regularFileStatus(descriptor, path)
    guard status.st_mode & 0o077 == 0 else {
      throw .file(.exposed(path: path, mode: UInt16(truncatingIfNeeded: status.st_mode & 0o7777)))
    }
    guard status.st_size <= maximum else { throw .file(.tooLarge(path: path, limit: maximum)) }
    var bytes = SecretBytes(count: Int(status.st_size))
    let count = try bytes.withUnsafeMutableBytes { (space) throws(FederationError) in
      try FileAccess.read(descriptor, into: space, path)
    }
    return bytes.withUnsafeBytes { bytes in
      let bytes = bytes[..<count]
      return SecretBytes.copying(UnsafeRawBufferPointer(rebasing: bytes.last == 0x0A ? bytes.dropLast() : bytes))
    }
  }
}

/// Base64 of a seed, from locked memory to locked memory: no table look-up and no branch depends on the bytes.
enum SecretBase64 {
  /// 32 bytes into 44 characters.
  static func encode(_ bytes: UnsafeRawBufferPointer, into text: UnsafeMutableRawBufferPointer) {
    var place = 0
    var index = 0
    while index < bytes.count {
      let available = min(3, bytes.count - index)
      var group: UInt32 = 0
      for offset in 0..<3 { group = group << 8 | (offset < available ? UInt32(bytes[index + offset]) : 0) }
      for digit in 0..<4 {
        let value = UInt8(truncatingIfNeeded: group >> UInt32(18 - 6 * digit)) & 63
        text[place] = digit <= available ? character(value) : 0x3D
        place += 1
      }
      index += 3
    }
  }

  /// 44 characters, canonical and padded, into 32 bytes; false if they are not.
  static func decode(_ text: UnsafeRawBufferPointer, into bytes: UnsafeMutableRawBufferPointer) -> Bool {
    guard bytes.count == 32, text.count == 44, text[43] == 0x3D else { return false }
    var invalid: UInt8 = 0
    for group in 0..<11 {
      var bits: UInt32 = 0
      for digit in 0..<4 where 4 * group + digit < 43 {
        let (value, isValid) = value(text[4 * group + digit])
        invalid |= isValid ? 0 : 1
        bits |= UInt32(value) << UInt32(18 - 6 * digit)
      }
      for offset in 0..<3 {
        let byte = UInt8(truncatingIfNeeded: bits >> UInt32(16 - 8 * offset))
        // The last two bits of the last group must be zero: one text for one seed.
        if 3 * group + offset < 32 { bytes[3 * group + offset] = byte } else { invalid |= byte }
      }
    }
    return invalid == 0
  }

  /// All ones where low ≤ value ≤ high, computed without branches.
  private static func mask(_ value: UInt8, _ low: UInt8, _ high: UInt8) -> UInt8 {
    let outside = (Int16(value) - Int16(low)) | (Int16(high) - Int16(value))
    return ~UInt8(truncatingIfNeeded: outside >> 15)
  }

  private static func character(_ value: UInt8) -> UInt8 {
    (value &+ 0x41) & mask(value, 0, 25) | (value &+ 71) & mask(value, 26, 51) | (value &- 4) & mask(value, 52, 61)
      | 0x2B & mask(value, 62, 62) | 0x2F & mask(value, 63, 63)
  }

  private static func value(_ character: UInt8) -> (UInt8, isValid: Bool) {
    let upper = mask(character, 0x41, 0x5A)
    let lower = mask(character, 0x61, 0x7A)
    let digit = mask(character, 0x30, 0x39)
    let plus = mask(character, 0x2B, 0x2B)
    let slash = mask(character, 0x2F, 0x2F)
    let value =
      (character &- 0x41) & upper | (character &- 71) & lower | (character &+ 4) & digit | 62 & plus | 63 & slash
    return (value, upper | lower | digit | plus | slash != 0)
  }
}
