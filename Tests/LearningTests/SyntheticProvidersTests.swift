import Testing

@testable import Learning

@Suite struct SyntheticProvidersTests {
  private func column(_ name: String, _ table: FeatureTable) throws -> [Double] {
    let index = try #require(table.featureNames.firstIndex(of: name))
    return (0..<table.rowCount).map { table.values[$0 * table.columnCount + index] }
  }

  @Test func hasTheColumnsOfTheRealFile() {
    #expect(ProviderSchema.features.count == 49 && Set(ProviderSchema.features).count == 49)
    #expect(ProviderSchema.features[0] == "female")
    #expect(
      Array(ProviderSchema.features[1...3]) == ["tot_suplrs_standard_deviation", "tot_suplrs_mean", "tot_suplrs_sum"])
    #expect(ProviderSchema.features[48] == "bene_count_standard_deviation")
    #expect(ProviderSchema.features[19] == "bene_unique_cnt_mean")
  }

  @Test func sameOnEveryMachine() throws {
    let table = try SyntheticProviders.generate(rows: 50, organization: 1, organizations: 5, seed: 42)
    #expect(try table == (SyntheticProviders.generate(rows: 50, organization: 1, organizations: 5, seed: 42)))
    // FNV-1a over the bits of all values and labels.
    var hash: UInt64 = 0xcbf2_9ce4_8422_2325
    for bits in table.values.map(\.bitPattern) + table.labels.map(UInt64.init) {
      for shift in stride(from: 0, to: 64, by: 8) {
        hash = (hash ^ (bits >> UInt64(shift) & 0xff)) &* 0x100_0000_01b3
      }
    }
    #expect(hash == 9_606_602_518_778_044_567)
    #expect(try table != (SyntheticProviders.generate(rows: 50, organization: 2, organizations: 5, seed: 42)))
    #expect(try table != (SyntheticProviders.generate(rows: 50, organization: 1, organizations: 5, seed: 43)))
  }

  @Test func imbalancedAsFraudIs() throws {
    var shares: [Double] = []
    for organization in 0..<5 {
      let table = try SyntheticProviders.generate(rows: 1000, organization: organization, organizations: 5, seed: 1)
      shares.append(Double(table.positiveCount) / 1000)
    }
    let mean = shares.reduce(0, +) / 5
    #expect(abs(mean - 0.09) < 0.01)
    #expect(try #require(shares.max()) - #require(shares.min()) > 0.03)
  }

  @Test func skewedWithManyZeros() throws {
    let table = try SyntheticProviders.generate(rows: 4000, organization: 0, organizations: 1, seed: 3)
    for name in ["total_drug_cost_sum", "tot_suplr_srvcs_sum", "line_svc_cnt_sum", "total_day_supply_sum"] {
      let values = try column(name, table)
      let mean = values.reduce(0, +) / 4000
      let variance = values.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / 4000
      let skew = values.reduce(0) { $0 + ($1 - mean) * ($1 - mean) * ($1 - mean) } / 4000
      #expect(skew / (variance * variance.squareRoot()) > 3)
      #expect(values.allSatisfy { $0 > 0 } && mean > 1.5 * values.sorted()[2000])
    }
    let zeros = try column("tot_suplr_benes_standard_deviation", table).filter { $0 == 0 }.count
    #expect(zeros > 400 && zeros < 2400)
    let female = try column("female", table)
    #expect(female.allSatisfy { $0 == 0 || $0 == 1 })
    #expect(abs(female.reduce(0, +) / 4000 - 0.38) < 0.05)
  }

  @Test func sumsAndMeansBelongTogether() throws {
    let table = try SyntheticProviders.generate(rows: 500, organization: 2, organizations: 5, seed: 9)
    for quantity in ["tot_suplrs", "line_svc_cnt", "total_drug_cost"] {
      let means = try column("\(quantity)_mean", table)
      let sums = try column("\(quantity)_sum", table)
      let deviations = try column("\(quantity)_standard_deviation", table)
      for row in 0..<500 {
        #expect(sums[row] >= means[row] && deviations[row] >= 0)
        if sums[row] == means[row], quantity == "total_drug_cost" { #expect(deviations[row] == 0) }
      }
    }
  }

  @Test func organizationsDiffer() throws {
    let tables = try (0..<5).map {
      try SyntheticProviders.generate(rows: 1000, organization: $0, organizations: 5, seed: 1)
    }
    let means = try tables.map { table in
      try column("total_day_supply_sum", table).map(signedLog1p).reduce(0, +) / 1000
    }
    #expect(try #require(means.max()) - #require(means.min()) > 0.5)
  }

  @Test func exponentialIsAccurate() {
    // e, e^-1, e^10, e^-20.5 to seventeen digits.
    for (x, expected) in [
      (0.0, 1.0), (1, 2.718281828459045), (-1, 0.36787944117144233), (10, 22026.465794806718),
      (-20.5, 1.2501528663867426e-9),
    ] {
      #expect(abs(portableExponential(x) / expected - 1) < 1e-13)
    }
    #expect(portableExponential(1e9).isFinite && portableExponential(-1e9) > 0)
  }

  @Test func refusesImpossibleRequests() {
    #expect(throws: LearningError.synthesis(.rows(19))) {
      try SyntheticProviders.generate(rows: 19, organization: 0, organizations: 5, seed: 1)
    }
    for (index, count) in [(5, 5), (-1, 5), (0, 0), (0, 1001)] {
      #expect(throws: LearningError.synthesis(.organization(index: index, organizations: count))) {
        try SyntheticProviders.generate(rows: 100, organization: index, organizations: count, seed: 1)
      }
    }
  }
}
