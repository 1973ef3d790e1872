import Cryptography
import DifferentialPrivacy
public import Foundation

/// One rule of a policy held against a plan.
public struct PolicyCheck: Sendable, Hashable, CustomStringConvertible {
  /// The rule as the policy file names it, for instance `bounds.rounds`.
  public let rule: String
  /// What the policy says.
  public let policyValue: String
  /// What the plan, the manifest or the moment brings.
  public let planValue: String
  public let isSatisfied: Bool
  /// The requirement in plain words.
  public let requirement: String

  public var description: String {
    "\(rule): \(requirement); the policy says \(policyValue), the plan \(planValue)"
  }
}

extension Policy {
  /// Every rule with what it is held against, in the order of the policy file.
  ///
  /// - Parameters:
  ///   - manifest: without one, the cohort's rules are held against the plan alone.
  ///   - featureCount: features of the data; without one, those that the plan names, if it does.
  ///   - ledger: what has been charged, and the data set that a run would read; without it, the run alone is held against
  ///     the ceiling.
  ///   - run: one that may have begun: what the ledger has for it is not counted again.
  ///   - moment: when the run would begin; without one, hours are not checked.
  public func explain(
    _ plan: RunPlan, manifest: Manifest? = nil, featureCount: Int? = nil,
    ledger: (entries: PrivacyLedger, dataSet: String)? = nil, run: RunIdentifier? = nil, at moment: Date? = nil,
    timeZone: TimeZone = .current
  ) -> [PolicyCheck] {
    var checks = allowanceChecks(plan) + cohortChecks(plan, manifest) + boundChecks(plan, featureCount)
    checks.append(
      check("privacy.unit", privacy.rawValue, plan.privacy.unit.rawValue, "noise must hide what the policy says") {
        privacy == plan.privacy.unit
      })
    if plan.privacy.settings?.placement == .central {
      let trusts = ceiling?.trustsServer ?? false
      checks.append(
        check(
          "privacy.trustServer", "\(trusts)", "noise: central", "\(CentralGaussian.trust): only where that is allowed"
        ) {
          trusts
        })
    }
    if let manifest, let count = featureCount ?? named(plan) {
      checks += budgetChecks(plan, manifest, features: count, ledger, run)
    }
    if let moment {
      let shown = Self.clock(moment, timeZone)
      checks.append(
        check("hours", hours.description, shown, "a run may begin only within the hours") {
          hours.contains(moment, timeZone: timeZone)
        })
    }
    return checks
  }

  private func allowanceChecks(_ plan: RunPlan) -> [PolicyCheck] {
    let statistics = plan.requiredStatistics
    return [
      check(
        "allow.programs", Self.list(allow.programs), plan.trainer.program.rawValue, "the trainer must be allowed"
      ) { allow.programs.contains(plan.trainer.program) },
      check("allow.models", Self.list(allow.models), plan.model.kind.rawValue, "the model must be allowed") {
        allow.models.contains(plan.model.kind)
      },
      check(
        "allow.statistics", Self.list(allow.statistics), Self.list(statistics), "every statistic must be allowed"
      ) { statistics.allSatisfy(allow.statistics.contains) },
    ]
  }

  private func cohortChecks(_ plan: RunPlan, _ manifest: Manifest?) -> [PolicyCheck] {
    let guaranteed =
      TaskKind.allCases.filter(plan.performs)
      .map { TaskLayout.minimumCohort(of: $0, plan: plan, manifest: manifest) }.min() ?? 0
    var checks = [
      check(
        "cohort.minimum", String(cohort.minimum), String(guaranteed),
        "a sum must be over at least so many organisations"
      ) { guaranteed >= cohort.minimum }
    ]
    if let manifest {
      let honest = guaranteed - manifest.assumedCorrupt
      checks.append(
        check(
          "cohort.minimumHonest", String(cohort.minimumHonest), String(honest),
          "so many must remain without those assumed corrupt"
        ) { honest >= cohort.minimumHonest })
    }
    return checks
  }

  private func named(_ plan: RunPlan) -> Int? {
    if case .named(let names) = plan.task.features { names.count } else { nil }
  }

  private func boundChecks(_ plan: RunPlan, _ featureCount: Int?) -> [PolicyCheck] {
    let dimension = (featureCount ?? named(plan)).map(TaskLayout.tensorCount)
    var checks: [PolicyCheck] = []
    if let dimension {
      checks.append(
        check(
          "bounds.dimension", String(bounds.dimension), String(dimension),
          "the model may have at most so many parameters"
        ) { dimension <= bounds.dimension })
    }
    let bits = "\(bounds.bits.lowerBound) to \(bounds.bits.upperBound)"
    checks.append(
      check("bounds.bits", bits, String(plan.secureSum.bits), "a coordinate's width must lie within") {
        bounds.bits.contains(plan.secureSum.bits)
      })
    if plan.clipsValues {
      checks.append(
        check(
          "bounds.clip", Self.number(bounds.clip), Self.number(plan.secureSum.clip), "values may be clipped at most at"
        ) { plan.secureSum.clip <= bounds.clip })
    }
    checks.append(
      check("bounds.rounds", String(bounds.rounds), String(plan.rounds), "a run may have at most so many rounds") {
        plan.rounds <= bounds.rounds
      })
    return checks
  }

  private func check(
    _ rule: String, _ policyValue: String, _ planValue: String, _ requirement: String, _ isSatisfied: () -> Bool
  ) -> PolicyCheck {
    PolicyCheck(
      rule: rule, policyValue: policyValue, planValue: planValue, isSatisfied: isSatisfied(), requirement: requirement)
  }

  private static func list<Value: RawRepresentable>(_ values: [Value]) -> String where Value.RawValue == String {
    "[\(values.map(\.rawValue).joined(separator: ", "))]"
  }

  private static func number(_ value: Double) -> String {
    value == value.rounded() && value.magnitude < 1e15 ? String(Int(value)) : String(value)
  }

  private static func clock(_ moment: Date, _ timeZone: TimeZone) -> String {
    var calendar = Calendar(identifier: .gregorian)
    calendar.timeZone = timeZone
    let parts = calendar.dateComponents([.weekday, .hour, .minute], from: moment)
    let day = AllowedHours.Window.dayNames[((parts.weekday ?? 2) + 5) % 7]
    func twoDigits(_ value: Int?) -> String {
      let text = String(value ?? 0)
      return text.count < 2 ? "0" + text : text
    }
    return "\(day) \(twoDigits(parts.hour)):\(twoDigits(parts.minute))"
  }
}
