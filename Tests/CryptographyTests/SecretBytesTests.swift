import Foundation
import Testing

@testable import Cryptography

@Suite struct SecretBytesTests {
  @Test func startsZeroed() {
    for count in [0, 1, 32, 64, 65, 5000] {
      #expect(revealed(SecretBytes(count: count)) == [UInt8](repeating: 0, count: count))
    }
  }

  /// A slot that was used before must not show its former content.
  @Test func reusedMemoryIsZero() {
    for _ in 0..<3000 {
      var used = SecretBytes(count: 64)
      #expect(used.withUnsafeBytes { $0.allSatisfy { $0 == 0 } })
      used.withUnsafeMutableBytes { _ = $0.initializeMemory(as: UInt8.self, repeating: 0xAA) }
    }
  }

  /// More live secrets than guarded allocations would fit into a process's memory maps.
  @Test func manyLiveSecretsAreDistinct() {
    let kept = Kept(count: 40_000)
    #expect(kept.sum() == (0..<40_000).reduce(0, +))
  }

  private struct Kept: ~Copyable {
    private let scalars: [Holder]
    final class Holder {
      let bytes: SecretBytes
      init(_ value: Int) {
        var bytes = SecretBytes(count: 32)
        bytes.withUnsafeMutableBytes { $0.storeBytes(of: value, as: Int.self) }
        self.bytes = bytes
      }
    }
    init(count: Int) { scalars = (0..<count).map { Holder($0) } }
    func sum() -> Int { scalars.reduce(0) { $0 + $1.bytes.withUnsafeBytes { $0.load(as: Int.self) } } }
  }

  @Test func randomSecretsDiffer() {
    let first = SecretBytes(randomCount: 32)
    let second = SecretBytes(randomCount: 32)
    let same = first.constantTimeEquals(second)
    #expect(!same)
  }

  @Test func copyIsIndependent() {
    var original = secret([1, 2, 3])
    let copy = original.clone()
    original.withUnsafeMutableBytes { $0[0] = 9 }
    #expect(revealed(original) == [9, 2, 3])
    #expect(revealed(copy) == [1, 2, 3])
  }

  @Test(arguments: [1, 32, 64, 65, 4096])
  func equalityLooksAtEveryByte(count: Int) {
    let bytes = randomBytes(count)
    let original = secret(bytes)
    let equal = original.constantTimeEquals(secret(bytes))
    #expect(equal)
    for index in Set([0, count / 2, count - 1]) {
      let different = original.constantTimeEquals(secret(altered(bytes, at: index)))
      #expect(!different)
    }
    let longer = original.constantTimeEquals(secret(bytes + [0]))
    #expect(!longer)
  }

  @Test func descriptionShowsNoByte() {
    let bytes = secret([0xDE, 0xAD, 0xBE, 0xEF])
    #expect(bytes.description == "SecretBytes(4 bytes, redacted)")
  }

  /// Taking and giving back slots from many threads at once keeps them apart.
  @Test func threadsDoNotShareSlots() async {
    let clashes = await withTaskGroup(of: Int.self) { group in
      for task in 0..<8 {
        group.addTask {
          var clashes = 0
          for round in 0..<500 {
            let mark = UInt8(truncatingIfNeeded: task &* 31 &+ round)
            var first = SecretBytes(count: 48)
            var second = SecretBytes(count: 48)
            first.withUnsafeMutableBytes { _ = $0.initializeMemory(as: UInt8.self, repeating: mark) }
            second.withUnsafeMutableBytes { _ = $0.initializeMemory(as: UInt8.self, repeating: ~mark) }
            if !first.withUnsafeBytes({ $0.allSatisfy { $0 == mark } }) { clashes += 1 }
            if !second.withUnsafeBytes({ $0.allSatisfy { $0 == ~mark } }) { clashes += 1 }
          }
          return clashes
        }
      }
      return await group.reduce(0, +)
    }
    #expect(clashes == 0)
  }
}

@Suite struct LibraryTests {
  @Test func librariesStart() throws { try initializeCryptography() }

  @Test func randomBytesHaveTheirCount() {
    #expect(randomBytes(0).isEmpty)
    #expect(randomBytes(33).count == 33)
    #expect(randomBytes(32) != randomBytes(32))
  }

  #if os(Linux)
    @Test func coreFilesAreForbidden() throws {
      try forbidCoreDumps()
      let limits = try String(contentsOfFile: "/proc/self/limits", encoding: .utf8)
      let core = limits.split(separator: "\n").first { $0.hasPrefix("Max core file size") }
      #expect(core?.split(separator: " ").dropFirst(4).prefix(2) == ["0", "0"])
    }
  #endif
}
