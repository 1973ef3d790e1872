import ArgumentParser
import DifferentialPrivacy
import Federation
import FederationClient
import Foundation

struct PrivacySpentCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "spent", abstract: "Say what this organisation's data have been charged.",
    discussion: """
      Reads the organisation's own ledger: every sum with noise that it took part in, whatever became of it, at the worst \
      case. Charges are never taken back. Epsilon is that of all charges together, which is less than the sum of each.

        bauta privacy spent --directory alder
        bauta privacy spent --directory alder --json | jq .inAll.epsilon
      """)

  @OptionGroup var place: DirectoryOption
  @OptionGroup var format: JSONOption

  /// A data set, or all of them.
  private struct Row {
    let name: String?
    let runs: Int
    let charges: Int
    let epsilon: Double
    let ceiling: Double
  }

  func run() async throws {
    let account = try PrivacyAccount(directory: place.directory)
    guard let ceiling = account.ceiling else {
      try showWithoutCeiling(account)
      return
    }
    let entries = account.ledger.entries
    func row(_ name: String?) throws -> Row {
      let own = entries.filter { $0.unit == ceiling.unit && (name == nil || $0.dataSet == name) }
      return Row(
        name: name, runs: Set(own.map(\.run)).count, charges: own.count,
        epsilon: try account.ledger.epsilon(
          of: name, unit: ceiling.unit, delta: ceiling.delta, leavingOut: ceiling.leavesOutEarlier,
          trustsServer: ceiling.trustsServer),
        ceiling: name == nil ? ceiling.epsilonInAll : ceiling.epsilon)
    }
    var rows: [Row] = []
    for name in Set(entries.map(\.dataSet)).sorted() { rows.append(try row(name)) }
    let all = try row(nil)
    if format.json {
      Output.standard.json(json(account, rows, all, delta: ceiling.delta))
    } else {
      show(account, rows, all, delta: ceiling.delta)
    }
  }

  private func showWithoutCeiling(_ account: PrivacyAccount) throws {
    let plain = account.ledger.entries.count { $0.unit == .none }
    let count = account.ledger.entries.count - plain
    if format.json {
      Output.standard.json(
        .object([
          "schema": .string("bauta/privacy-spent/1"), "organization": .string(account.name), "charges": .count(count),
          "chargesTrustingServer": .count(account.ledger.entries.count { $0.noise == .central }),
          "complete": .boolean(!account.ledger.isIncomplete),
          "sumsWithoutNoise": .count(plain), "delta": .null, "dataSets": .array([]), "inAll": .null,
        ]))
    } else {
      Output.standard.line(
        "\(account.name, .strong): the policy has no privacy budget (privacy.unit: none); \(Figures.counted(count, "charge")) in the ledger."
      )
    }
  }

  private func show(_ account: PrivacyAccount, _ rows: [Row], _ all: Row, delta: Double) {
    let output = Output.standard
    output.line("\(account.name, .strong): charged so far, at δ = \(delta)")
    var table = Table(
      [.text("data"), .number("runs"), .number("charges"), .number("ε"), .number("ceiling"), .number("left")],
      indentation: 2)
    let leftInAll = max(0, all.ceiling - all.epsilon)
    for row in rows + [all] {
      // What all data together have left is the most that is left of any.
      let left = min(leftInAll, max(0, row.ceiling - row.epsilon))
      table.append([
        "\(row.name ?? "all data together")", "\(row.runs)", "\(row.charges)",
        "\(PrivacyAccount.text(row.epsilon, .up))",
        "\(Figures.decimals(row.ceiling, 4))",
        StyledText(PrivacyAccount.text(left, .down), left > 0 ? .good : .bad),
      ])
    }
    output.table(table)
    if let ceiling = account.ceiling {
      showTrust(account.ledger, ceiling)
      showWhatIsUnknown(account.ledger, ceiling)
    }
    output.line("What fits into the rest: bauta privacy plan PLAN --directory \(place.directory)")
  }

  /// Charges that rest on the server.
  private func showTrust(_ ledger: PrivacyLedger, _ ceiling: PrivacyCeiling) {
    let central = Self.central(ledger, ceiling)
    guard central > 0, ceiling.trustsServer else { return }
    Output.standard.line(
      StyledText(
        "\(Figures.counted(central, "charge")) for noise: central, of which \(CentralGaussian.trust), as the policy allows "
          + "(trustServer: true): the numbers hold against all others.", .caution))
  }

  private static func central(_ ledger: PrivacyLedger, _ ceiling: PrivacyCeiling) -> Int {
    ledger.entries.count { $0.unit == ceiling.unit && $0.noise == .central }
  }

  /// What no number can be given for.
  private func showWhatIsUnknown(_ ledger: PrivacyLedger, _ ceiling: PrivacyCeiling) {
    let plain = ledger.sumsWithoutNoise(for: ceiling.unit, trustsServer: ceiling.trustsServer)
    guard plain > 0 || ledger.isIncomplete else { return }
    let what =
      plain == 0
      ? "an older state took the place of a newer one, and charges may be missing ('bauta client doctor' says more)"
      : "\(Figures.counted(plain, "sum")) left without noise for the unit \(ceiling.unit.rawValue)"
    Output.standard.line(
      StyledText(
        ceiling.leavesOutEarlier
          ? "Left out of account, as the policy says (earlierSums: accept): \(what)."
          : "No number can be given: \(what). To count from here on: privacy.earlierSums: accept in policy.yaml.",
        .caution))
  }

  private func json(_ account: PrivacyAccount, _ rows: [Row], _ all: Row, delta: Double) -> JSONValue {
    func object(_ row: Row) -> JSONValue {
      .object([
        "dataSet": .optional(row.name), "runs": .count(row.runs), "charges": .count(row.charges),
        "epsilon": row.epsilon.isFinite ? .number(row.epsilon) : .null, "ceiling": .number(row.ceiling),
      ])
    }
    return .object([
      "schema": .string("bauta/privacy-spent/1"), "organization": .string(account.name),
      "charges": .count(all.charges),
      "chargesTrustingServer": .count(account.ceiling.map { Self.central(account.ledger, $0) } ?? 0),
      "sumsWithoutNoise": .count(
        account.ceiling.map { account.ledger.sumsWithoutNoise(for: $0.unit, trustsServer: $0.trustsServer) } ?? 0),
      "complete": .boolean(!account.ledger.isIncomplete), "delta": .number(delta),
      "dataSets": .array(rows.map(object)), "inAll": object(all),
    ])
  }
}
