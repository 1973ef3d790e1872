import Cryptography
public import TransparencyLog

extension Policy {
  /// How long the organisation's own log is kept, and who outside the federation vouches for it.
  public struct LogRules: Sendable, Equatable {
    static let keys = ["retention", "witnesses", "quorum", "within"]
    static let maximumWitnesses = 16

    /// Entries older than this are no longer kept, their hashes are; nil for ever.
    public let retention: Duration?
    /// To which checkpoints of the log are submitted over HTTP.
    public let witnesses: [WitnessAddress]
    /// So many of them must have cosigned a checkpoint of the log within ``within``, or no run is joined; 0 for none.
    public let quorum: Int
    public let within: Duration
  }
}

extension Policy.LogRules {
  init(_ group: YAMLMapping) throws(FederationError) {
    let ever = YAMLField<Duration?>(expected: "'forever', or a duration from 1d, such as 2192d") { text, isPlain in
      if text == "forever" { return .some(nil) }
      guard isPlain, let duration = DurationText.parse(text), duration >= .seconds(86_400) else { return nil }
      return .some(duration)
    }
    retention = try group.optional("retention", ever, default: nil)
    witnesses = try Self.witnesses(group)
    quorum = try group.optional("quorum", .integer(0...Self.maximumWitnesses), default: 0)
    guard quorum <= witnesses.count else {
      throw group.fault(
        "quorum",
        .inconsistent(
          path: group.path("quorum"), problem: "\(quorum) must cosign, and \(witnesses.count) witnesses are named"))
    }
    within = try group.optional(
      "within", .duration("a duration from 10m to 30d") { (.seconds(600)...(.seconds(30 * 86_400))).contains($0) },
      default: .seconds(86_400))
  }

  private static func witnesses(_ group: YAMLMapping) throws(FederationError) -> [WitnessAddress] {
    guard let node = group.node("witnesses"), !node.isNull else { return [] }
    let key = YAMLField<NoteVerifierKey<WitnessKeyRole>>(expected: "a witness's verifier key, NAME+ID+KEY") {
      text, _ in try? NoteVerifierKey<WitnessKeyRole>(text)
    }
    let url = YAMLField<WitnessURL>(expected: "http://HOST[:PORT][/PREFIX]") { text, _ in WitnessURL(parsing: text) }
    var witnesses: [WitnessAddress] = []
    for entry in try group.mappings("witnesses", keys: ["key", "url"], maximum: maximumWitnesses) {
      let witness = WitnessAddress(key: try entry.required("key", key), url: try entry.required("url", url))
      // One key at two places is one witness.
      guard !witnesses.contains(where: { $0.key == witness.key }) else {
        throw entry.fault("key", .duplicateItem(path: entry.path("key"), item: witness.key.name.value))
      }
      witnesses.append(witness)
    }
    return witnesses
  }

  public var retentionText: String { retention.map(DurationText.format) ?? "forever" }
  public var withinText: String { DurationText.format(within) }
}
