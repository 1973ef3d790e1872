import Foundation
import Testing

@testable import Cryptography

@Suite struct SecretBytesTests {
  @Test func startsZeroed() {
    for count in [0, 1, 32, 64, 65, 5000, 16_384, 16_385, 100_000] {
      #expect(revealed(SecretBytes(count: count)) == [UInt8](repeating: 0, count: count))
    }
  }

  /// A slot that was used before must not show its former content, whatever length it is taken for next.
  @Test(arguments: [64, 192, 4096, 16_384])
  func reusedMemoryIsZero(count: Int) {
    var addresses: Set<UnsafeRawPointer?> = []
    for round in 0..<300 {
      var used = SecretBytes(count: count - round % 3)
      #expect(used.withUnsafeBytes { $0.allSatisfy { $0 == 0 } })
      used.withUnsafeMutableBytes { _ = $0.initializeMemory(as: UInt8.self, repeating: 0xAA) }
      addresses.insert(used.withUnsafeBytes { $0.baseAddress })
    }
    // Slots did come back.
    #expect(addresses.count < 300)
  }

  /// The memory of a slot is zero from the moment it is given back. Slabs stay mapped, so it can be looked at.
  @Test func freeSlotsAreZero() throws {
    func addressOfUsed() -> UnsafeRawPointer? {
      var used = SecretBytes(count: 12_000)
      used.withUnsafeMutableBytes { _ = $0.initializeMemory(as: UInt8.self, repeating: 0xAA) }
      return used.withUnsafeBytes { $0.baseAddress }
    }
    let start = try #require(addressOfUsed())
    #expect(UnsafeRawBufferPointer(start: start, count: 12_288).allSatisfy { $0 == 0 })
  }

  /// Each size holds its secrets and wastes at most half of what they need, above the first.
  @Test func sizeClassesFit() {
    let sizes = (0..<SizeClass.count).map { SizeClass(index: $0).byteCount }
    #expect(sizes == [64, 128, 192, 256, 384, 512, 768, 1024, 1536, 2048, 3072, 4096, 6144, 8192, 12_288, 16_384])
    for count in 0...SecretMemory.maximumSlotByteCount {
      let index = SizeClass(holding: count).index
      guard sizes[index] >= count, index == 0 || sizes[index - 1] < count else {
        Issue.record("\(count) bytes go to a slot of \(sizes[index])")
        return
      }
    }
  }

  /// More live secrets than guarded allocations would fit into a process's memory maps.
  @Test(arguments: [32, 4096])
  func manyLiveSecretsAreDistinct(count: Int) {
    let kept = Kept(secretCount: 40_000, byteCount: count)
    #expect(kept.sum() == (0..<40_000).reduce(0, +))
  }

  private struct Kept: ~Copyable {
    private let scalars: [Holder]
    final class Holder {
      let bytes: SecretBytes
      init(_ value: Int, byteCount: Int) {
        var bytes = SecretBytes(count: byteCount)
        bytes.withUnsafeMutableBytes {
          $0.storeBytes(of: value, as: Int.self)
          $0.storeBytes(of: value, toByteOffset: byteCount - 8, as: Int.self)
        }
        self.bytes = bytes
      }
      var value: Int {
        bytes.withUnsafeBytes {
          let (first, last) = ($0.load(as: Int.self), $0.load(fromByteOffset: bytes.count - 8, as: Int.self))
          return first == last ? first : -1
        }
      }
    }
    init(secretCount: Int, byteCount: Int) { scalars = (0..<secretCount).map { Holder($0, byteCount: byteCount) } }
    func sum() -> Int { scalars.reduce(0) { $0 + $1.value } }
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
            let count = [48, 48, 700, 3000][round % 4]
            var first = SecretBytes(count: count)
            var second = SecretBytes(count: count)
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

@Suite struct SecretMemoryTests {
  private final class Holder: Sendable {
    let bytes: SecretBytes
    init(_ count: Int) { bytes = SecretBytes(count: count) }
    var address: UnsafeRawPointer? { bytes.withUnsafeBytes { $0.baseAddress } }
  }

  /// One thread takes and another gives back: the slots return, and memory does not grow.
  @Test func slotsReturnFromOtherThreads() async {
    var addresses: Set<UnsafeRawPointer?> = []
    for _ in 0..<50 {
      let secrets = (0..<200).map { _ in Holder(2600) }
      for secret in secrets { addresses.insert(secret.address) }
      let clean = await withCheckedContinuation { continuation in
        Thread.detachNewThread { [secrets] in
          let clean = secrets.allSatisfy { $0.bytes.withUnsafeBytes { $0.allSatisfy { $0 == 0 } } }
          continuation.resume(returning: clean)
        }
      }
      #expect(clean)
    }
    #expect(addresses.count < 2_000)
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
