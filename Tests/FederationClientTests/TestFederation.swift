import AuditLog
import Cryptography
import Federation
import Foundation
import Testing
import TransparencyLog

@testable import FederationClient

/// A directory that goes with the test.
final class TemporaryDirectory: Sendable {
  let path: String

  /// - Parameter isInMemory: where the system has a file system in memory, takes it: for what ends processes and not
  ///   machines, and would wait for the disk most of its time.
  init(isInMemory: Bool = false) throws {
    let memory = "/dev/shm"
    let base =
      isInMemory && FileManager.default.isWritableFile(atPath: memory)
      ? URL(fileURLWithPath: memory) : FileManager.default.temporaryDirectory
    path = base.appendingPathComponent("bauta-\(UUID().uuidString)").path
    try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
  }

  deinit { try? FileManager.default.removeItem(atPath: path) }
}

/// A participant with its keys. Signing keys can be neither copied nor put in arrays, so seeds stand for them here.
struct Party: Sendable {
  let name: OrganizationName
  let member: Manifest.Member
  private let identitySeed: [UInt8]
  private let logSeed: [UInt8]
  private let witnessSeed: [UInt8]

  /// - Parameter certificateKey: that of a certificate that the test has; any other where it has none.
  init(_ name: String, certificateKey: CertificateKeyHash? = nil) throws {
    self.name = try OrganizationName(name)
    identitySeed = randomBytes(32)
    logSeed = randomBytes(32)
    witnessSeed = randomBytes(32)
    let identity: IdentitySigningKey = try Self.key(identitySeed)
    let log: LogSigningKey = try Self.key(logSeed)
    let witness: WitnessSigningKey = try Self.key(witnessSeed)
    member = Manifest.Member(
      name: self.name,
      keys: .init(
        identity: identity.verifyingKey, log: log.verifyingKey, witness: witness.verifyingKey),
      pins: .init(current: certificateKey ?? CertificateKeyHash(hashing: Array(name.utf8))))
  }

  func identity() throws -> IdentitySigningKey { try Self.key(identitySeed) }
  func logKey() throws -> LogSigningKey { try Self.key(logSeed) }
  func witnessKey() throws -> WitnessSigningKey { try Self.key(witnessSeed) }

  /// A witness with this participant's key, that watches no log yet.
  func witness(directory: String) throws -> Witness {
    try Witness(directory: directory, name: name, key: witnessKey(), logs: [], clock: { 1_800_000_000 })
  }

  private static func key<Role: KeyRole>(_ seed: [UInt8]) throws -> SigningKey<Role> {
    var bytes = SecretBytes(count: seed.count)
    bytes.withUnsafeMutableBytes { $0.copyBytes(from: seed) }
    return try SigningKey(seed: bytes)
  }
}

/// A server and four organisations or more, with a directory and a data file each. One may be corrupt, so of four three
/// must stay.
final class TestFederation: Sendable {
  static let columns = ["amount", "visits", "age"]

  let root: TemporaryDirectory
  let server: Party
  let parties: [Party]
  let manifest: SignedManifest

  init(isInMemory: Bool = false, count: Int = 4, witnessQuorum: Int = 0) throws {
    root = try TemporaryDirectory(isInMemory: isInMemory)
    server = try Party("hub.example")
    let trees = ["alder", "birch", "cedar", "doum"]
    let others = (trees.count..<max(count, trees.count)).map { "org-\(1000 + $0)" }
    parties = try (trees + others).map { try Party("\($0).example") }
    var manifest = try SignedManifest(
      Manifest.founding(
        federation: OrganizationName("fraud.example"),
        server: Manifest.Server(member: server.member, addresses: [NetworkAddress("127.0.0.1:7443")]),
        assumedCorrupt: 1, minimumCohort: 3, witnessQuorum: witnessQuorum, organizations: parties.map(\.member)))
    for party in [server] + parties { try manifest.approve(as: party.name, with: party.identity()) }
    self.manifest = manifest
    for (index, party) in parties.enumerated() {
      try FileManager.default.createDirectory(atPath: directory(party), withIntermediateDirectories: true)
      try place(party).store(manifest)
      try Self.table(seed: UInt64(index + 1)).write(toFile: dataPath(party), atomically: true, encoding: .utf8)
    }
  }

  var names: [OrganizationName] { parties.map(\.name) }

  /// What the client knows of the federation is in files.
  struct Place: ParticipantDirectory {
    let path: String
    let name: OrganizationName
  }

  func place(_ party: Party) -> Place { Place(path: directory(party), name: party.name) }
  func directory(_ party: Party) -> String { "\(root.path)/\(party.name)" }
  func dataPath(_ party: Party) -> String { "\(directory(party))/data.csv" }
  func logPath(_ party: Party) -> String { "\(directory(party))/log" }
  func statePath(_ party: Party) -> String { "\(directory(party))/state.sqlite" }

  /// Forty rows of three columns; the label leans on the first.
  static func table(seed: UInt64, columns: [String] = columns) -> String {
    var state = seed &* 0x9E37_79B9_7F4A_7C15
    func next() -> UInt64 {
      state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      return state >> 33
    }
    var text = "y,\(columns.joined(separator: ","))\n"
    for row in 0..<40 {
      let values = columns.map { _ in String(1 + next() % 90) }
      text += "\(row % 3 == 0 ? 1 : 0),\(values.joined(separator: ","))\n"
    }
    return text
  }

  /// - Parameter deadlines: long by default, since a stage ends as soon as nobody is left to wait for.
  func plan(
    rounds: Int = 1, clip: Int = 8, bins: Int = 8, graph: String = "complete",
    deadlines: String = "accept: 300ms, fit: 20s, step: 20s, reconnect: 50ms"
  ) throws -> RunPlan {
    try RunPlan(
      parsing: """
        schema: bauta/plan/1
        name: fraud
        task: {kind: train, label: y}
        data: {set: claims, testFraction: 0.25, splitSeed: 3}
        trainer: {steps: 2}
        rounds: \(rounds)
        secureSum: {clip: \(clip), weightCap: 1000, graph: \(graph)}
        evaluation: {histogramBins: \(bins)}
        deadlines: {\(deadlines)}
        privacy: none

        """)
  }

  func writer(_ party: Party) throws -> AuditLogWriter {
    try AuditLogWriter(directory: logPath(party), organization: party.name, logKey: party.logKey())
  }

  /// One process of an organisation's client, from its start to its end.
  ///
  /// - Parameter observe: where it throws, the process is killed: nothing more is written, and nothing is closed.
  func takePart(
    _ party: Party, link: any ServerExchange, policy: String = Policy.template, data: String? = nil,
    patience: Duration = .seconds(10), log: AuditLogWriter? = nil, idlePause: Duration = .seconds(1),
    killedAt observe: WritingObserver? = nil, isWitness: Bool = false,
    progress: @escaping @Sendable (ClientEvent) -> Void = { _ in }
  ) async throws -> Result<ClientOutcome, ClientError> {
    let result: Result<ClientOutcome, ClientError>
    let policy = try Policy(parsing: policy)
    let identity = try party.identity()
    let log = try log ?? writer(party)
    let witness = isWitness ? try party.witness(directory: "\(directory(party))/witness") : nil
    do throws(ClientError) {
      result = .success(
        try await process(
          party, identity: identity, link: link, policy: policy, data: data ?? dataPath(party), patience: patience,
          log: log, idlePause: idlePause, observe: observe ?? { _ in }, witness: witness, progress: progress))
    } catch { result = .failure(error) }
    if observe == nil { try? log.close() }
    return result
  }

  private func process(
    _ party: Party, identity: consuming IdentitySigningKey, link: any ServerExchange, policy: Policy, data: String,
    patience: Duration, log: AuditLogWriter, idlePause: Duration, observe: @escaping WritingObserver,
    witness: Witness?, progress: @escaping @Sendable (ClientEvent) -> Void
  ) async throws(ClientError) -> ClientOutcome {
    let membership: Membership
    do throws(FederationError) { membership = try Membership(place(party)) } catch { throw .federation(error) }
    let store = try ClientStore(path: statePath(party), reviewedAgainst: log)
    let gate = EgressGate(
      link: link, log: log, backoff: Backoff(total: patience), progress: { _ in }, recorded: { store.note($0) },
      observe: observe)
    let session = ClientSession(
      parts: .init(
        name: party.name, policy: { () throws(FederationError) in policy }, dataPath: data, log: log, store: store,
        gate: gate, runsDirectory: "\(directory(party))/runs", spoolDirectory: "\(directory(party))/spool",
        sealedDirectory: "\(directory(party))/sealed", observe: observe, witness: witness, settling: .zero,
        idlePause: idlePause),
      membership: membership, identity: identity, progress: progress)
    return try await session.takePart()
  }

  func records(_ party: Party) throws -> [AuditRecord] {
    var reader = try AuditLogReader(directory: logPath(party))
    var records: [AuditRecord] = []
    while let entry = try reader.next() { records.append(entry.record) }
    return records
  }

  /// Every signature, chain and file of an organisation's log.
  func verify(_ party: Party) -> Bool {
    AuditVerifier.verify(logDirectory: logPath(party), verifierKey: party.member.logNoteKey.text).verified
  }
}

extension Result where Failure == ClientError {
  var error: ClientError? {
    if case .failure(let error) = self { return error }
    return nil
  }

  var value: Success? { try? get() }
}
