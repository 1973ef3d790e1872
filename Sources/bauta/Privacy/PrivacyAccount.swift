import DifferentialPrivacy
import Federation
import FederationClient
import Foundation

/// An organisation's ledger with the ceilings of its policy.
struct PrivacyAccount: Sendable {
  /// What a run would do to it.
  struct Budget: Sendable {
    let name: String
    let forecast: PrivacyForecast
    /// Such runs that fit from here, up to ``most``.
    let runs: Int

    static let most = 1000
  }

  let name: String
  let ledger: PrivacyLedger
  let ceiling: PrivacyCeiling?

  /// - Throws: `FederationError`, `ClientError` where a file cannot be read.
  init(directory path: String) throws {
    let directory = try OrganizationDirectory(opening: path)
    name = directory.name.value
    ceiling = try Policy(contentsOf: directory.policyPath).ceiling
    ledger = try StoredLedger.read(directory)
  }

  /// Nil where the policy has no ceiling.
  func budget(for charges: [(event: PrivacyEvent, count: Int)], data: String?) throws -> Budget? {
    guard let ceiling else { return nil }
    let dataSet = data.map(StoredLedger.dataSet(at:)) ?? ""
    func forecast(_ runs: Int) throws -> PrivacyForecast {
      try ceiling.forecast(charges.map { ($0.event, $0.count * runs) }, of: dataSet, ledger: ledger)
    }
    // More runs cost more: the largest number that fits, by halves.
    var (low, high) = (0, 1)
    while high <= Budget.most, try forecast(high).isAffordable { (low, high) = (high, 2 * high) }
    high = min(high, Budget.most + 1)
    while high - low > 1 {
      let middle = (low + high) / 2
      if try forecast(middle).isAffordable { low = middle } else { high = middle }
    }
    return Budget(name: name, forecast: try forecast(1), runs: low)
  }
}
