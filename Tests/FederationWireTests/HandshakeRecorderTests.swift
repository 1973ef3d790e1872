import AuditLog
import Cryptography
import Foundation
import MutualTLS
import Synchronization
import Testing

@testable import FederationWire

@Suite("Handshakes on the record")
struct HandshakeRecorderTests {
  /// A clock that a test moves, and what was put off until later.
  private final class Time: Sendable {
    private let state = Mutex<(now: Date, later: [@Sendable () -> Void])>((Date(timeIntervalSince1970: 1e9), []))

    var now: Date { state.withLock { $0.now } }
    var waiting: Int { state.withLock { $0.later.count } }
    func advance(_ seconds: TimeInterval) { state.withLock { $0.now += seconds } }
    func put(_ body: @escaping @Sendable () -> Void) { state.withLock { $0.later.append(body) } }

    func runLater() {
      let bodies = state.withLock { state in
        defer { state.later = [] }
        return state.later
      }
      for body in bodies { body() }
    }
  }

  private final class Place {
    let path: String
    let log: AuditLogWriter
    let time = Time()
    let recorder: HandshakeRecorder

    init() throws {
      path = FileManager.default.temporaryDirectory.appendingPathComponent("handshakes-\(UUID().uuidString)").path
      var seed = SecretBytes(count: 32)
      seed.withUnsafeMutableBytes { $0.copyBytes(from: [UInt8](repeating: 1, count: 32)) }
      let time = time
      log = try AuditLogWriter(
        directory: path, organization: try OrganizationName("hub.example"), logKey: try LogSigningKey(seed: seed),
        clock: { time.now })
      recorder = HandshakeRecorder(
        log: log, federation: "fraud.example", clock: { time.now }, schedule: { _, body in time.put(body) })
    }

    deinit { try? FileManager.default.removeItem(atPath: path) }

    func records() throws -> [AuditRecord] {
      var records: [AuditRecord] = []
      var reader = try AuditLogReader(directory: path)
      while let entry = try reader.next() { records.append(entry.record) }
      return records
    }
  }

  private static func event(
    _ outcome: HandshakeEvent.Outcome, from address: String = "192.0.2.7:5000"
  ) -> HandshakeEvent {
    HandshakeEvent(
      role: .server, version: "TLSv1.3", cipher: "TLS_AES_256_GCM_SHA384", group: "x25519",
      peerFingerprint: CertificateKeyHash(hashing: [1]), peerNames: ["alpha.example", "www.alpha.example"],
      peerSerial: "1f", remoteAddress: address, outcome: outcome)
  }

  private static func accepted() throws -> HandshakeEvent {
    event(
      .established(
        name: try OrganizationName("alpha.example"), fingerprint: CertificateKeyHash(hashing: [1]),
        exporter: SHA256Digest(hashing: [2]).hexadecimal))
  }

  @Test("Both outcomes hold version, cipher, group, fingerprint and name; a name that nothing vouches for says so")
  func fields() throws {
    let place = try Place()
    place.recorder.handshake(try Self.accepted())
    place.recorder.handshake(Self.event(.refused(.noApplicationProtocol)))
    let records = try place.records()
    #expect(records.map(\.event) == [.handshake, .handshakeRefused])
    for record in records {
      #expect(
        record.handshake == .init(version: "TLSv1.3", cipher: "TLS_AES_256_GCM_SHA384", group: "x25519"))
      #expect(record.source?.tlsPeer == CertificateKeyHash(hashing: [1]))
      #expect(record.source?.address == "192.0.2.7:5000" && record.federation == "fraud.example")
    }
    #expect(records[0].source?.name?.value == "alpha.example" && records[0].source?.claimedName == nil)
    #expect(records[0].outcome == .succeeded && records[0].source?.exporter == SHA256Digest(hashing: [2]))
    #expect(records[1].source?.name == nil && records[1].source?.claimedName == "alpha.example")
    #expect(records[1].outcome == .refused)
    #expect(records[1].error == .init(code: "tls-no-application-protocol", blame: .peer))
  }

  @Test(
    "Refusals beyond the rate are one entry with count, times and addresses; accepted handshakes are never left out")
  func flood() throws {
    let place = try Place()
    let beginning = place.time.now
    // Ten a second for 30 seconds, from three addresses.
    for index in 0..<300 {
      place.recorder.handshake(Self.event(.refused(.truncated), from: "192.0.2.\(index % 3):\(2000 + index)"))
      place.time.advance(0.1)
    }
    #expect(place.time.waiting == 1)
    for _ in 0..<50 { place.recorder.handshake(try Self.accepted()) }

    let records = try place.records()
    #expect(records.filter { $0.event == .handshake }.count == 50)
    let alone = records.filter { $0.event == .handshakeRefused && $0.suppressed == nil }
    // 20 at once, then one a second, whatever the rounding.
    #expect((48...50).contains(alone.count))
    let counted = records.compactMap(\.suppressed)
    #expect(counted.count == 1)
    #expect(counted.map(\.count) == [300 - alone.count] && counted.map(\.addresses) == [3])
    let first = try #require(counted.first?.first?.date)
    let last = try #require(counted.first?.last?.date)
    #expect(first > beginning && first < beginning + 5 && last > beginning + 28 && last < place.time.now)
    // In the order in which it happened: the count before what came after it.
    #expect(records.firstIndex { $0.suppressed != nil } == alone.count)
  }

  @Test("A count goes on record by itself when nothing else happens, and at the end")
  func summaries() throws {
    let place = try Place()
    for _ in 0..<30 { place.recorder.handshake(Self.event(.refused(.timedOut))) }
    #expect(try place.records().count == 20)
    place.time.runLater()
    #expect(try place.records().last?.suppressed?.count == 10)
    place.time.runLater()
    #expect(try place.records().count == 21)
    for _ in 0..<5 { place.recorder.handshake(Self.event(.refused(.timedOut))) }
    place.recorder.flush()
    place.recorder.flush()
    #expect(try place.records().compactMap(\.suppressed).map(\.count) == [10, 5])
  }

  @Test("A flood from many addresses is held within a bound")
  func manyAddresses() throws {
    let place = try Place()
    for index in 0..<6000 {
      place.recorder.handshake(Self.event(.refused(.timedOut), from: "[2001:db8:\(String(index, radix: 16))::1]:1"))
    }
    place.recorder.flush()
    let counted = try #require(try place.records().last?.suppressed)
    #expect(counted.count == 5980 && counted.addresses == HandshakeRecorder.maximumAddresses)
  }
}
