import Cryptography
import Federation
import Foundation
import SecureAggregation
import Storage
import Testing

@testable import FederationClient

@Suite("What an organisation remembers across restarts")
struct ClientStoreTests {
  private let directory: TemporaryDirectory
  private let opening: OpeningIdentifier
  private let context: AggregationContext

  init() throws {
    directory = try TemporaryDirectory()
    let run = try HostileRun(try TestFederation())
    opening = run.opening(.statistics)
    context = try run.agreement.context(
      of: opening, cohort: run.federation.names, features: TestFederation.columns, model: run.start.modelHash)
  }

  private var path: String { "\(directory.path)/state.sqlite" }

  private func term() throws -> EncodedTerm {
    let counters = context.parameters.counters.flatMap { group in
      (0..<group.count).map { Int64(UInt64($0 * 37 + 11) % (group.bound + 1)) }
    }
    return try EncodedTerm.encode(values: [], counters: counters, context: context).0
  }

  private func stored(_ ledger: AttemptLedger, _ term: EncodedTerm) -> ClientStore.StoredOpening {
    .init(
      ledger: ledger, term: term.encoded(), origin: ContextDigest(hashing: [1]), cohort: context.cohort.map(\.name),
      model: ModelHash(hashing: [2]))
  }

  private func ledger(attempt: UInt64) throws -> AttemptLedger {
    var ledger = AttemptLedger(run: opening.run.text, round: 0, task: "statistics")
    try ledger.enter(attempt: attempt)
    return ledger
  }

  /// Everything that lies in the directory, one file after the other.
  private func bytesOnDisk() throws -> Data {
    var all = Data()
    for name in try FileManager.default.contentsOfDirectory(atPath: directory.path).sorted() {
      all += try Data(contentsOf: URL(fileURLWithPath: "\(directory.path)/\(name)"))
    }
    return all
  }

  @Test("Ledger and term survive reopening; statement and reply do as well")
  func reopening() throws {
    var ledger = try ledger(attempt: 2)
    let term = try term()
    try ClientStore(path: path).enter(opening, stored(ledger, term))
    #expect(try ClientStore(path: path).opening(opening)?.ledger == ledger)
    #expect(try ClientStore(path: path).opening(opening)?.term == term.encoded())
    let statement = StatementDigest(hashing: [1])
    try ledger.recordStatement(attempt: 2, statement: statement)
    try ledger.recordRelease(attempt: 2, statement: statement, reply: [1, 2, 3])
    let message = ClientStore.CommittedMessage(
      kind: "unmasking", identifier: .random(), payload: MessageHash(hashing: [1, 2, 3]))
    try ClientStore(path: path).commit(message, of: opening, ledger: ledger)
    #expect(try ClientStore(path: path).committed("unmasking", of: opening) == message)
    #expect(try ClientStore(path: path).committed("unmasking", of: opening.nextAttempt) == nil)
    let reopened = try #require(try ClientStore(path: path).opening(opening)).ledger
    #expect(reopened == ledger)
    #expect(reopened.reply(for: statement) == [1, 2, 3])
    // Another opening knows nothing of it; another attempt of the same one shares it.
    let other = OpeningIdentifier(run: opening.run, task: .fit, round: 0, attempt: 2)
    #expect(try ClientStore(path: path).opening(other) == nil)
    #expect(try ClientStore(path: path).opening(opening.nextAttempt)?.ledger == ledger)
  }

  @Test("A term that is not needed any more is in no file, and that it was opened is")
  func erasure() throws {
    let needle = Data(try term().encoded())
    do {
      let store = try ClientStore(path: path)
      try store.enter(opening, stored(ledger(attempt: 1), term()))
      #expect(try bytesOnDisk().range(of: needle) != nil)
      try store.close(opening)
      #expect(try store.opening(opening)?.term == nil)
      #expect(try store.opening(opening)?.ledger.highestAttempt == 1)
    }
    #expect(try bytesOnDisk().range(of: needle) == nil)
    do {
      let store = try ClientStore(path: path)
      try store.enter(opening, stored(ledger(attempt: 2), term()))
      try store.close(try RunIdentifier("another"))
      #expect(try store.opening(opening)?.term != nil)
      try store.close(opening.run)
      #expect(try store.opening(opening)?.term == nil)
    }
    #expect(try bytesOnDisk().range(of: needle) == nil)
  }

  @Test("A damaged, exposed or used file is a typed error that says what to do")
  func damage() throws {
    func code(_ body: () throws -> Void) -> String? {
      do {
        try body()
        return nil
      } catch { return (error as? ClientError)?.code }
    }
    try Data([UInt8](repeating: 0x5A, count: 8192)).write(to: URL(fileURLWithPath: path))
    chmod(path, 0o600)
    #expect(code { _ = try ClientStore(path: path) } == "state-corrupt")
    try FileManager.default.removeItem(atPath: path)
    let store = try ClientStore(path: path)
    #expect(code { _ = try ClientStore(path: path) } == "state-locked")
    try store.enter(opening, stored(ledger(attempt: 1), term()))
    withExtendedLifetime(store) {}
  }

  @Test("A ledger or a term that was altered in place is refused")
  func alteration() throws {
    try ClientStore(path: path).enter(opening, stored(ledger(attempt: 1), term()))
    do {
      let database = try Database(path: path, migrations: ClientStore.migrations)
      try database.write { _ = try $0.execute("UPDATE opening SET ledger = x'00', term = x'0102'", []) }
      try database.close()
    }
    let store = try ClientStore(path: path)
    do { _ = try store.opening(opening) } catch { #expect(error.code == "attempt-ledger-corrupt") }
    #expect(throws: ClientError.self) { try store.opening(opening) }
    #expect(throws: AggregationError.self) { try EncodedTerm(decoding: [1, 2], context: context) }
  }

  @Test("Of what binds in an attempt there is one, whatever is tried in its place")
  func commitment() throws {
    let store = try ClientStore(path: path)
    let message = ClientStore.CommittedMessage(
      kind: "masked-input", identifier: .random(), payload: MessageHash(hashing: [1]))
    try store.commit(message, of: opening)
    try store.commit(message, of: opening)
    var other = message
    other.payload = MessageHash(hashing: [2])
    do {
      try store.commit(other, of: opening)
      Issue.record("another message was committed")
    } catch { #expect(error.code == "attempt-other-message") }
    #expect(try store.committed("masked-input", of: opening) == message)
    try store.commit(other, of: opening.nextAttempt)
  }

  @Test("Closing erases the released shares too, and leaves the opening spent")
  func releasedShares() throws {
    let shares = randomBytes(64)
    var ledger = try ledger(attempt: 1)
    try ledger.recordStatement(attempt: 1, statement: StatementDigest(hashing: [1]))
    try ledger.recordRelease(attempt: 1, statement: StatementDigest(hashing: [1]), reply: shares)
    do {
      let store = try ClientStore(path: path)
      try store.enter(opening, stored(ledger, term()))
      #expect(try bytesOnDisk().range(of: Data(shares)) != nil)
      try store.close(opening)
      #expect(try store.opening(opening)?.ledger.hasReleased == true)
    }
    #expect(try bytesOnDisk().range(of: Data(shares)) == nil)
  }

  @Test("Every transaction raises the version; what is read does not")
  func versions() throws {
    let store = try ClientStore(path: path)
    #expect(try store.version == 0)
    try store.begin()
    try store.begin()
    #expect(try store.version == 1)
    _ = try store.accept(opening.run)
    try store.enter(opening, stored(ledger(attempt: 1), term()))
    _ = try store.opening(opening)
    #expect(try store.version == 3)
    #expect(try store.rememberedRecord == nil)
    try store.close(opening)
    #expect(try store.version == 4)
  }
}
