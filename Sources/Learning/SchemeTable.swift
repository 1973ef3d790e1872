/// How specialties and fraud schemes move the columns of a synthetic provider, in standard deviations of the logarithm.
enum SchemeTable {
  struct Scheme {
    /// Added to the standardised logarithm of a quantity's mean.
    let means: [String: Double]
    /// Added to the logarithm of a segment's number of lines.
    let lines: [ProviderSchema.Segment: Double]
  }

  /// Mean and standard deviation of the logarithm of a provider's number of lines, a segment.
  static let lines: [(Double, Double)] = [(2.0, 1.3), (3.7, 1.1), (4.75, 1.5)]

  /// Specialties order supply, see and prescribe more or less than others.
  static func specialtyShift(_ specialty: Int, _ segment: ProviderSchema.Segment) -> Double {
    let shifts: [[Double]] = [
      [1.2, -0.6, -0.4], [0.7, 0.9, -1.0], [-0.6, 1.3, 0.2], [-1.0, 0.1, 1.2], [-0.5, -1.2, 0.9], [0.2, -0.5, -0.9],
    ]
    return shifts[specialty][segment.rawValue]
  }

  static let schemes: [Scheme] = [
    // Equipment never delivered: many supplies a claim, from many suppliers.
    Scheme(
      means: ["tot_suplrs": 2.2, "tot_suplr_srvcs": 1.9, "tot_suplr_clms": 1.5], lines: [.supplier: 0.9]),
    // Upcoded equipment: dear items, few of them.
    Scheme(
      means: ["avg_suplr_sbmtd_chrg": 2.6, "avg_suplr_mdcr_pymt_amt": 2.3, "tot_suplr_benes": -1.2],
      lines: [.physician: -0.5]),
    // Phantom services: many services a patient and day.
    Scheme(
      means: ["line_svc_cnt": 2.7, "bene_day_srvc_cnt": 1.8, "bene_unique_cnt": -1.2], lines: [.physician: -0.6]),
    // Upcoding: charges far above what is paid.
    Scheme(
      means: ["average_submitted_chrg_amt": 2.8, "average_medicare_payment_amt": -1.2, "bene_unique_cnt": -0.7],
      lines: [.physician: -0.9]),
    // Pill mill: many fills and days for few patients.
    Scheme(
      means: ["total_claim_count": 1.9, "total_day_supply": -1.8, "bene_count": -1.6], lines: [.prescriber: -0.8]),
    // Kickbacks: the dearest drugs.
    Scheme(
      means: ["total_drug_cost": 3.0, "total_30_day_fill_count": -1.5, "total_claim_count": -0.8],
      lines: [.prescriber: -0.8]),
  ]
}
