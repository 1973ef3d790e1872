import Cryptography
import Federation
import FederationWire
import Foundation
import SecureAggregation
import Testing

@testable import FederationServer

/// Uploads of long masked inputs, as hostile or unlucky members send them.
@Suite("Spooled masked inputs")
struct MaskedInputSpoolsTests {
  private let directory: String
  private let spools: MaskedInputSpools
  private let alder: OrganizationName
  private let birch: OrganizationName
  private let opening: OpeningIdentifier

  init() throws {
    directory = NSTemporaryDirectory() + "bauta-spools-\(UInt64.random(in: 0 ... .max))"
    spools = MaskedInputSpools(directory: directory)
    alder = try OrganizationName("alder.example")
    birch = try OrganizationName("birch.example")
    opening = OpeningIdentifier(
      run: RunIdentifier.generate(at: Date(timeIntervalSince1970: 0)), task: .evaluate, round: 1, attempt: 1)
  }

  private func store(_ bytes: [UInt8], at offset: UInt64, from name: OrganizationName? = nil, attempt: Int = 1)
    -> StoredBytes
  {
    let opening = OpeningIdentifier(run: opening.run, task: .evaluate, round: 1, attempt: attempt)
    return spools.store(MaskedInputSegment(opening: opening, offset: offset, bytes: bytes), from: name ?? alder)
  }

  private func contents(_ body: SpooledBody) throws -> [UInt8] {
    var bytes: [UInt8] = []
    try body.forEachChunk { bytes += $0 }
    return bytes
  }

  @Test("Segments in order make the body; repeated ones are acknowledged, gaps and overlaps say where to go on")
  func order() throws {
    defer { try? FileManager.default.removeItem(atPath: directory) }
    try spools.open(opening, members: [alder, birch], byteCount: 10)
    #expect(store([1, 2, 3, 4], at: 0) == StoredBytes(count: 4, isOpen: true))
    #expect(store([1, 2, 3, 4], at: 0) == StoredBytes(count: 4, isOpen: true))
    #expect(store([9], at: 2) == StoredBytes(count: 4, isOpen: true))
    #expect(store([9], at: 5) == StoredBytes(count: 4, isOpen: false))
    #expect(spools.body(of: alder, in: opening) == nil)
    #expect(store([5, 6, 7, 8, 9, 10], at: 4) == StoredBytes(count: 10, isOpen: true))
    #expect(try contents(try #require(spools.body(of: alder, in: opening))) == Array(1...10))
    #expect(spools.body(of: birch, in: opening) == nil)
  }

  @Test("Nobody stores more than one masked input, and nobody but a member of U2 of the attempt stores anything")
  func bounds() throws {
    defer { try? FileManager.default.removeItem(atPath: directory) }
    #expect(store([1], at: 0) == StoredBytes(count: 0, isOpen: false))
    try spools.open(opening, members: [alder], byteCount: 4)
    #expect(store([1, 2, 3, 4, 5], at: 0).count == 0)
    #expect(store([1, 2, 3], at: 0).count == 3)
    #expect(store([4, 5], at: 3).count == 3)
    #expect(store([9], at: .max) == StoredBytes(count: 3, isOpen: false))
    #expect(store([1], at: 0, from: birch) == StoredBytes(count: 0, isOpen: false))
    #expect(store([1], at: 0, attempt: 2) == StoredBytes(count: 0, isOpen: false))
    let files = try FileManager.default.contentsOfDirectory(atPath: directory)
    #expect(files == [alder.value])
    let size = try FileManager.default.attributesOfItem(atPath: "\(directory)/\(alder.value)")[.size] as? Int
    #expect(size == 3)
  }

  @Test("The end of an attempt, and the beginning of another, remove what was uploaded")
  func removal() throws {
    defer { try? FileManager.default.removeItem(atPath: directory) }
    try spools.open(opening, members: [alder], byteCount: 4)
    _ = store([1, 2, 3, 4], at: 0)
    let next = OpeningIdentifier(run: opening.run, task: .evaluate, round: 1, attempt: 2)
    try spools.open(next, members: [alder], byteCount: 4)
    #expect(spools.body(of: alder, in: opening) == nil)
    #expect(spools.body(of: alder, in: next) == nil)
    _ = store([5], at: 0, attempt: 2)
    spools.close()
    #expect(try FileManager.default.contentsOfDirectory(atPath: directory).isEmpty)
    #expect(store([5], at: 0, attempt: 2) == StoredBytes(count: 0, isOpen: false))
  }

  @Test("A directory that cannot be made is an error of this machine")
  func unwritable() {
    let spools = MaskedInputSpools(directory: "/proc/bauta-spool")
    #expect(throws: ServerError.self) { try spools.open(opening, members: [alder], byteCount: 4) }
  }
}
