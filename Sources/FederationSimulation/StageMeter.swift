import SecureAggregation

/// Gathers the samples of one stage.
struct StageMeter: Sendable {
  private(set) var clientSeconds: [Double] = []
  private(set) var sentBytes: [Double] = []
  private(set) var receivedBytes: [Double] = []
  var serverSeconds = 0.0

  mutating func add(seconds: Double, sent: Int, received: Int) {
    clientSeconds.append(seconds)
    sentBytes.append(Double(sent))
    receivedBytes.append(Double(received))
  }

  func figures(of stage: RoundStage) -> StageFigures {
    StageFigures(
      stage: stage, clientSeconds: Spread(clientSeconds), serverSeconds: serverSeconds, sentBytes: Spread(sentBytes),
      receivedBytes: Spread(receivedBytes))
  }
}

extension Duration {
  var inSeconds: Double { self / .seconds(1) }
}

extension StageMeter {
  /// The samples of both.
  func merging(_ other: StageMeter) -> StageMeter {
    var merged = self
    merged.clientSeconds += other.clientSeconds
    merged.sentBytes += other.sentBytes
    merged.receivedBytes += other.receivedBytes
    merged.serverSeconds += other.serverSeconds
    return merged
  }
}
