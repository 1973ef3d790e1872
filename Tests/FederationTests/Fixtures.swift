import Cryptography
import Foundation
import Testing
import TransparencyLog

@testable import Federation

/// A member of a test federation with its secret keys.
struct TestMember: ~Copyable {
  let name: OrganizationName
  let identity: IdentitySigningKey
  let log: LogSigningKey
  let witness: WitnessSigningKey
  let pin: CertificateKeyHash

  init(_ name: String) throws {
    self.init(name: try OrganizationName(name))
  }

  private init(name: OrganizationName) {
    self.name = name
    identity = .generate()
    log = .generate()
    witness = .generate()
    pin = CertificateKeyHash(hashing: Array("certificate of \(name)".utf8))
  }

  var member: Manifest.Member {
    Manifest.Member(
      name: name,
      keys: Manifest.Keys(
        identity: identity.verifyingKey, log: log.verifyingKey, witness: witness.verifyingKey),
      pins: Manifest.Pins(current: pin))
  }
}

/// A server and three organisations.
struct TestFederation: ~Copyable {
  let server: TestMember
  let alder: TestMember
  let birch: TestMember
  let cedar: TestMember

  init() throws {
    let server = try TestMember("hub.example")
    let alder = try TestMember("alder.example")
    let birch = try TestMember("birch.example")
    let cedar = try TestMember("cedar.example")
    self.server = server
    self.alder = alder
    self.birch = birch
    self.cedar = cedar
  }

  var serverEntry: Manifest.Server {
    get throws { Manifest.Server(member: server.member, addresses: [try NetworkAddress("127.0.0.1:7443")]) }
  }

  func manifest(assumedCorrupt: Int = 1, minimumCohort: Int = 3) throws -> Manifest {
    try .founding(
      federation: OrganizationName("fraud.example"), server: serverEntry, assumedCorrupt: assumedCorrupt,
      minimumCohort: minimumCohort, organizations: [cedar.member, alder.member, birch.member])
  }

  /// Approved by everybody.
  func approved() throws -> SignedManifest {
    var signed = try SignedManifest(manifest())
    try signed.approve(as: server.name, with: server.identity)
    try signed.approve(as: alder.name, with: alder.identity)
    try signed.approve(as: birch.name, with: birch.identity)
    try signed.approve(as: cedar.name, with: cedar.identity)
    return signed
  }
}

/// A directory of its own for one test, removed afterwards.
func withTemporaryDirectory<Result>(_ body: (String) throws -> Result) throws -> Result {
  let path = FileManager.default.temporaryDirectory.appendingPathComponent("bauta-\(UUID().uuidString)").path
  try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
  defer { try? FileManager.default.removeItem(atPath: path) }
  return try body(path)
}

func mode(of path: String) throws -> Int {
  let attributes = try FileManager.default.attributesOfItem(atPath: path)
  return try #require(attributes[.posixPermissions] as? Int)
}

/// The error that the body throws, as a federation error.
func federationError<Result>(_ body: () throws -> Result) -> FederationError? {
  do {
    _ = try body()
    return nil
  } catch { return error as? FederationError }
}

let minimalPlan = """
  schema: bauta/plan/1
  name: fraud
  task: {kind: train, label: y}
  data: {set: claims}
  rounds: 3
  privacy: none

  """

/// The plan of the format's description, word for word.
let documentedPlan = """
  schema: bauta/plan/1
  name: fraud
  task: {kind: train, label: fraudulent_provider, positive: "1", features: all}
  data: {set: claims-2026, testFraction: 0.2, splitSeed: 7, preprocessing: [signedLog1p, standardize]}
  model: {kind: logisticRegression, l2: 0.001, classWeights: balanced}
  trainer: {program: builtin, optimizer: lbfgs, steps: 20}
  strategy: {name: FedAvg, fractionFit: 1.0, minimumFitClients: 3, minimumEvaluateClients: 3, minimumAvailableClients: 3}
  rounds: 3
  secureSum: {bits: 32, clip: 8, rounding: stochastic, weightCap: 100000, prg: aes-256-ctr, graph: complete}
  evaluation: {histogramBins: 1024, serverData: null}
  deadlines: {accept: 30s, fit: 10m, step: 60s}
  privacy: none

  """

/// The policy of the format's description, word for word.
let documentedPolicy = """
  schema: bauta/policy/1
  allow: {programs: [builtin], models: [logisticRegression], statistics: [count, sum, sumOfSquares, histogram]}
  cohort: {minimum: 3, minimumHonest: 2, nearOpenings: {count: 8, days: 30}, minimumRows: 10}
  bounds: {dimension: 1000000, bits: [16, 32], clip: 16, rounds: 100}
  privacy: {unit: none, epsilon: null, delta: null}
  hours: any
  audit: {keepSecretsFor: 0d}

  """
