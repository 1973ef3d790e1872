import CSodium

/// Standard Base64 with padding (RFC 4648 §4), in constant time for a given length.
public enum Base64 {
  public static func encode(_ bytes: [UInt8]) -> String {
    // The length counts the terminating NUL.
    let capacity = sodium_base64_encoded_len(bytes.count, variant)
    let text = [UInt8](count: capacity) { output in
      output.withMemoryRebound(to: CChar.self, capacity: capacity) {
        _ = sodium_bin2base64($0, capacity, bytes, bytes.count, variant)
      }
    }
    return String(decoding: text.dropLast(), as: UTF8.self)
  }

  /// The bytes that `text` stands for: at most `maximum`.
  ///
  /// Refuses spaces, missing padding and set bits after the last byte, so each byte string has one text.
  /// - Throws: ``CryptographyError/tooLong(maximum:)`` or ``CryptographyError/invalidText(_:)``.
  public static func decode(_ text: String, maximum: Int) throws(CryptographyError) -> [UInt8] {
    precondition(maximum >= 0, "a bound is negative")
    let digits = Array(text.utf8.prefix((maximum / 3 + 1) * 4 + 1))
    guard digits.count <= (maximum / 3 + 1) * 4 else { throw .tooLong(maximum: maximum) }
    guard digits.count % 4 == 0 else { throw .invalidText(.base64) }
    guard !digits.isEmpty else { return [] }
    var isValid = false
    let bytes = [UInt8](unsafeUninitializedCapacity: digits.count / 4 * 3) { output, initialized in
      digits.withUnsafeBytes { input in
        isValid =
          sodium_base642bin(
            UnsafeMutableRawBufferPointer(output).octets, output.count,
            UnsafeRawPointer(input.octets).assumingMemoryBound(to: CChar.self), input.count, nil, &initialized, nil,
            variant) == 0
        if !isValid { initialized = 0 }
      }
    }
    guard isValid else { throw .invalidText(.base64) }
    guard bytes.count <= maximum else { throw .tooLong(maximum: maximum) }
    return bytes
  }

  private static let variant = sodium_base64_VARIANT_ORIGINAL
}

/// Lowercase hexadecimal, two digits a byte.
public enum Hexadecimal {
  public static func encode(_ bytes: some Collection<UInt8>) -> String {
    func digit(_ value: UInt8) -> UInt8 { value < 10 ? 0x30 + value : 0x57 + value }
    return String(unsafeUninitializedCapacity: 2 * bytes.count) { output in
      var position = 0
      for byte in bytes {
        output[position] = digit(byte >> 4)
        output[position + 1] = digit(byte & 15)
        position += 2
      }
      return position
    }
  }

  /// The bytes that `text` stands for. Capitals are refused, so each byte string has one text.
  /// - Throws: ``CryptographyError/invalidText(_:)``.
  public static func decode(_ text: String) throws(CryptographyError) -> [UInt8] {
    let digits = Array(text.utf8)
    guard digits.count % 2 == 0 else { throw .invalidText(.hexadecimal) }
    var bytes: [UInt8] = []
    bytes.reserveCapacity(digits.count / 2)
    for position in stride(from: 0, to: digits.count, by: 2) {
      guard let high = value(digits[position]), let low = value(digits[position + 1]) else {
        throw .invalidText(.hexadecimal)
      }
      bytes.append(high << 4 | low)
    }
    return bytes
  }

  private static func value(_ digit: UInt8) -> UInt8? {
    switch digit {
    case UInt8(ascii: "0")...UInt8(ascii: "9"): digit - UInt8(ascii: "0")
    case UInt8(ascii: "a")...UInt8(ascii: "f"): digit - UInt8(ascii: "a") + 10
    default: nil
    }
  }
}
