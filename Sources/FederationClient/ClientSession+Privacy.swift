import AuditLog
import DifferentialPrivacy
import Federation
import FederationWire
import Foundation
import SecureAggregation

/// What sums with noise cost, and that it is paid before anything of them leaves.
extension ClientSession {
  /// A sum that is to be charged with its first attempt, and what it leads to.
  struct PendingCharge {
    let entry: LedgerEntry
    let before: Double
    let after: Double
  }

  /// What goes into the ledger with a sum's attempt: its charge, or that it leaves without noise.
  func ledgerEntry(
    for opening: OpeningIdentifier, _ charge: PendingCharge?, isNoised: Bool, _ active: ActiveRun
  ) -> LedgerEntry? {
    guard !isNoised else { return charge?.entry }
    return LedgerEntry(
      dataSet: active.dataSet, run: opening.run, task: opening.task, round: opening.round, unit: .none,
      event: .unbounded, time: Int64(Date().timeIntervalSince1970))
  }

  /// Holds a sum that was not charged before against the ceilings.
  ///
  /// - Returns: nil for one that costs nothing, and for one that was charged in an earlier attempt, which masked the same
  ///   term.
  /// - Throws: ``ClientError/budget(_:)`` if it would pass a ceiling; ``ClientError/federation(_:)``.
  func pendingCharge(
    for opening: OpeningIdentifier, _ noise: NoiseAgreement?, _ active: ActiveRun
  ) throws(ClientError) -> PendingCharge? {
    guard let noise else { return nil }
    guard let ceiling = active.policy.ceiling else { throw .unexpected("a sum with noise under a policy without") }
    let ledger = try parts.store.ledger()
    guard ledger.charge(for: opening) == nil else { return nil }
    guard let charge = noise.charge(of: opening, dataSet: active.dataSet, in: ledger) else {
      throw .unexpected("a sum that the plan has no noise for")
    }
    let entry = LedgerEntry(
      dataSet: active.dataSet, run: opening.run, task: opening.task, round: opening.round, unit: ceiling.unit,
      event: charge.event, count: charge.count, noise: noise.settings.placement,
      time: Int64(Date().timeIntervalSince1970))
    let forecast: PrivacyForecast
    do throws(FederationError) {
      forecast = try ceiling.forecast([charge], of: active.dataSet, ledger: ledger)
    } catch { throw .federation(error) }
    guard forecast.isAffordable else { throw .budget(BudgetShortage(opening: opening, forecast: forecast)) }
    return PendingCharge(entry: entry, before: forecast.spent, after: forecast.after)
  }

  /// Puts a charge that is in the ledger on the log's record as well.
  func record(_ charge: PendingCharge, context: AggregationContext) throws(ClientError) {
    try record(.privacyCharge) {
      $0.task = charge.entry.task.rawValue
      $0.round = charge.entry.round
      $0.context = context.digest
      if charge.entry.noise == .central { $0.reason = CentralGaussian.trust }
      $0.maskedInput = maskedInput(context, masks: 0, noise: nil, charge: charge)
    }
    let entry = charge.entry
    progress(
      .charged(
        run: entry.run, task: entry.task, round: entry.round, count: entry.count, epsilon: charge.after,
        noise: entry.noise))
  }

  /// What is said of a term beside its bytes.
  func maskedInput(
    _ context: AggregationContext, masks: Int, noise: NoisedRelease?, charge: PendingCharge?
  ) -> AuditRecord.MaskedInput {
    // Where the clip moves, the term is in multiples of it: what is on record is in the units of the model.
    let unit = run.flatMap { run in run.progression.artifact.map(run.progression.unit) } ?? 1
    var input = AuditRecord.MaskedInput(
      dimension: context.parameters.tensorCount, counters: context.parameters.counterCount,
      bits: context.parameters.bits, masks: masks, clip: .init(context.parameters.clip * unit))
    if let noise { input.localNoise = .init(noise.noise.variance(shares: 1).squareRoot() / context.scale * unit) }
    if let charge {
      input.epsilonCharged = .init(charge.after - charge.before)
      input.epsilonTotal = .init(charge.after)
    }
    return input
  }

  /// The charge under which a message leaves, from the ledger as it is on disk.
  func charge(for body: ClientMessage.Body) throws(ClientError) -> PrivacyCharge {
    guard run?.agreement.plan.privacy.settings != nil, let opening = body.opening,
      let charge = try parts.store.ledger(of: opening).proof(for: opening)
    else { return .notPrivate() }
    return charge
  }
}
