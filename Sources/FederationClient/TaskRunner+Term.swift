import Federation
import SecureAggregation

extension TaskRunner {
  /// The term of an opening, encoded for its sum.
  ///
  /// - Parameter noise: of the run; nil without differential privacy.
  /// - Returns: with figures for the organisation's own eyes, where there is no noise that they would undo.
  /// - Throws: ``ClientError/data(_:)``, ``ClientError/federation(_:)``, ``ClientError/aggregation(_:)``.
  func term(
    of opening: OpeningIdentifier, progression: RunProgression, noise: NoiseAgreement?, context: AggregationContext
  ) throws(ClientError) -> (term: EncodedTerm, figures: LocalResult?) {
    guard let noise else {
      var result = try run(opening.task, artifact: progression.artifact)
      do throws(AggregationError) {
        let (term, clipped) = try EncodedTerm.encode(
          values: result.values, counters: result.counters, context: context)
        result.clipped += clipped
        return (term, result)
      } catch { throw .aggregation(error) }
    }
    let term = try noised(opening.task, progression: progression, noise: noise)
    do throws(AggregationError) {
      switch term {
      case .integers(let integers, let counters):
        return (
          try EncodedTerm(integers: integers, counters: Self.bounded(counters, context), context: context), nil
        )
      case .counters(let counters):
        return (try EncodedTerm(integers: [], counters: Self.bounded(counters, context), context: context), nil)
      case .parameters(let parameters):
        return (try EncodedTerm.encode(values: parameters, counters: [], context: context).term, nil)
      }
    } catch { throw .aggregation(error) }
  }

  /// Counters within the bounds that the sum declares: noise that is hardly ever so large must not decide whether the
  /// organisation takes part. What is counted is within them before.
  private static func bounded(_ counters: [Int64], _ context: AggregationContext) -> [Int64] {
    let bounds = context.parameters.counters.flatMap { Array(repeating: Int64(clamping: $0.bound), count: $0.count) }
    return zip(counters, bounds).map { min(max($0, -$1), $1) }
  }
}
