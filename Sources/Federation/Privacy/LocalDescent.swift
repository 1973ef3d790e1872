import Learning

/// What DP-SGD inside an organisation needs beside the trainer's steps: all of it public, and the same for every
/// organisation.
public struct LocalDescentSettings: Sendable, Hashable {
  static let keys = ["learningRate", "momentum", "samplingProbability", "expectedExamples"]

  public let learningRate: Double
  public let momentum: Double
  /// The chance with which a step draws a row, above 0, at most 0.5.
  public let samplingProbability: Double
  /// Rows of an organisation, as everybody may know it: a step's sum is divided by so many times the chance.
  public let expectedExamples: Int

  init(_ group: YAMLMapping) throws(FederationError) {
    learningRate = try group.required(
      "learningRate", .number("a number above 0 and at most 1000") { $0 > 0 && $0 <= 1000 })
    momentum = try group.optional("momentum", .number("a number from 0, below 1") { $0 >= 0 && $0 < 1 }, default: 0)
    samplingProbability = try group.required(
      "samplingProbability", .number("a number above 0 and at most 0.5") { $0 >= 0x1p-32 && $0 <= 0.5 })
    expectedExamples = try group.required("expectedExamples", .integer(1...CounterLayout.maximumWeightCap))
  }
}
