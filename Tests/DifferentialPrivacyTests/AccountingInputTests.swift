import DifferentialPrivacy
import Foundation
import Testing

@Suite("Accounting: input")
struct AccountingInputTests {
  private static func events() throws -> [PrivacyEvent] {
    let noise = try DistributedNoise(
      squaredL2Sensitivity: 12.000000000000002, dimension: 16, honestShares: 4, localVariance: 1.0 / 3 + 1)
    return [
      .gaussian(noiseMultiplier: 0.1 + 0.2), .poissonSubsampledGaussian(noiseMultiplier: 1, samplingProbability: 1e-7),
      .distributedDiscreteGaussian(noise), .skellam(noise), .discreteGaussian(sigma: 6, sensitivity: 2),
      .poissonSubsampledDiscreteGaussian(noiseMultiplier: 1.5, samplingProbability: 0.25),
      .zeroConcentrated(rho: 1e17), .tree(noiseMultiplier: 1.13, leaves: 1600), .pure(epsilon: 0.5),
      .pure(epsilon: .infinity),
      .unbounded, .joint([.skellam(noise), .distributedDiscreteGaussian(noise)]),
      .joint(Array(repeating: .skellam(noise), count: 8)), .joint([.unbounded, .unbounded]),
    ]
  }

  @Test func textsGiveTheEventBack() throws {
    for event in try Self.events() {
      #expect(try PrivacyEvent(canonical: event.canonical) == event)
      let stored = try JSONEncoder().encode([event])
      #expect(try JSONDecoder().decode([PrivacyEvent].self, from: stored) == [event])
    }
    #expect(PrivacyEvent.gaussian(noiseMultiplier: 1.5).canonical == "gaussian(noiseMultiplier=1.5)")
    #expect(PrivacyEvent.unbounded.canonical == "unbounded()")
    // The last bit is kept.
    let next = PrivacyEvent.gaussian(noiseMultiplier: (0.3).nextUp)
    #expect(try PrivacyEvent(canonical: next.canonical) == next)
  }

  @Test(
    arguments: [
      ("", EventTextFault.unknownMechanism), ("gaussian", .unknownMechanism), ("laplace(b=1.0)", .unknownMechanism),
      ("gaussian()", .wrongParameters), ("gaussian(z=1.0)", .wrongParameters),
      ("gaussian(noiseMultiplier=1.0,noiseMultiplier=1.0)", .wrongParameters),
      ("tree(leaves=3,noiseMultiplier=1.0)", .wrongParameters), ("gaussian(noiseMultiplier=one)", .notANumber),
      ("tree(noiseMultiplier=1.0,leaves=99999999999999999999)", .notANumber),
      ("gaussian(noiseMultiplier=1)", .notCanonical), ("gaussian(noiseMultiplier=1.50)", .notCanonical),
      ("gaussian(noiseMultiplier=0x1p0)", .notCanonical), ("gaussian(noiseMultiplier=1.0,)", .notCanonical),
      ("gaussian(noiseMultiplier= 1.0)", .notANumber), ("Gaussian(noiseMultiplier=1.0)", .unknownMechanism),
      ("unbounded(x=1)", .wrongParameters), ("gaussian(noiseMultiplier=1.0) ", .unknownMechanism),
      (String(repeating: "(", count: 513), .tooLong),
      ("joint", .unknownMechanism), ("joint(", .unknownMechanism), ("joint(unbounded(),unbounded()", .notCanonical),
      ("joint(unbounded()unbounded())", .unknownMechanism), ("joint(unbounded(),unbounded(),)", .notCanonical),
      ("joint(unbounded();unbounded())", .notCanonical), ("joint(,unbounded(),unbounded())", .unknownMechanism),
      ("joint(unbounded(), unbounded())", .unknownMechanism), ("joint(unbounded(),unbounded()))", .notCanonical),
      ("joint(unbounded(),gaussian(noiseMultiplier=1))", .notCanonical),
      ("joint(unbounded(),joint(unbounded(),unbounded()))", .unknownMechanism),
      ("joint(joint(unbounded(),unbounded()),unbounded())", .unknownMechanism),
      ("unbounded(),unbounded()", .wrongParameters), ("Joint(unbounded(),unbounded())", .unknownMechanism),
    ])
  func otherTextsAreRefused(_ text: String, _ fault: EventTextFault) {
    #expect(throws: PrivacyAccountingError.eventText(fault)) { try PrivacyEvent(canonical: text) }
  }

  @Test func longTextsAreRefused() {
    let zeros = String(repeating: "0", count: 600)
    let nine = Array(repeating: "unbounded()", count: 9).joined(separator: ",")
    let many = String(repeating: "unbounded(),", count: 1000)
    for text in [
      "gaussian(noiseMultiplier=1.\(zeros))", "joint(unbounded(),pure(epsilon=1.\(zeros)))", "joint(\(nine))",
      "joint(\(many)unbounded())",
    ] {
      #expect(throws: PrivacyAccountingError.eventText(.tooLong)) { try PrivacyEvent(canonical: text) }
    }
  }

  @Test(
    arguments: [
      "gaussian(noiseMultiplier=-1.0)", "gaussian(noiseMultiplier=nan)", "gaussian(noiseMultiplier=inf)",
      "gaussian(noiseMultiplier=0.0)", "gaussian(noiseMultiplier=1e+300)",
      "poissonSubsampledGaussian(noiseMultiplier=1.0,samplingProbability=1.5)", "pure(epsilon=-1.0)",
      "pure(epsilon=nan)", "zeroConcentrated(rho=inf)", "tree(noiseMultiplier=1.0,leaves=0)",
      "discreteGaussian(sigma=0.0,sensitivity=1)", "discreteGaussian(sigma=1.0,sensitivity=-1)",
      "skellam(squaredL2Sensitivity=1.0,l1Sensitivity=0.5,dimension=1,honestShares=1,localVariance=1.0)",
      "skellam(squaredL2Sensitivity=1.0,l1Sensitivity=1.0,dimension=1,honestShares=1,localVariance=0.1)",
      "joint()", "joint(unbounded())", "joint(unbounded(),gaussian(noiseMultiplier=nan))",
      "joint(pure(epsilon=-1.0),unbounded())",
    ])
  func parametersOutOfRangeAreRefused(_ text: String) throws {
    let error = #expect(throws: PrivacyAccountingError.self) { try PrivacyEvent(canonical: text) }
    guard case .outOfRange = error else {
      Issue.record("\(String(describing: error))")
      return
    }
    let json = try JSONEncoder().encode([text])
    #expect(throws: PrivacyAccountingError.self) { try JSONDecoder().decode([PrivacyEvent].self, from: json) }
  }

  @Test(arguments: [.nan, -1e-300, .infinity * -1, 1 + 1e-15] as [Double])
  func badDeltasAreRefusedEverywhere(_ delta: Double) throws {
    #expect(throws: PrivacyAccountingError.self) { try GaussianMechanism.epsilon(delta: delta, noiseMultiplier: 1) }
    #expect(throws: PrivacyAccountingError.self) { try GaussianMechanism.noiseMultiplier(epsilon: 1, delta: delta) }
    #expect(throws: PrivacyAccountingError.self) { try RenyiCurve.none.epsilon(delta: delta) }
    #expect(throws: PrivacyAccountingError.self) { try PrivacyComposition().epsilon(delta: delta) }
    #expect(throws: PrivacyAccountingError.self) { try PrivacyLossDistribution.none().epsilon(delta: delta) }
    #expect(throws: PrivacyAccountingError.self) { try PrivacyGuarantee(epsilon: 1, delta: delta) }
  }

  @Test(arguments: [.nan, -1e-300] as [Double])
  func badEpsilonsAreRefusedEverywhere(_ epsilon: Double) throws {
    #expect(throws: PrivacyAccountingError.self) { try GaussianMechanism.delta(epsilon: epsilon, noiseMultiplier: 1) }
    #expect(throws: PrivacyAccountingError.self) {
      try GaussianMechanism.noiseMultiplier(epsilon: epsilon, delta: 1e-5)
    }
    #expect(throws: PrivacyAccountingError.self) { try RenyiCurve.none.delta(epsilon: epsilon) }
    #expect(throws: PrivacyAccountingError.self) { try PrivacyComposition().delta(epsilon: epsilon) }
    #expect(throws: PrivacyAccountingError.self) { try RenyiCurve.pure(epsilon: epsilon) }
  }

  @Test func curvesRefuseWhatIsOutOfRange() throws {
    #expect(throws: PrivacyAccountingError.outOfRange(.noiseMultiplier, value: 0)) {
      try RenyiCurve.gaussian(noiseMultiplier: 0)
    }
    #expect(throws: PrivacyAccountingError.outOfRange(.samplingProbability, value: 1.1)) {
      try RenyiCurve.poissonSubsampledGaussian(noiseMultiplier: 1, samplingProbability: 1.1)
    }
    #expect(throws: PrivacyAccountingError.outOfRange(.rho, value: -1)) { try RenyiCurve.zeroConcentrated(rho: -1) }
    #expect(throws: PrivacyAccountingError.outOfRange(.leaves, value: 0)) {
      try RenyiCurve.tree(noiseMultiplier: 1, leaves: 0)
    }
    #expect(throws: PrivacyAccountingError.outOfRange(.count, value: -1)) { try RenyiCurve.unbounded.repeated(-1) }
    #expect(try RenyiCurve.unbounded.repeated(0) == .none)
    #expect(try RenyiCurve.gaussian(noiseMultiplier: 1e-9).repeated(1_000_000_000_000).values.allSatisfy { $0 > 0 })
  }

  @Test(arguments: [(1, 0), (1, 1), (.infinity, 1e-5), (1e-300, 1e-12), (0, 1e-300)] as [(Double, Double)])
  func noNoiseMeetsTheTarget(_ epsilon: Double, _ delta: Double) {
    #expect(throws: PrivacyAccountingError.unreachable(epsilon: epsilon, delta: delta)) {
      try GaussianMechanism.noiseMultiplier(epsilon: epsilon, delta: delta)
    }
  }

  @Test func everyErrorSaysWhatToDo() {
    let errors: [PrivacyAccountingError] = [
      .outOfRange(.delta, value: 2), .eventText(.tooLong), .unreachable(epsilon: 1, delta: 0),
      .incompatibleDistributions, .distributionTooLarge(cells: 1e9),
    ]
    #expect(Set(errors.map(\.code)).count == errors.count)
    for error in errors {
      #expect(!error.message.isEmpty && !error.remedy.isEmpty && error.blame == "caller")
      #expect(error.description == error.message)
    }
    #expect(errors[0].message == "delta is 2.0, but must be from 0 to 1.")
  }
}

@Suite("Accounting: the Gaussian mechanism")
struct AccountingGaussianTests {
  /// From mpmath with 60 digits.
  static let exact: [(epsilon: Double, noise: Double, delta: Double)] = [
    (0, 0.001, 1.0),
    (0, 1000000000.0, 3.9894228040143268e-10),
    (1, 0.5, 0.50986166005467015),
    (1e-06, 1000000.0, 8.3315512245425403e-8),
    (1e-08, 1000000.0, 3.9396222931902298e-7),
    (5e-09, 100000000.0, 1.9779655789579742e-9),
    (1, 30, 8.9675631000110645e-201),
    (0.1, 300, 5.7187552250816557e-202),
    (3, 8, 3.2280098293090253e-129),
    (20, 0.2, 0.047322964188519623),
    (700, 0.02, 1.0),
    (0.03, 1000, 1.6566203950429072e-202),
    (1, 1, 0.12693673750664395),
    (8, 1, 3.6508216874217909e-15),
    (0.5, 1.0000001, 0.23842166824065255),
    (0.5, 0.9999999, 0.23842174802910864),
    (300, 0.05, 2.2727748823194729e-7),
    (12, 0.001, 1.0),
    (0.02, 1200, 4.859483313302144e-132),
  ]

  @Test func deltaIsAccurateInTheTails() throws {
    for item in Self.exact {
      let delta = try GaussianMechanism.delta(epsilon: item.epsilon, noiseMultiplier: item.noise)
      #expect(relativeError(delta, item.delta) < 1e-11, "\(item)")
    }
  }

  @Test func solvingGivesBackWhatWasPutIn() throws {
    var draw = FixedRandom(state: 11)
    for _ in 0..<300 {
      let noise = draw.decades(0.05, 1e4)
      let delta = draw.decades(1e-30, 0.3)
      let epsilon = try GaussianMechanism.epsilon(delta: delta, noiseMultiplier: noise)
      guard epsilon > 0 else {
        #expect(try GaussianMechanism.delta(epsilon: 0, noiseMultiplier: noise) <= delta)
        continue
      }
      #expect(relativeError(try GaussianMechanism.delta(epsilon: epsilon, noiseMultiplier: noise), delta) < 1e-9)
      #expect(relativeError(try GaussianMechanism.noiseMultiplier(epsilon: epsilon, delta: delta), noise) < 1e-9)
    }
  }

  /// √(2·ln(1.25/δ))/ε, and the mechanism with its two terms' signs exchanged, are not it.
  @Test func wrongFormulasAreRejected() throws {
    let noise = try GaussianMechanism.noiseMultiplier(epsilon: 0.5, delta: 1e-5)
    #expect(relativeError((2 * log(1.25 / 1e-5)).squareRoot() / 0.5, noise) > 0.1)
    let normal = { (x: Double) in 0.5 * erfc(-x / 2.0.squareRoot()) }
    let wrong = normal(0.5 / 2 + 1 * 2) - exp(1) * normal(-0.5 / 2 + 1 * 2)
    #expect(abs(wrong - (try GaussianMechanism.delta(epsilon: 1, noiseMultiplier: 2))) > 1e-3)
  }

  @Test func edges() throws {
    #expect(try GaussianMechanism.epsilon(delta: 0, noiseMultiplier: 1) == .infinity)
    #expect(try GaussianMechanism.epsilon(delta: 1, noiseMultiplier: 1) == 0)
    #expect(try GaussianMechanism.epsilon(delta: 0.5, noiseMultiplier: 1) == 0)
    #expect(try GaussianMechanism.delta(epsilon: .infinity, noiseMultiplier: 1) == 0)
    // At ε = 0 it is the total variation distance.
    #expect(
      relativeError(try GaussianMechanism.delta(epsilon: 0, noiseMultiplier: 1), erf(1 / 8.0.squareRoot())) < 1e-14)
    let tiny = try GaussianMechanism.epsilon(delta: 1e-5, noiseMultiplier: 1e-9)
    #expect(tiny > 4.9e17 && tiny < 5.1e17)
    #expect(try GaussianMechanism.epsilon(delta: 1e-12, noiseMultiplier: 1e9) < 1e-8)
    for noise in [0, -1, .nan, .infinity, 1e10] {
      #expect(throws: PrivacyAccountingError.self) { try GaussianMechanism.delta(epsilon: 1, noiseMultiplier: noise) }
    }
  }
}
