import Cryptography
import Foundation
import SecureAggregation

/// Many virtual organisations and a server in one process, going through real secure sums.
///
/// Every organisation is a ``SecureAggregation/ClientRound``, the server a ``SecureAggregation/ServerRound``: the same
/// machines, keys, signatures and masks as between processes. Left out are the network, disks, training and the rules
/// about reopening. Terms, who leaves, who misbehaves and when follow from the seed; **keys do not**: they are drawn
/// from the system's generator, as everywhere. So a replay gives the same dropouts, misbehaviour, terms, sums and
/// ``SimulationReport/outcome``. Bytes are the same too on the complete graph; on a k-regular one the graph follows from
/// fresh nonces, and with it who has how many neighbours left and how many hashes complete a tree: some hundred bytes
/// more or less.
///
/// An organisation that does not answer costs a name and a key. Masked inputs are added as they are made: as many are
/// in memory as cores are used.
public struct Simulation: Sendable {
  private let settings: SimulationSettings
  private let server: SimulatedIdentity
  private let organizations: [SimulatedIdentity]
  /// Of the first attempt.
  private let first: AggregationContext

  /// Makes the organisations.
  /// - Throws: ``SimulationError/refused(_:)`` if the secure sum refuses the parameters.
  public init(_ settings: SimulationSettings) throws(SimulationError) {
    self.settings = settings
    do throws(AggregationError) {
      do throws(CryptographyError) {
        try initializeCryptography()
        server = try SimulatedIdentity(number: 0)
        var organizations: [SimulatedIdentity] = []
        for number in 1...settings.organizations { organizations.append(try SimulatedIdentity(number: number)) }
        self.organizations = organizations
      } catch { throw .local(error) }
      first = try Self.context(settings, server: server, organizations: organizations, round: 1, attempt: 1)
    } catch { throw .refused(error) }
  }

  /// Runs all rounds, or up to the first that stops.
  ///
  /// - Parameter progress: is told of every answer, from the threads that work and never two times at once for one
  ///   organisation.
  public func run(
    progress: @Sendable (SimulationProgress) -> Void = { _ in }
  ) throws(SimulationError) -> SimulationReport {
    let clock = ContinuousClock()
    let beginning = clock.now
    var sums: [SumOutcome] = []
    var meters: [RoundStage: StageMeter] = [:]
    var maskedInputBytes = 0
    var outcome = OutcomeDigest()
    for round in 1...settings.rounds {
      let (sum, state, words) = try run(round: round, progress: progress)
      sums.append(sum)
      maskedInputBytes = max(maskedInputBytes, state.maskedInputBytes)
      meters.merge(state.meters) { $0.merging($1) }
      outcome.add(sum, words: words?.words ?? [], counters: words?.counters ?? [])
      if sum.stop != nil { break }
    }
    let stages = RoundScript.stages(isRegular: first.regularGraph != nil)
    return SimulationReport(
      settings: settings, regularGraph: first.regularGraph, threshold: first.threshold,
      stages: stages.map { (meters[$0] ?? StageMeter()).figures(of: $0) }, sums: sums,
      maskedInputBytes: maskedInputBytes, seconds: (clock.now - beginning).inSeconds,
      peakMemoryBytes: Self.peakMemoryBytes, outcome: outcome.finish())
  }

  private func run(
    round: Int, progress: @Sendable (SimulationProgress) -> Void
  ) throws(SimulationError) -> (SumOutcome, RoundState, AggregateSum?) {
    let clock = ContinuousClock()
    let beginning = clock.now
    let names = organizations.map(\.name)
    let script = RoundScript(
      settings: settings, round: round, names: names, isRegular: first.regularGraph != nil)
    var state = RoundState(
      isPresent: Array(repeating: true, count: names.count), injections: script.injections)
    var stop: AggregationError?
    var blamed: [OrganizationName] = []
    var finished: SimulatedAttempt?
    var number = 0
    while stop == nil, finished == nil {
      number += 1
      let attempt = try prepare(round: round, number: number, script: script, state: state)
      let isLast = number == AttemptLedger.maximumAttempt
      do {
        let isDone = try attempt.run(isLast: isLast) { [number] stage, done, total in
          progress(
            SimulationProgress(
              round: round, rounds: settings.rounds, attempt: number, stage: stage, done: done, total: total))
        }
        if isDone { finished = attempt }
      } catch let error as AggregationError {
        stop = error
      } catch let error as CryptographyError {
        stop = .local(error)
      } catch {
        stop = .spool(.unreadable)
      }
      state = attempt.round
      blamed = attempt.blamed
    }
    if stop != nil { state.forgetWhatCouldNotBeNoticed(checksShares: first.verifiesEveryShare) }
    let result = finished?.result
    let survivors = finished?.inputs ?? []
    let sum = SumOutcome(
      round: round, attempts: number, survivors: survivors.map { names[$0] },
      lost: names.indices.filter { !state.isPresent[$0] }.map { names[$0] }, blamed: blamed,
      injections: state.injections.sorted { $0.key < $1.key }.map(\.value),
      isExact: result.map { isExact($0, survivors: survivors, round: round) } ?? false, stop: stop,
      seconds: (clock.now - beginning).inSeconds)
    return (sum, state, result)
  }

  private func prepare(
    round: Int, number: Int, script: RoundScript, state: RoundState
  ) throws(SimulationError) -> SimulatedAttempt {
    do throws(AggregationError) {
      let sendsStray = script.injections.values.contains { $0.misbehavior == .otherRound }
      return try SimulatedAttempt(
        context: try context(round: round, attempt: number), settings: settings, script: script, server: server,
        organizations: organizations, round: state,
        strayContext: sendsStray ? try context(round: round + settings.rounds, attempt: number) : nil,
        terms: { [self] in term(of: $0, round: round) })
    } catch { throw .refused(error) }
  }

  /// Compares with the sum in the clear, which is computed from the terms themselves.
  private func isExact(_ sum: AggregateSum, survivors: [Int], round: Int) -> Bool {
    let expected = ClearSum(
      of: survivors.map { term(of: $0, round: round) }, settings: settings, workers: Workers(count: settings.cores))
    return sum.survivors == survivors.map { organizations[$0].name } && sum.words == expected.words
      && sum.counters == expected.counters
  }

  private func term(of organization: Int, round: Int) -> SimulatedTerm {
    SimulatedTerm(organization: organization, round: round, settings: settings, scale: first.scale)
  }

  private func context(round: Int, attempt: Int) throws(AggregationError) -> AggregationContext {
    if round == 1, attempt == 1 { return first }
    return try Self.context(
      settings, server: server, organizations: organizations, round: round, attempt: attempt)
  }

  private static func context(
    _ settings: SimulationSettings, server: SimulatedIdentity, organizations: [SimulatedIdentity], round: Int,
    attempt: Int
  ) throws(AggregationError) -> AggregationContext {
    var encoder = CanonicalEncoder("bauta/v1/simulation")
    encoder.append(settings.seed)
    encoder.append(UInt64(round))
    encoder.append(UInt64(attempt))
    return try AggregationContext(
      binding: BindingDigest(hashing: encoder.finish()), parameters: try settings.parameters(),
      cohort: organizations.map { CohortMember(name: $0.name, identity: $0.key.verifyingKey) },
      server: server.key.verifyingKey)
  }

  /// The most memory that this process has had, as the system counts it.
  private static var peakMemoryBytes: UInt64 {
    var usage = rusage()
    guard getrusage(Int32(RUSAGE_SELF.rawValue), &usage) == 0 else { return 0 }
    // Linux counts in KiB.
    return UInt64(max(0, usage.ru_maxrss)) * 1024
  }
}

/// Hashes what must be the same in a replay.
private struct OutcomeDigest: ~Copyable {
  private var hasher = SHA256Hasher()

  mutating func add(_ sum: SumOutcome, words: [UInt32], counters: [Int64]) {
    var encoder = CanonicalEncoder("bauta/v1/simulation-outcome")
    encoder.append(UInt64(sum.round))
    encoder.append(UInt64(sum.attempts))
    for names in [sum.survivors, sum.lost, sum.blamed] {
      encoder.append(list: names) { (encoder: inout CanonicalEncoder, name: OrganizationName) in
        encoder.append(name.value)
      }
    }
    encoder.append(list: sum.injections) { (encoder: inout CanonicalEncoder, injection: Injection) in
      encoder.append(injection.organization.value)
      encoder.append(injection.misbehavior.rawValue)
      encoder.append(injection.stage.rawValue)
      encoder.append(injection.noticed ?? "")
    }
    encoder.append(sum.stop?.code ?? "")
    encoder.append(UInt64(words.count))
    encoder.append(UInt64(counters.count))
    hasher.update(encoder.finish())
    words.map(\.littleEndian).withUnsafeBytes { hasher.update($0) }
    counters.map(\.littleEndian).withUnsafeBytes { hasher.update($0) }
  }

  consuming func finish() -> SHA256Digest { hasher.finish(as: PlainRole.self) }
}
