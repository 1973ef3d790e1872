import ArgumentParser
import DifferentialPrivacy
import Federation
import FederationClient
import Foundation

/// An organisation's ledger with the ceilings of its policy.
struct PrivacyAccount: Sendable {
  /// What a run would do to it.
  struct Budget: Sendable {
    let name: String
    /// As the ledger names it; empty for all data together.
    let dataSet: String
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
    try Participant.requireNoServer(path)
    let directory = try OrganizationDirectory(opening: path)
    name = directory.name.value
    ceiling = try Policy(contentsOf: directory.policyPath).ceiling
    ledger = try StoredLedger.read(directory)
  }

  /// Nil where the policy has no ceiling.
  func budget(for charges: [(event: PrivacyEvent, count: Int)], data: String?) throws -> Budget? {
    guard let ceiling else { return nil }
    let dataSet = try PlannedDataOption.dataSet(data, in: ledger)
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
    return Budget(name: name, dataSet: dataSet, forecast: try forecast(1), runs: low)
  }

  /// Four digits that never say less than was charged, nor more than is left.
  static func text(_ value: Double, _ rule: FloatingPointRoundingRule = .up) -> String {
    PrivacyForecast.text(value, digits: 4, rule)
  }

  /// Below it nothing is learned from any data that an organisation has.
  static let leastEpsilon = 0.1

  /// The largest ε, to about a hundredth, at which a run like this one still fits; nil where it is below ``leastEpsilon``.
  ///
  /// - Throws: `FederationError` for a ledger that cannot be accounted for.
  func affordable(_ planned: PlannedPrivacy, dataSet: String) throws -> Double? {
    guard let ceiling else { return nil }
    func fits(_ epsilon: Double) throws -> Bool {
      // Too little noise for the grid, or more than fits into the words: not a plan that could be carried out.
      guard let form = try? planned.agreement.form(epsilon: epsilon) else { return false }
      return try ceiling.forecast(form.charges, of: dataSet, ledger: ledger).isAffordable
    }
    var (low, high) = (0.0, planned.agreement.form.epsilon)
    for _ in 0..<10 {
      let middle = (low + high) / 2
      if try fits(middle) { low = middle } else { high = middle }
    }
    let rounded = (low * 100).rounded(.down) / 100
    return try rounded >= Self.leastEpsilon && fits(rounded) ? rounded : nil
  }
}

/// `--data` of commands that hold a plan against a ledger.
enum PlannedDataOption {
  static let help = ArgumentHelp(
    "The data set whose account counts. Without it, the only one that was charged, or all data together.",
    valueName: "file")

  /// How the ledger names it; empty for all data together.
  ///
  /// - Throws: `CommandError` for a file that is neither there nor in the ledger: a slip of the pen has spent nothing.
  static func dataSet(_ path: String?, in ledger: PrivacyLedger) throws(CommandError) -> String {
    let charged = Set(ledger.entries.map(\.dataSet))
    guard let path else { return charged.count == 1 ? charged.first ?? "" : "" }
    let name = StoredLedger.dataSet(at: path)
    guard charged.contains(name) || LocalFile.exists(path) else { throw .missing(path: path, what: "file") }
    return name
  }
}
