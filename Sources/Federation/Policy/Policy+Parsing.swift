import Cryptography

extension Policy {
  /// Reads a policy's text.
  ///
  /// - Throws: ``FederationError/document(_:_:)`` with file, line and column of the first fault.
  public init(parsing text: String, file: String = "policy.yaml") throws(FederationError) {
    let source = YAMLSource(file: file)
    let keys = ["schema", "allow", "cohort", "bounds", "privacy", "hours", "audit"]
    let top = try YAMLMapping(try source.root(of: Array(text.utf8)), source: source, keys: keys)
    try top.requireSchema(Self.schema)
    allow = try Allowed(top.mapping("allow", keys: ["programs", "models", "statistics"], isRequired: true))
    cohort = try CohortRules(
      top.mapping("cohort", keys: ["minimum", "minimumHonest", "nearOpenings", "minimumRows"]))
    bounds = try Bounds(top.mapping("bounds", keys: ["dimension", "bits", "clip", "rounds"]))
    let budget = try top.mapping("privacy", keys: PrivacyCeiling.keys, isRequired: true)
    privacy = try budget.required("unit", .word)
    ceiling = try PrivacyCeiling(budget, unit: privacy)
    hours = try AllowedHours(top)
    let rules = try top.mapping("audit", keys: ["keepSecretsFor", "auditor"] + LogRules.keys)
    audit = try AuditRules(rules)
    log = try LogRules(rules)
    self.text = text
    hash = SHA256Digest(hashing: Array(text.utf8))
  }

  /// Reads a policy's file.
  ///
  /// - Throws: ``FederationError/file(_:)``, ``FederationError/document(_:_:)``.
  public init(contentsOf path: String) throws(FederationError) {
    let text = try FileAccess.text(of: path, maximum: YAMLSource.maximumBytes)
    try self.init(parsing: text, file: path)
  }

  /// The policy of a new organisation, with every key and its meaning.
  public static let template = """
    # What this organisation allows. Nothing that a server sends overrides it; every refusal is logged.
    schema: \(schema)

    allow:
      programs: [builtin]         # trainers that may see the data
      models: [logisticRegression]
      statistics: [count, sum, sumOfSquares, histogram]

    cohort:
      minimum: 3                  # fewest organisations in a sum
      minimumHonest: 2            # fewest of them left without those assumed corrupt
      nearOpenings: {count: 8, days: 30}
      minimumRows: 10             # a column with fewer non-zero rows here contributes nothing

    bounds:
      dimension: 1000000          # most parameters of a model
      bits: [16, 32]              # narrowest and widest coordinate
      clip: 16
      rounds: 100

    # With unit record or organization: runs with noise only, which may cost a data set at most this epsilon at delta, and
    # all data together at most epsilonInAll (null: the same). whenShort: refuse a run that the rest does not reach, or stop
    # it when the rest is spent. earlierSums: accept leaves sums out of account that left without noise before, or that an
    # older state has forgotten; refuse, the default, takes no run with noise after them. trustServer: true also allows
    # plans in which the server adds the noise (noise: central).
    privacy: {unit: none, epsilon: null, epsilonInAll: null, delta: null}

    hours: any                    # when a run may begin, or a list: [mon-fri 08:00-18:00]

    audit:
      keepSecretsFor: 0d          # how long secrets for an auditor's opening are kept, sealed to the auditor's key
      auditor: null               # that key: what 'bauta audit open key' prints
      retention: forever          # or how long entries of the log are kept, as in 2192d (six years)
      witnesses: []               # outside the federation: [{key: "NAME+ID+KEY", url: "http://HOST:PORT"}]
      quorum: 0                   # so many of them must have cosigned the log lately, or no run is joined
      within: 1d                  # how lately

    """
}

extension Policy.Allowed {
  fileprivate init(_ group: YAMLMapping) throws(FederationError) {
    programs = try group.list("programs", of: .word, maximum: 64)
    models = try group.list("models", of: .word, maximum: 64)
    statistics = try group.list("statistics", of: .word, maximum: 64)
  }
}

extension Policy.CohortRules {
  fileprivate init(_ group: YAMLMapping) throws(FederationError) {
    // Below three organisations a sum tells each of two the other's term.
    minimum = try group.optional("minimum", .integer(3...10_000), default: 3)
    minimumHonest = try group.optional("minimumHonest", .integer(2...10_000), default: 2)
    let near = try group.mapping("nearOpenings", keys: ["count", "days"])
    nearOpenings = Policy.NearOpenings(
      count: try near.optional("count", .integer(0...10_000), default: 8),
      days: try near.optional("days", .integer(1...3_650), default: 30))
    minimumRows = try group.optional("minimumRows", .integer(1...1_000_000), default: 10)
  }
}

extension Policy.Bounds {
  fileprivate init(_ group: YAMLMapping) throws(FederationError) {
    dimension = try group.optional("dimension", .integer(1...(1 << 28)), default: 1_000_000)
    let range = try group.list("bits", of: .integer(8...32), maximum: 2, default: [16, 32])
    guard let narrowest = range.first, let widest = range.last, narrowest <= widest else {
      throw group.fault(
        "bits", .inconsistent(path: "bounds.bits", problem: "write [narrowest, widest], as in [16, 32]"))
    }
    bits = narrowest...widest
    clip = try group.optional("clip", .number("a number above 0") { $0 > 0 }, default: 16)
    rounds = try group.optional("rounds", .integer(RunPlan.roundCounts), default: 100)
  }
}

extension PrivacyCeiling {
  fileprivate static let keys = [
    "unit", "epsilon", "epsilonInAll", "delta", "whenShort", "earlierSums", "trustServer",
  ]

  /// Nil for the unit none, which takes no ceiling.
  fileprivate init?(_ group: YAMLMapping, unit: PrivacyUnit) throws(FederationError) {
    guard unit != .none else {
      for key in Self.keys.dropFirst() {
        guard let node = group.node(key), !node.isNull else { continue }
        throw group.fault(
          key,
          .inconsistent(path: group.path(key), problem: "without differential privacy (unit: none) it means nothing"))
      }
      return nil
    }
    self.unit = unit
    let epsilon = YAMLField<Double>.number("a number above 0 and at most 1000") { $0 > 0 && $0 <= 1000 }
    self.epsilon = try group.required("epsilon", epsilon)
    epsilonInAll = try group.nullable("epsilonInAll", epsilon) ?? self.epsilon
    delta = try group.required(
      "delta", .number("a probability from 1e-18 to 0.01") { PrivacySettings.deltas.contains($0) })
    whenShort = try group.optional("whenShort", .word, default: .refuse)
    let word = YAMLField<Bool>(expected: "refuse or accept") { text, _ in
      text == "accept" ? true : text == "refuse" ? false : nil
    }
    leavesOutEarlier = try group.optional("earlierSums", word, default: false)
    let boolean = YAMLField<Bool>(expected: "true or false") { text, isPlain in isPlain ? Bool(text) : nil }
    trustsServer = try group.optional("trustServer", boolean, default: false)
  }
}

extension Policy.AuditRules {
  /// Longest time that secrets may be kept: they are the term of a masked input.
  private static let longest = Duration.seconds(10 * 366 * 86_400)

  /// Nil where nothing is kept.
  fileprivate init?(_ group: YAMLMapping) throws(FederationError) {
    keepSecretsFor = try group.optional(
      "keepSecretsFor", .duration("a duration from 0d to 3660d, such as 30d") { $0 <= Self.longest }, default: .zero)
    let key = YAMLField<AuditorPublicKey>(
      expected: "an auditor's public key, as 'bauta audit open key' prints it"
    ) { text, _ in try? AuditorPublicKey(text) }
    let auditor = try group.nullable("auditor", key)
    guard let auditor else {
      guard keepSecretsFor == .zero else {
        throw group.fault(
          "keepSecretsFor",
          .inconsistent(path: "audit.keepSecretsFor", problem: "name the auditor to whom the secrets are sealed"))
      }
      return nil
    }
    guard keepSecretsFor > .zero else {
      throw group.fault(
        "auditor", .inconsistent(path: "audit.auditor", problem: "say for how long, as in keepSecretsFor: 30d"))
    }
    self.auditor = auditor
  }
}

extension AllowedHours {
  fileprivate init(_ top: YAMLMapping) throws(FederationError) {
    guard let node = top.node("hours"), case .sequence = node.content else {
      let any = YAMLField<Bool>(expected: "'any' or a list such as [mon-fri 08:00-18:00]") { text, _ in
        text == "any" ? true : nil
      }
      _ = try top.optional("hours", any, default: true)
      self = .any
      return
    }
    let window = YAMLField<Window>(expected: "hours such as mon-fri 08:00-18:00") { text, _ in try? Window(text) }
    let windows = try top.list("hours", of: window, maximum: 64)
    guard !windows.isEmpty else {
      throw top.fault("hours", .inconsistent(path: "hours", problem: "the list is empty, so no run could ever begin"))
    }
    self = .windows(windows)
  }
}
