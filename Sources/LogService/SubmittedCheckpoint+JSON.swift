import AuditLog
public import TransparencyLog

extension SubmittedCheckpoint {
  public static let schema = "bauta/audit-cosign/1"

  /// One line of JSON, as a service answers its owner and as `bauta audit cosign --json` prints it.
  public var line: String {
    var members: [String: CanonicalJSON] = [
      "schema": .string(Self.schema), "witness": .string(witness.key.name.value),
      "url": .string(witness.url.description),
      "size": .integer(Int64(clamping: size)), "time": time.map { .integer(Int64(clamping: $0)) } ?? .null,
      "error": .null,
    ]
    if let failure {
      members["error"] = .object([
        "code": .string(failure.code), "blame": .string(failure.blame.rawValue), "message": .string(failure.message),
        "remedy": .string(failure.remedy),
      ])
    }
    return CanonicalJSON.object(members).text
  }
}

extension WitnessAddress {
  /// Reads what ``list(_:)`` writes; nil if one is none, or there are more than `maximum`.
  public static func parse(list text: String, maximum: Int = 64) -> [WitnessAddress]? {
    let lines = text.split(separator: "\n")
    guard lines.count <= maximum else { return nil }
    var witnesses: [WitnessAddress] = []
    for line in lines {
      guard let witness = WitnessAddress(parsing: String(line)) else { return nil }
      witnesses.append(witness)
    }
    return witnesses
  }

  /// One a line.
  public static func list(_ witnesses: [WitnessAddress]) -> String {
    witnesses.map(\.description).joined(separator: "\n")
  }
}
