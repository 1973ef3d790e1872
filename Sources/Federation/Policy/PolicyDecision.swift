public import Cryptography
public import Foundation

/// What a message is, as far as a decision about it goes.
public enum OutboundKind: String, Sendable, CaseIterable {
  // Control: nothing in it depends on the data.
  case hello, acceptance, refusal, ready, poll, fetch, pins, witness
  // Under an accepted plan only.
  case advertiseKeys, beaconReveal, shareKeys, maskedInput, maskedInputSegment, consistencyCheck, unmasking, complaint

  /// Whether it may leave only under a plan that the policy has accepted.
  public var requiresAcceptedPlan: Bool {
    switch self {
    case .hello, .refusal, .ready, .poll, .fetch, .pins, .witness: false
    case .acceptance, .advertiseKeys, .beaconReveal, .shareKeys, .maskedInput, .maskedInputSegment, .consistencyCheck,
      .unmasking, .complaint:
      true
    }
  }

  /// Whether it is a message of a sum, the first of which may leave only once the sum is paid for.
  public var belongsToSum: Bool {
    switch self {
    case .hello, .acceptance, .refusal, .ready, .poll, .fetch, .pins, .witness: false
    case .advertiseKeys, .beaconReveal, .shareKeys, .maskedInput, .maskedInputSegment, .consistencyCheck, .unmasking,
      .complaint:
      true
    }
  }
}

/// Messages without content that depends on data, which need no accepted plan.
public enum ControlMessage: String, Sendable, CaseIterable {
  case hello, ready, poll, fetch, pins, witness
}

/// The five classes of reason that may leave an organisation; the reason itself stays in its own log.
public enum RefusalClass: String, Sendable, CaseIterable, Codable {
  case policy
  case `protocol`
  case state
  case unavailable
  /// The privacy budget does not reach the sum.
  case budget
}

/// Only this file can make one, and so a value that holds one: an extension elsewhere in the module cannot.
private struct Seal: Sendable {}

/// Proof that a policy was asked about one message, for the gate that lets it out and for its record.
///
/// Can be made only here: from an ``AcceptedPlan``, from a ``PolicyRefusal``, or for a control message. It is used up
/// by sending one message.
public struct PolicyDecision: ~Copyable, Sendable {
  public enum Verdict: String, Sendable {
    case allowed, refused
  }

  /// Whether the plan was accepted or refused. A refusal, too, is a message that may leave.
  public let verdict: Verdict
  public let kind: OutboundKind
  /// The rules that decided, as the policy file names them; `control` for messages outside any plan.
  public let rules: [String]
  /// The policy that decided; nil for a control message.
  public let policy: SHA256Digest?
  /// The plan that was decided upon; nil for a control message.
  public let plan: PlanHash?
  /// Whether the message belongs to a sum with differential privacy, which is to be charged before it leaves.
  public let requiresCharge: Bool
  private let seal: Seal

  fileprivate init(
    verdict: Verdict, kind: OutboundKind, rules: [String], policy: SHA256Digest?, plan: PlanHash?,
    requiresCharge: Bool = false
  ) {
    seal = Seal()
    self.requiresCharge = requiresCharge
    self.verdict = verdict
    self.kind = kind
    self.rules = rules
    self.policy = policy
    self.plan = plan
  }

  /// For a message that carries nothing that depends on data.
  public static func protocolControl(_ message: ControlMessage) -> PolicyDecision {
    let kind: OutboundKind =
      switch message {
      case .hello: .hello
      case .ready: .ready
      case .poll: .poll
      case .fetch: .fetch
      case .pins: .pins
      case .witness: .witness
      }
    return PolicyDecision(verdict: .allowed, kind: kind, rules: ["control"], policy: nil, plan: nil)
  }

  /// For a refusal on other grounds than the policy (the data are not there, the state forbids it): a fixed-size
  /// message of one of four classes.
  public static func refusing(_ reason: RefusalClass, plan: PlanHash?) -> PolicyDecision {
    PolicyDecision(verdict: .refused, kind: .refusal, rules: [reason.rawValue], policy: nil, plan: plan)
  }

  /// The rules as one text, for the record.
  public var rule: String { rules.joined(separator: " ") }
}

/// Proof that a policy has accepted a plan under a manifest. The plan's data may leave under no other value.
public struct AcceptedPlan: Sendable {
  public let plan: RunPlan
  public let manifest: ManifestHash
  public let policy: SHA256Digest
  /// Every rule that was held against the plan; all are satisfied.
  public let checks: [PolicyCheck]
  private let seal: Seal

  fileprivate init(plan: RunPlan, manifest: ManifestHash, policy: SHA256Digest, checks: [PolicyCheck]) {
    seal = Seal()
    self.plan = plan
    self.manifest = manifest
    self.policy = policy
    self.checks = checks
  }

  /// The decision for one message of the run. Hours decide when a run may begin; one that has begun goes on.
  public func decision(for kind: OutboundKind) -> PolicyDecision {
    PolicyDecision(
      verdict: .allowed, kind: kind, rules: checks.map(\.rule), policy: policy, plan: plan.hash,
      requiresCharge: plan.privacy.settings != nil && kind.belongsToSum)
  }
}

/// A policy's refusal of a plan, with every rule that was violated.
///
/// Stays in the organisation: what leaves is ``RefusalClass/policy`` alone.
public struct PolicyRefusal: BlamedError, Hashable {
  public let violations: [PolicyCheck]
  public let plan: PlanHash
  public let policy: SHA256Digest

  fileprivate init(violations: [PolicyCheck], plan: PlanHash, policy: SHA256Digest) {
    self.violations = violations
    self.plan = plan
    self.policy = policy
  }

  public var reason: RefusalClass { .policy }

  public var code: String { "policy-refused" }
  public var blame: Blame { .peer }
  public var message: String {
    "the policy refuses the plan: " + violations.map(\.description).joined(separator: "; ")
  }
  public var remedy: String {
    "Ask the operator for a plan within the policy, or let the security officer change the policy."
  }

  /// The decision for the message that says so.
  public var decision: PolicyDecision {
    PolicyDecision(verdict: .refused, kind: .refusal, rules: violations.map(\.rule), policy: policy, plan: plan)
  }
}

extension Policy {
  /// Decides whether this organisation takes part.
  ///
  /// - Parameters:
  ///   - featureCount: features of the organisation's own data under the plan.
  ///   - ledger: what has been charged, and for which data set a run under the plan would be. Without it every plan with
  ///     differential privacy is refused.
  ///   - run: what the ledger has for it is not counted again.
  ///   - moment: now.
  /// - Throws: ``PolicyRefusal`` with every rule that is violated.
  public func decide(
    plan: RunPlan, manifest: SignedManifest, featureCount: Int, ledger: (entries: PrivacyLedger, dataSet: String)?,
    run: RunIdentifier? = nil, at moment: Date, timeZone: TimeZone = .current
  ) throws(PolicyRefusal) -> AcceptedPlan {
    var checks = explain(
      plan, manifest: manifest.manifest, featureCount: featureCount, ledger: ledger, run: run, at: moment,
      timeZone: timeZone)
    if plan.privacy.settings != nil, ledger == nil { checks.append(.noLedger) }
    let violations = checks.filter { !$0.isSatisfied }
    guard violations.isEmpty else { throw PolicyRefusal(violations: violations, plan: plan.hash, policy: hash) }
    return AcceptedPlan(plan: plan, manifest: manifest.hash, policy: hash, checks: checks)
  }
}
