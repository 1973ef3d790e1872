import Foundation

/// A value that must not be found where it was not planted, in every form in which it could have got there.
struct Canary {
  let name: String
  /// The forms, by name.
  let forms: [(form: String, bytes: [UInt8])]

  /// A text: as it is, in hexadecimal, and within a longer run of base64.
  init(_ name: String, text: String) {
    self.init(name, bytes: Array(text.utf8))
  }

  /// Bytes: as they are, reversed, in hexadecimal of either case, and within a longer run of base64.
  init(_ name: String, bytes: [UInt8]) {
    self.name = name
    forms = Self.forms(of: bytes, "raw") + Self.forms(of: bytes.reversed(), "reversed")
  }

  /// A number: in decimal as text, as a double in either byte order, and as the logarithm that training makes of it.
  init(_ name: String, number: Double) {
    self.name = name
    func word(_ value: Double) -> [UInt8] {
      (0..<8).map { UInt8(truncatingIfNeeded: value.bitPattern >> (8 * UInt64($0))) }
    }
    let logarithm = log1p(number)
    forms =
      Self.forms(of: Array("\(number)".utf8), "decimal") + Self.forms(of: word(number), "little-endian")
      + Self.forms(of: word(number).reversed(), "big-endian")
      + Self.forms(of: Array("\(logarithm)".prefix(14).utf8), "logarithm in decimal")
      + Self.forms(of: word(logarithm), "logarithm, little-endian")
  }

  private static func forms(of bytes: [UInt8], _ name: String) -> [(form: String, bytes: [UInt8])] {
    let digits = Array("0123456789abcdef".utf8)
    let hexadecimal = bytes.flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] }
    let capitals = Array(String(decoding: hexadecimal, as: UTF8.self).uppercased().utf8)
    var forms = [(name, bytes), ("\(name), hexadecimal", hexadecimal), ("\(name), hexadecimal in capitals", capitals)]
    // Base64 depends on where in a group of three it begins; its ends depend on what is around it.
    for offset in 0..<3 {
      let text = Array(Data([UInt8](repeating: 0, count: offset) + bytes).base64EncodedString().utf8)
      let inner = text.dropFirst(offset == 0 ? 0 : offset + 1).prefix(
        (bytes.count * 8 - (offset == 0 ? 0 : 8 - 2 * offset)) / 6)
      forms.append(("\(name), base64 at \(offset)", Array(inner)))
      forms.append(("\(name), base64url at \(offset)", inner.map { $0 == 0x2B ? 0x2D : $0 == 0x2F ? 0x5F : $0 }))
    }
    return forms
  }

  /// The forms of it that are in there.
  func found(in bytes: Data) -> [String] { CanarySearch([self]).found(in: bytes) }
}

/// Looks for many canaries in one pass.
struct CanarySearch {
  private struct Form {
    let description: String
    let bytes: [UInt8]
  }

  /// By their first two bytes.
  private var forms: [UInt16: [Form]] = [:]
  private var begins = [Bool](repeating: false, count: 1 << 16)

  init(_ canaries: [Canary]) {
    for canary in canaries {
      for form in canary.forms {
        let start = UInt16(form.bytes[0]) << 8 | UInt16(form.bytes[1])
        begins[Int(start)] = true
        forms[start, default: []].append(Form(description: "\(canary.name) (\(form.form))", bytes: form.bytes))
      }
    }
  }

  /// What is in there, each form once.
  func found(in data: Data) -> [String] {
    guard data.count > 1 else { return [] }
    var found: Set<String> = []
    data.withUnsafeBytes { bytes in
      for place in 0..<bytes.count - 1 {
        let start = UInt16(bytes[place]) << 8 | UInt16(bytes[place + 1])
        guard begins[Int(start)] else { continue }
        for form in forms[start] ?? [] where form.bytes.count <= bytes.count - place {
          if bytes[place..<place + form.bytes.count].elementsEqual(form.bytes) { found.insert(form.description) }
        }
      }
    }
    return found.sorted()
  }
}
