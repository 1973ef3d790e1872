import Foundation

/// A JSON object of texts, with exactly the keys that its format has.
enum ExchangeText {
  static func parse(
    _ bytes: [UInt8], kind: ExchangeFault.Kind, schema: String, keys: [String], maximum: Int
  ) throws(FederationError) -> [String: String] {
    guard bytes.count <= maximum else { throw .exchange(.tooLarge(kind, limit: maximum)) }
    guard String(validating: bytes, as: UTF8.self) != nil,
      let object = try? JSONSerialization.jsonObject(with: Data(bytes)) as? [String: Any]
    else { throw .exchange(.notJSON(kind)) }
    // First: what an earlier or later release wrote is called that, and not faulty.
    guard let found = object["schema"] as? String else { throw .exchange(.field(kind, name: "schema")) }
    guard found == schema else { throw .exchange(.schema(kind, found: excerpt(found))) }
    let known = Set(keys + ["schema"])
    if let unknown = object.keys.filter({ !known.contains($0) }).min() {
      throw .exchange(.field(kind, name: String(excerpt(unknown).dropFirst().dropLast())))
    }
    var fields: [String: String] = [:]
    for key in keys {
      guard let text = object[key] as? String else { throw .exchange(.field(kind, name: key)) }
      fields[key] = text
    }
    return fields
  }

  /// What a file says that it is; nil for what is not one JSON object.
  static func schema(of bytes: [UInt8]) -> String? {
    let object = try? JSONSerialization.jsonObject(with: Data(bytes)) as? [String: Any]
    return object?["schema"] as? String
  }

  /// Keys in the order given, a line each, so that people can read it.
  static func write(_ fields: [(key: String, value: String)]) -> String {
    let lines = fields.map { "  \(quoted($0.key)): \(quoted($0.value))" }
    return "{\n\(lines.joined(separator: ",\n"))\n}\n"
  }

  /// Text that may hold PEM: printable ASCII and newlines, framed as PEM is.
  static func isPEM(_ text: String, label: String) -> Bool {
    text.utf8.allSatisfy { (0x20...0x7E).contains($0) || $0 == 0x0A || $0 == 0x0D }
      && text.hasPrefix("-----BEGIN \(label)-----\n") && text.contains("-----END \(label)-----")
  }

  private static func quoted(_ text: String) -> String {
    var result = "\""
    for scalar in text.unicodeScalars {
      switch scalar {
      case "\"": result += "\\\""
      case "\\": result += "\\\\"
      case "\n": result += "\\n"
      case "\u{0}"..."\u{1F}", "\u{7F}":
        let digits = String(scalar.value, radix: 16)
        result += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
      default: result.unicodeScalars.append(scalar)
      }
    }
    return result + "\""
  }
}
