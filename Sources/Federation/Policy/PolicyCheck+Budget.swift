import DifferentialPrivacy

/// What a run with differential privacy would cost, held against the ceilings.
extension Policy {
  /// Nothing for a plan without noise, which ``explain(_:manifest:featureCount:ledger:run:at:timeZone:)`` holds against the unit.
  func budgetChecks(
    _ plan: RunPlan, _ manifest: Manifest, features: Int, _ ledger: (entries: PrivacyLedger, dataSet: String)?,
    _ run: RunIdentifier?
  ) -> [PolicyCheck] {
    guard plan.privacy.settings != nil, let ceiling else { return [] }
    do throws(FederationError) {
      guard let agreement = try NoiseAgreement(plan: plan, manifest: manifest, features: features) else { return [] }
      let known = if let ledger { ledger.entries } else { try PrivacyLedger() }
      // A client that comes back to its run has paid for a part of it.
      var charges = agreement.charges(left: run, dataSet: ledger?.dataSet ?? "", in: known)
      if ceiling.whenShort == .stop {
        // Who stops when short joins whatever can begin.
        charges = known.entries.contains { $0.run == run } ? [] : [agreement.charge(of: .fit)].compactMap { $0 }
      }
      let forecast = try ceiling.forecast(charges, of: ledger?.dataSet ?? "", ledger: known)
      return Self.unaccounted(ceiling, known) + Self.checks(forecast, extent: ceiling.whenShort)
    } catch {
      return [
        PolicyCheck(
          rule: "privacy.epsilon", policyValue: PrivacyForecast.text(ceiling.epsilon), planValue: error.message,
          isSatisfied: false, requirement: "what the run costs must be known")
      ]
    }
  }

  /// Why no number can be given, where that is so.
  private static func unaccounted(_ ceiling: PrivacyCeiling, _ ledger: PrivacyLedger) -> [PolicyCheck] {
    let count = ledger.sumsWithoutNoise(for: ceiling.unit, trustsServer: ceiling.trustsServer)
    guard !ceiling.leavesOutEarlier, ledger.isIncomplete || count > 0 else { return [] }
    var found =
      count > 0
      ? ["\(count == 1 ? "1 sum" : "\(count) sums") left without noise for the unit \(ceiling.unit.rawValue)"] : []
    if ledger.isIncomplete { found.append("an older state has forgotten charges") }
    return [
      PolicyCheck(
        rule: "privacy.earlierSums", policyValue: "refuse", planValue: found.joined(separator: ", "),
        isSatisfied: false,
        requirement: "what left before must be accounted for, or left out by the policy (accept)")
    ]
  }

  private static func checks(_ forecast: PrivacyForecast, extent: PrivacyCeiling.Shortage) -> [PolicyCheck] {
    let ceiling = forecast.ceiling
    let what = extent == .refuse ? "this run" : "its first round"
    func check(_ rule: String, _ limit: Double, spent: Double, after: Double, _ requirement: String) -> PolicyCheck {
      PolicyCheck(
        rule: rule, policyValue: "\(PrivacyForecast.text(limit)) at delta \(ceiling.delta)",
        planValue: "\(PrivacyForecast.text(spent)) spent, \(PrivacyForecast.text(after)) with \(what)",
        isSatisfied: after <= limit, requirement: requirement)
    }
    return [
      check(
        "privacy.epsilon", ceiling.epsilon, spent: forecast.spent, after: forecast.after,
        "the data set may be charged at most so much"),
      check(
        "privacy.epsilonInAll", ceiling.epsilonInAll, spent: forecast.spentInAll, after: forecast.afterInAll,
        "all data together may be charged at most so much"),
    ]
  }
}

extension PolicyCheck {
  /// A check that could not be made: the answer is no.
  static let noLedger = PolicyCheck(
    rule: "privacy.epsilon", policyValue: "a ceiling", planValue: "no ledger to hold it against", isSatisfied: false,
    requirement: "what was charged before must be known")
}
