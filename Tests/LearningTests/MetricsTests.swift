import Testing

@testable import Learning

/// Reference values: scikit-learn 1.9.1 (accuracy_score, log_loss, roc_auc_score, average_precision_score).
@Suite struct BinaryMetricsTests {
  private let logits = [2.5, -1.0, 0.5, 0.5, 0.5, -3.0, 1.25, -1.0, 0.0, 4.0, -0.25, 0.5]
  private let labels: [UInt8] = [1, 0, 1, 0, 1, 0, 0, 1, 0, 1, 0, 0]

  @Test func tiesAsScikitLearn() throws {
    let metrics = try BinaryMetrics(logits: logits, labels: labels)
    #expect(metrics.accuracy == 0.6666666666666666)
    #expect(abs(metrics.logLoss - 0.6199561672770945) < 1e-14)
    #expect(try abs(#require(metrics.rocAuc) - 0.7285714285714286) < 1e-14)
    #expect(try abs(#require(metrics.averagePrecision) - 0.7194805194805194) < 1e-14)
  }

  @Test func twoHundredRowsWithTies() throws {
    var source = Congruential(state: 7)
    let numbers = (0..<400).map { _ in source.next() }
    let logits = numbers[..<200].map { ((8 * $0 - 4) * 10).rounded(.toNearestOrEven) / 10 }
    let labels = (0..<200).map { UInt8(numbers[200 + $0] < sigmoid(logits[$0] - 1.5) ? 1 : 0) }
    #expect(labels.reduce(0) { $0 + Int($1) } == 61)
    let metrics = try BinaryMetrics(logits: logits, labels: labels)
    #expect(metrics.accuracy == 0.8)
    #expect(abs(metrics.logLoss - 0.448572233133412) < 1e-14)
    #expect(try abs(#require(metrics.rocAuc) - 0.914553603019224) < 1e-14)
    #expect(try abs(#require(metrics.averagePrecision) - 0.7840690025950081) < 1e-14)
  }

  @Test func areasNeedTheirClasses() throws {
    let negatives = try BinaryMetrics(logits: [1, 2], labels: [0, 0])
    #expect(negatives.rocAuc == nil && negatives.averagePrecision == nil && negatives.accuracy == 0)
    let positives = try BinaryMetrics(logits: [1, 2], labels: [1, 1])
    #expect(positives.rocAuc == nil && positives.averagePrecision == 1)
    #expect(positives.named.keys.sorted() == ["accuracy", "averagePrecision", "logLoss"])
    #expect(throws: LearningError.strategy(.noExamples)) { try BinaryMetrics(logits: [], labels: []) }
    #expect(throws: LearningError.vector(.scoreNotANumber(row: 1))) {
      try BinaryMetrics(logits: [0, .nan], labels: [0, 1])
    }
  }

  @Test func stableAtTheEnds() {
    #expect(sigmoid(1000) == 1 && sigmoid(-1000) == 0 && sigmoid(0) == 0.5)
    #expect(logLoss(logit: 1000, label: 0) == 1000 && logLoss(logit: 1000, label: 1) == 0)
    #expect(logLoss(logit: -1000, label: 1) == 1000)
    #expect(abs(sigmoid(-30) - 9.357622968839299e-14) < 1e-27)
  }
}

@Suite struct EvaluationVectorTests {
  @Test func summedHistogramsGiveTheMetricsOfAllRows() throws {
    var source = Congruential(state: 11)
    let vector = try EvaluationVector(bins: 1024, weightCap: 10_000)
    for spread in [0.1, 0.5, 1, 3, 10] {
      var sum = Array(repeating: Int64(0), count: vector.layout.counterCount)
      var allLogits: [Double] = []
      var allLabels: [UInt8] = []
      for organization in 0..<5 {
        let labels = (0..<400).map { _ in UInt8(source.next() < 0.09 ? 1 : 0) }
        let logits = labels.map { label in
          let noise = (0..<12).reduce(-6.0) { sum, _ in sum + source.next() }
          return spread * (noise + 1.4 * Double(label)) - Double(organization % 2) * 0.3 * spread
        }
        let term = try vector.encode(logits: logits, labels: labels)
        #expect(vector.layout.admits(term))
        for (index, counter) in term.enumerated() { sum[index] += counter }
        allLogits += logits
        allLabels += labels
      }
      let federated = try vector.decode(sum).metrics()
      let exact = try BinaryMetrics(logits: allLogits, labels: allLabels)
      #expect(federated.examples == 2000 && federated.accuracy == exact.accuracy)
      #expect(abs(federated.logLoss - exact.logLoss) < 1e-7)
      let (federatedArea, exactArea) = (try #require(federated.rocAuc), try #require(exact.rocAuc))
      let (federatedMean, exactMean) = (
        try #require(federated.averagePrecision), try #require(exact.averagePrecision)
      )
      #expect(abs(federatedArea - exactArea) < 0.002)
      #expect(abs(federatedMean - exactMean) < 0.02)
    }
  }

  @Test func binsCoverAllLogitsInOrder() throws {
    let vector = try EvaluationVector(bins: 1024, weightCap: 10)
    #expect(vector.bin(logit: -.infinity) == 0 && vector.bin(logit: .infinity) == 1023 && vector.bin(logit: 0) == 512)
    let bins = stride(from: -60.0, through: 60, by: 0.01).map(vector.bin)
    #expect(bins == bins.sorted() && bins.first == 0 && bins.last == 1023)
    // What the documentation says of resolution.
    #expect(vector.bin(logit: 1.0 / 64 + 1e-4) == 513)
    #expect(vector.bin(logit: -12) >= 40)
  }

  @Test func lossesAreCapped() throws {
    let vector = try EvaluationVector(bins: 2, weightCap: 10)
    let term = try vector.encode(logits: [500, -2], labels: [0, 0])
    #expect(term[0] == 2 && term[1] == 1 && term[2] < 65 << 24 && term[2] > 64 << 24)
    #expect(Array(term[3...]) == [0, 0, 1, 1])
  }

  @Test func refusesWhatCannotBe() throws {
    for bins in [1, 65_537, -4] {
      #expect(throws: LearningError.vector(.bins(bins))) { try EvaluationVector(bins: bins, weightCap: 10) }
    }
    let vector = try EvaluationVector(bins: 2, weightCap: 2)
    #expect(throws: LearningError.vector(.rowsAboveCap(rows: 3, cap: 2))) {
      try vector.encode(logits: [0, 0, 0], labels: [0, 0, 0])
    }
    #expect(throws: LearningError.vector(.scoreNotANumber(row: 0))) {
      try vector.encode(logits: [.nan], labels: [0])
    }
    for counters: [Int64] in [
      [-1, 0, 0, 0, 0, 0, 0], [1, 2, 0, 1, 0, 0, 0], [1, 1, -1, 1, 0, 0, 0], [1, 1, 2 << 30, 1, 0, 0, 0],
      [1, 1, 0, 1, 1, 0, 0], [2, 1, 0, 1, 0, 0, 0], [1, 1, 0, 2, -1, 0, 0], [1, 1, 0, 1, 0, 0],
    ] {
      #expect(throws: LearningError.self) { try vector.decode(counters) }
    }
    #expect(throws: LearningError.strategy(.noExamples)) { try vector.decode([0, 0, 0, 0, 0, 0, 0]).metrics() }
  }
}
