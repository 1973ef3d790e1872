import Cryptography
import Foundation
import SecureAggregation

/// A secure sum of the real machines that a benchmark drives stage by stage, one organisation after another.
///
/// Terms are all ones, so that the sum is the number of those in it.
struct DrivenSum {
  /// A name and a key. A class because keys cannot be copied.
  final class Identity {
    let name: OrganizationName
    let key = IdentitySigningKey.generate()

    init(number: Int) throws { name = try OrganizationName("org-\(10_000 + number).example") }
  }

  /// One organisation with its machine.
  final class Member {
    private let identity: Identity
    private var machine: ClientRound

    init(_ identity: Identity, context: AggregationContext) throws {
      self.identity = identity
      machine = try ClientRound(context: context, organization: identity.name)
    }

    var name: OrganizationName { identity.name }

    /// What the machine answers, or says first if it was sent nothing; for a masked input, `body` is told its bytes.
    func answer(
      _ request: ServerRoundMessage?, term: some TermSource, lanes: Lanes,
      body: (UnsafeRawBufferPointer) throws -> Void
    ) throws -> ClientRoundMessage {
      guard let request else { return .advertiseKeys(try machine.advertise(signer: identity.key)) }
      switch request {
      case .beaconRequest(let request): return .beaconReveal(try machine.receive(request))
      case .roster(let roster): return .shareKeys(try machine.receive(roster, signer: identity.key))
      case .shares(let delivery):
        return .maskedInput(
          try machine.receive(delivery, term: term, lanes: lanes, signer: identity.key, spool: body))
      case .survivors(let announcement):
        return .consistencyCheck(try machine.receive(announcement, signer: identity.key))
      case .statements(let statements): return .unmasking(try machine.receive(statements))
      }
    }
  }

  let context: AggregationContext
  let members: [Member]
  let serverIdentity: Identity
  /// Its copy is a sum that can be closed once more.
  var server: ServerRound
  /// What everybody would verify alike is verified once, but not for the one whose time is taken.
  private let memo = VerificationMemo()
  /// Whose time is taken, and how long its answers took.
  private let clocked: OrganizationName
  private(set) var clientTimes: [RoundStage: Elapsed] = [:]

  /// - Parameter dropouts: those for which a k-regular graph is made; nil for the complete one.
  init(organizations: Int, dimension: Int, bits: Int, corrupt: Int, dropouts: DropoutRate?, lanes: Lanes) throws {
    let identities = try (1...organizations).map { try Identity(number: $0) }
    serverIdentity = try Identity(number: 0)
    let parameters = try AggregationParameters(
      tensorCount: dimension, bits: bits, clip: 1, rounding: .nearest, counters: [], weightCap: 1,
      generator: .aes256CTR, minimumCohort: 3, minimumHonest: 2, assumedCorrupt: corrupt,
      graph: dropouts.map { .regular(dropouts: $0) } ?? .complete)
    context = try AggregationContext(
      binding: BindingDigest(hashing: [0]), parameters: parameters,
      cohort: identities.map { CohortMember(name: $0.name, identity: $0.key.verifyingKey) },
      server: serverIdentity.key.verifyingKey)
    server = ServerRound(context: context, lanes: lanes)
    members = try identities.map { [context] in try Member($0, context: context) }
    clocked = identities[organizations / 2].name
  }

  /// Goes through all stages before `last`, without masked inputs of those who leave.
  mutating func advance(
    to last: RoundStage, leaving: Set<OrganizationName> = [], lanes: Lanes, spool: SpoolFile? = nil
  ) throws {
    while server.stage != last {
      try collect(leaving: server.stage == .maskedInputCollection ? leaving : [], lanes: lanes, spool: spool)
      try close()
    }
  }

  /// Lets everybody answer in this stage but those who leave.
  mutating func collect(leaving: Set<OrganizationName> = [], lanes: Lanes, spool: SpoolFile? = nil) throws {
    let term = UniformTerm(tensorCount: context.parameters.tensorCount)
    let present = Set(server.participants).subtracting(leaving)
    for member in members where present.contains(member.name) {
      let request = server.message(for: member.name)
      var body: [UInt8] = []
      try spool?.begin()
      let spooled = { (bytes: UnsafeRawBufferPointer) in
        if let spool { try spool.append(bytes) } else { body += bytes }
      }
      let answer: ClientRoundMessage
      if member.name == clocked {
        let (made, elapsed) = try measured { try member.answer(request, term: term, lanes: lanes, body: spooled) }
        clientTimes[server.stage] = elapsed
        answer = made
      } else {
        answer = try VerificationMemo.$current.withValue(memo) {
          try member.answer(request, term: term, lanes: lanes, body: spooled)
        }
      }
      if let spool, server.stage == .maskedInputCollection {
        try server.receive(answer, body: try spool.finish(), from: member.name)
      } else {
        try server.receive(answer, body: body, from: member.name)
      }
    }
  }

  mutating func close() throws {
    try VerificationMemo.$current.withValue(memo) { _ = try server.advance(signer: serverIdentity.key) }
  }

  /// The sum, if it is right.
  func result(of server: ServerRound, survivors: Int) throws -> AggregateSum {
    guard let sum = server.result, sum.survivors.count == survivors else { throw BenchmarkError.wrongSum }
    let word = UInt32(truncatingIfNeeded: survivors)
    guard sum.words.allSatisfy({ $0 == word }) else { throw BenchmarkError.wrongSum }
    return sum
  }
}

/// Where one masked input lies until the server has taken it: a file, as in a run.
final class SpoolFile {
  private let path: String
  private var file: FileHandle?
  private var byteCount = 0

  init() { path = FileManager.default.temporaryDirectory.path + "/bauta-benchmarks-\(UUID().uuidString)" }

  deinit { try? FileManager.default.removeItem(atPath: path) }

  func begin() throws {
    guard FileManager.default.createFile(atPath: path, contents: nil, attributes: [.posixPermissions: 0o600]) else {
      throw CocoaError(.fileWriteUnknown)
    }
    file = FileHandle(forWritingAtPath: path)
    byteCount = 0
  }

  func append(_ bytes: UnsafeRawBufferPointer) throws {
    try file?.write(contentsOf: bytes)
    byteCount += bytes.count
  }

  func finish() throws -> SpooledInput {
    try file?.close()
    file = nil
    return SpooledInput(path: path, byteCount: byteCount)
  }
}

/// A masked input in a file, read in the chunks in which the server of a run reads it.
struct SpooledInput: MaskedInputBody {
  static var canChange: Bool { true }
  private static let chunkByteCount = 1 << 18

  let path: String
  let byteCount: Int

  func forEachChunk(_ body: (UnsafeRawBufferPointer) throws -> Void) throws {
    guard let file = FileHandle(forReadingAtPath: path) else { throw CocoaError(.fileReadNoSuchFile) }
    defer { try? file.close() }
    while let chunk = try file.read(upToCount: Self.chunkByteCount), !chunk.isEmpty {
      try chunk.withUnsafeBytes(body)
    }
  }
}
