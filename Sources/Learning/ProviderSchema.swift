/// Columns of the fraud example: aggregates of public Medicare files, one row a provider.
public enum ProviderSchema {
  /// The label column; "1" is an excluded provider.
  public static let label = "fraudulent_provider"
  public static let positive = "1"

  /// The 49 features, in file order: `female`, then three aggregates of each of 16 quantities.
  public static let features: [String] = ["female"] + quantities.flatMap(\.columns)

  /// Which public file a quantity comes from.
  enum Segment: Int, CaseIterable {
    case supplier, physician, prescriber
  }

  /// A quantity recorded per line of a provider's claims, and how its aggregates are distributed.
  struct Quantity {
    let name: String
    let segment: Segment
    /// Mean of log(1 + provider's mean), over providers.
    let logMean: Double
    /// Its standard deviation.
    let logDeviation: Double
    /// Standard deviation over a provider's lines as a fraction of the mean, on average.
    let variation: Double
    /// Smallest value the public files contain (they suppress small counts).
    let minimum: Double
    /// Whether aggregates are amounts of money, with cents.
    let isAmount: Bool

    var columns: [String] {
      let aggregates =
        segment == .supplier ? ["standard_deviation", "mean", "sum"] : ["mean", "sum", "standard_deviation"]
      return aggregates.map { "\(name)_\($0)" }
    }
  }

  static let quantities: [Quantity] = [
    quantity("tot_suplrs", .supplier, 1.32, 0.56, 0.7, minimum: 1),
    quantity("tot_suplr_benes", .supplier, 1.95, 0.52, 0.5, minimum: 5),
    quantity("tot_suplr_clms", .supplier, 3.0, 0.5, 0.6, minimum: 11),
    quantity("tot_suplr_srvcs", .supplier, 4.3, 1.66, 1.3, minimum: 11),
    quantity("avg_suplr_sbmtd_chrg", .supplier, 4.59, 1.08, 1.1, minimum: 0.13, isAmount: true),
    quantity("avg_suplr_mdcr_pymt_amt", .supplier, 3.32, 1.10, 1.1, minimum: 0.02, isAmount: true),
    quantity("bene_unique_cnt", .physician, 4.01, 0.55, 0.9, minimum: 11),
    quantity("line_svc_cnt", .physician, 4.59, 0.79, 1.3, minimum: 11),
    quantity("bene_day_srvc_cnt", .physician, 4.47, 0.66, 1.2, minimum: 11),
    quantity("average_submitted_chrg_amt", .physician, 5.20, 0.78, 0.8, minimum: 4.51, isAmount: true),
    quantity("average_medicare_payment_amt", .physician, 4.09, 0.57, 0.8, minimum: 2.65, isAmount: true),
    quantity("total_claim_count", .prescriber, 3.56, 0.51, 0.9, minimum: 11),
    quantity("total_30_day_fill_count", .prescriber, 3.89, 0.61, 1.0, minimum: 11, isAmount: true),
    quantity("total_day_supply", .prescriber, 7.06, 0.86, 1.1, minimum: 14),
    quantity("total_drug_cost", .prescriber, 7.49, 1.32, 2.0, minimum: 35.9, isAmount: true),
    quantity("bene_count", .prescriber, 2.5, 0.46, 0.8, minimum: 5),
  ]

  private static func quantity(
    _ name: String, _ segment: Segment, _ logMean: Double, _ logDeviation: Double, _ variation: Double,
    minimum: Double, isAmount: Bool = false
  ) -> Quantity {
    Quantity(
      name: name, segment: segment, logMean: logMean, logDeviation: logDeviation, variation: variation,
      minimum: minimum, isAmount: isAmount)
  }
}
