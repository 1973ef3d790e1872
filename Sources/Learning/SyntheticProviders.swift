/// Synthetic providers with the columns of ``ProviderSchema``: as skewed, as imbalanced, and as unlike from
/// organisation to organisation as real ones, but nobody's data.
///
/// A provider has a specialty (which moves whole groups of columns), a size, a price level and, if fraudulent (9 %
/// overall, from 6 % in the first organisation to 12 % in the last), one of six schemes, each inflating or deflating a
/// few columns. An organisation sees some specialties and schemes several times as often as others, so that what one learns
/// alone misses schemes the others know, while a linear model of all data on signed log1p catches each. Sums are mean ×
/// lines, deviations are proportional to means and zero for providers with one line.
///
/// A pure function of its arguments: only integer arithmetic and IEEE basic operations are used (its exponential is its
/// own), so every machine makes the same bytes.
public enum SyntheticProviders {
  /// - Parameters:
  ///   - rows: 20…1,000,000.
  ///   - organization: which of the organisations, from zero.
  ///   - organizations: 1…1000. With one, the mix is that of a whole population.
  ///   - seed: another seed gives other providers of the same kind.
  /// - Throws: `LearningError.synthesis`.
  public static func generate(
    rows: Int, organization: Int, organizations: Int, seed: UInt64
  ) throws(LearningError) -> FeatureTable {
    guard 20...1_000_000 ~= rows else { throw .synthesis(.rows(rows)) }
    guard 1...1000 ~= organizations, 0..<organizations ~= organization else {
      throw .synthesis(.organization(index: organization, organizations: organizations))
    }
    var seeds = SplitMix64(seed: seed)
    let base = seeds.next()
    var generator = ProviderGenerator(
      profile: OrganizationProfile(index: organization, of: organizations),
      random: Xoshiro256StarStar(seed: base ^ (UInt64(organization) &+ 1) &* 0x9e37_79b9_7f4a_7c15))

    let positives = Int((generator.profile.prevalence * Double(rows)).rounded())
    var labels = (0..<rows).map { UInt8($0 < positives ? 1 : 0) }
    generator.random.shuffle(&labels)
    var values: [Double] = []
    values.reserveCapacity(rows * ProviderSchema.features.count)
    for label in labels { generator.appendProvider(fraudulent: label == 1, to: &values) }
    return try FeatureTable(featureNames: ProviderSchema.features, values: values, labels: labels)
  }
}

/// What distinguishes an organisation: how common fraud, each specialty and each scheme are.
struct OrganizationProfile {
  static let kinds = 6
  let prevalence: Double
  /// Cumulative shares of the specialties.
  let specialties: [Double]
  /// Cumulative shares of the schemes.
  let schemes: [Double]

  init(index: Int, of organizations: Int) {
    guard organizations > 1 else {
      prevalence = 0.09
      specialties = Self.cumulative(Array(repeating: 1, count: Self.kinds))
      schemes = specialties
      return
    }
    // Positions around a circle: neighbours are alike, opposite organisations are not.
    let position = Double(index) / Double(organizations)
    prevalence = 0.06 + 0.06 * Double(index) / Double(organizations - 1)
    specialties = Self.cumulative(Self.shares(around: position, floor: 0.3))
    schemes = Self.cumulative(Self.shares(around: position, floor: 0.3))
  }

  private static func shares(around position: Double, floor: Double) -> [Double] {
    (0..<kinds).map { kind in
      let difference = (Double(kind) / Double(kinds) - position).magnitude
      let distance = min(difference, 1 - difference)
      return floor + max(0, 1 - 4.5 * distance)
    }
  }

  private static func cumulative(_ shares: [Double]) -> [Double] {
    let total = shares.reduce(0, +)
    var sum = 0.0
    return shares.map { share in
      sum += share / total
      return sum
    }
  }
}

/// Draws providers of one organisation.
struct ProviderGenerator {
  let profile: OrganizationProfile
  var random: Xoshiro256StarStar

  /// Appends the 49 features of one provider.
  mutating func appendProvider(fraudulent: Bool, to values: inout [Double]) {
    let specialty = draw(profile.specialties)
    let scheme = fraudulent ? SchemeTable.schemes[draw(profile.schemes)] : nil
    let size = normal()
    let price = normal()
    let isFemale = random.unitInterval() < (fraudulent ? 0.27 : 0.39)
    values.append(isFemale ? 1 : 0)

    var lines = [1.0, 1.0, 1.0]
    for segment in ProviderSchema.Segment.allCases {
      let (mean, deviation) = SchemeTable.lines[segment.rawValue]
      let shift = SchemeTable.specialtyShift(specialty, segment)
      let log = mean + deviation * (0.6 * size + 0.4 * shift + 0.7 * normal()) + (scheme?.lines[segment] ?? 0)
      lines[segment.rawValue] = max(1, portableExponential(log).rounded(.down))
    }
    for quantity in ProviderSchema.quantities {
      let factor = quantity.isAmount ? 0.5 * price : 0.35 * size
      let shift = SchemeTable.specialtyShift(specialty, quantity.segment)
      let residual = normal() * (random.unitInterval() < 0.03 ? 2.5 : 0.75)
      let fraud = scheme?.means[quantity.name] ?? 0
      let log = quantity.logMean + quantity.logDeviation * (factor + 0.45 * shift + residual + fraud)
      append(quantity, log: log, lines: lines[quantity.segment.rawValue], to: &values)
    }
  }

  private mutating func append(
    _ quantity: ProviderSchema.Quantity, log: Double, lines: Double, to values: inout [Double]
  ) {
    let exact = max(quantity.minimum, portableExponential(log) - 1)
    let mean = rounded(exact, quantity)
    let spread = quantity.variation * portableExponential(0.35 * normal()) * (1 - 1 / lines)
    let deviation = lines > 1 ? rounded(exact * spread, quantity) : 0
    let sum = rounded(exact * lines, quantity)
    if quantity.segment == .supplier {
      values += [deviation, mean, max(sum, mean)]
    } else {
      values += [mean, max(sum, mean), deviation]
    }
  }

  /// Counts are whole, amounts have cents, as in the public files.
  private func rounded(_ value: Double, _ quantity: ProviderSchema.Quantity) -> Double {
    quantity.isAmount ? (value * 100).rounded() / 100 : value.rounded()
  }

  private mutating func draw(_ cumulative: [Double]) -> Int {
    let value = random.unitInterval()
    return cumulative.firstIndex { value < $0 } ?? cumulative.count - 1
  }

  /// Sum of twelve uniform numbers less six: mean 0, variance 1, near enough to normal, and no library's logarithm.
  private mutating func normal() -> Double {
    var sum = -6.0
    for _ in 0..<12 { sum += random.unitInterval() }
    return sum
  }
}

/// e^x for |x| ≤ 700 by basic operations only, relative error below 1e-13: the same bits everywhere, which the C
/// library's does not promise.
func portableExponential(_ x: Double) -> Double {
  let bounded = min(max(x, -700), 700)
  let halvings = (bounded * 1.4426950408889634).rounded()
  let remainder = (bounded - halvings * 0x1.62e42fefa3800p-1) - halvings * 0x1.ef35793c76730p-45
  var sum = 1.0
  for divisor in stride(from: 14.0, to: 0, by: -1) { sum = 1 + sum * remainder / divisor }
  return sum * Double(sign: .plus, exponent: Int(halvings), significand: 1)
}
