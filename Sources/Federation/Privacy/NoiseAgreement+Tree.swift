import Cryptography
import DifferentialPrivacy
public import SecureAggregation

/// Noise of the server that is correlated over the rounds (`privacy.tree`).
extension NoiseAgreement {
  /// Nil where the noise of every round is independent.
  public var trees: RoundTrees? {
    guard case .central(let noise) = form, let passes = noise.setting.passes, let steps = noise.setting.steps else {
      return nil
    }
    return RoundTrees(passes: passes, steps: steps)
  }

  /// What a sum is charged as, after what the ledger has of the same run and data; nil for a task that the plan does not
  /// have.
  ///
  /// Without trees that is ``charge(of:)``. In a pass with a tree of T steps a row is in one step, and the organisation's term
  /// of step t puts the rows of t into every node that has t in it (N(t) of them, `TreeAggregation.nodes(of:)`), of which
  /// most are released in later steps, **whether the organisation takes part in these or not**. So all N(t) are charged with
  /// the term itself, as far as they are not yet:
  ///
  ///     charge(t) = max{ 0, N(t) − what was charged for earlier steps of this pass }
  ///
  /// By induction the charges for any set S of steps taken part in add up to max N(t) over S. That is enough: let data differ
  /// in one row, which is in step i. If i is not in S, nothing differs. Else, given all that was published before, the sum
  /// of a node differs by that row's clipped gradient in N(i) nodes and in no other; each is a release of zero-concentrated
  /// ρ = 1/(2z²), whatever was published before (the model that the gradient is taken at may follow from it), and adaptive
  /// composition adds them up. The published sums follow from the nodes. S may depend on what was published: the charge is
  /// made before the term leaves, by which the row enters.
  ///
  /// N(1) = ⌈log₂(T + 1)⌉ is the largest, so who takes part from the first step on is charged for the whole tree then, and
  /// nothing for the other steps of the pass: the count is 0, and the entry is there all the same. A charge with every node
  /// that is completed (a power of two) would reach the same total, but not for an organisation that is away when its rows
  /// are released again.
  public func charge(of opening: OpeningIdentifier, dataSet: String, in ledger: PrivacyLedger) -> Charge? {
    guard let whole = charge(of: opening.task) else { return nil }
    // A round that the plan does not have is charged for all.
    guard opening.task == .fit, case .central(let noise) = form, let tree = noise.tree, let trees,
      (1...noise.setting.rounds).contains(opening.round),
      let nodes = try? tree.nodes(of: trees.place(ofRound: opening.round).step)
    else { return whole }
    let fits = ledger.entries.filter { $0.run == opening.run && $0.task == .fit }
    let charged = Self.charged(fits, in: trees.pass(ofRound: opening.round), dataSet: dataSet, event: whole.event)
    return (whole.event, max(0, nodes - charged))
  }

  /// What was charged in a pass. Other rows under the same run's name, and other noise, have paid for nothing of these.
  private static func charged(
    _ fits: [LedgerEntry], in pass: ClosedRange<Int>, dataSet: String, event: PrivacyEvent
  ) -> Int {
    fits.reduce(0) { sum, entry in
      pass.contains(entry.round) && entry.dataSet == dataSet && entry.event == event ? sum + entry.count : sum
    }
  }

  /// How many nodes the rest of a run can still be charged for; nil without trees.
  ///
  /// - Parameter fits: of the run, as they were charged. Rounds come in their order, so that none before the last of them is
  ///   left.
  func nodesLeft(after fits: [LedgerEntry], dataSet: String) -> Int? {
    guard case .central(let noise) = form, let tree = noise.tree, let trees else { return nil }
    let last = fits.map(\.round).max() ?? 0
    return (0..<trees.passes).reduce(0) { sum, index in
      let pass = (index * trees.steps + 1)...((index + 1) * trees.steps)
      let rounds = pass.filter { $0 > last }
      let most = rounds.compactMap { try? tree.nodes(of: trees.place(ofRound: $0).step) }.max() ?? 0
      return sum + max(0, most - Self.charged(fits, in: pass, dataSet: dataSet, event: noise.model.event))
    }
  }

  /// A sum as it may be published, as ``published(_:of:context:)``; of a run with trees, with the noise of its
  /// step.
  ///
  /// That noise is the same whenever it is made again from the same seed.
  /// - Throws: ``FederationError/privacy(_:)``, ``FederationError/cryptography(_:)``, ``FederationError/aggregation(_:)``;
  ///   nothing may be published then.
  public func published(
    _ sum: AggregateSum, of opening: OpeningIdentifier, context: AggregationContext, seed: borrowing TreeSeed
  ) throws(FederationError) -> AggregateSum {
    guard opening.task == .fit, case .central(let central) = form, let tree = central.tree, let trees else {
      return try published(sum, of: opening.task, context: context)
    }
    let (pass, step) = trees.place(ofRound: opening.round)
    guard (1...trees.passes).contains(pass) else { throw .privacy(.parameter(.steps)) }
    let increment: TreeAggregation.Increment
    do throws(MechanismError) { increment = try tree.increment(step) } catch { throw .privacy(error) }
    var integers = sum.integers
    do throws(CryptographyError) {
      try increment.add(to: &integers) { (node) throws(CryptographyError) in
        try seed.noise(
          tree.noise, of: node, pass: pass, run: opening.run, count: sum.integers.count,
          generator: context.parameters.generator)
      }
    } catch { throw .cryptography(error) }
    return try Self.replacing(sum, integers: integers, counters: sum.counters, context: context)
  }
}
