@testable import SecureAggregation

/// From words to the bits of the wire and back.
struct PackingSuite {
  let effort: Effort

  private static let bitCounts = [8, 12, 16, 20, 24, 28, 32]

  func run() throws -> SuiteResult {
    var section = Section(
      title: "Packing",
      notes: [
        "Chunks of 64 Ki coordinates, as they are masked, on one core. Bytes are those of the words, 4 a coordinate; "
          + "ratios are to AES-256-CTR of one core, as for a mask."
      ],
      columns: ["B", "pack, GB/s", "ratio", "unpack and add, GB/s", "ratio"])
    for bits in Self.bitCounts {
      let (pack, unpack) = try compare(bits: bits)
      // Words are packed where they lie, so there is nothing to do for those that fill theirs.
      section.rows.append(["\(bits)"] + (bits == 32 ? ["nothing to do", "–"] : pack.cells) + unpack.cells)
    }
    return SuiteResult(sections: [section])
  }

  private func compare(bits: Int) throws -> (pack: Comparison, unpack: Comparison) {
    let count = MaskedInputWriter.chunkByteCount / 4
    var words = (0..<UInt32(count)).map { $0 &* 0x9e37_79b9 }
    let packed = BitPacking.pack(words, bits: bits)
    var (pack, unpack) = (Comparison(), Comparison())
    for _ in 0..<effort.repetitions {
      let reference = try CipherReference.bytesPerSecond(cores: 1)
      let packing = measure(forAtLeast: effort.seconds) {
        words.withUnsafeMutableBufferPointer { keep(BitPacking.packInPlace($0, bits: bits).count) }
      }
      let unpacking = measure(forAtLeast: effort.seconds) {
        packed.withUnsafeBytes { BitPacking.addUnpacking($0, bits: bits, to: &words) }
      }
      pack.add(rate: Double(4 * count) / packing.cpu, reference: reference)
      unpack.add(rate: Double(4 * count) / unpacking.cpu, reference: reference)
    }
    keep(words)
    return (pack, unpack)
  }
}
