import COpenSSL

/// Keeps the C library from giving the buffers of every message back to the system.
///
/// Each chunk of a stream passes through several buffers of up to a few hundred KiB. glibc returns such memory when it is
/// freed and asks for it again at the next chunk, and every page of it is then cleared and mapped anew, which takes longer
/// than the encryption: streams run at half of what they reach otherwise (see `Benchmarks/RESULTS.md`).
///
/// Holds for the whole process. The price is that up to 64 MiB a heap stay with the process after use; larger arrays, such
/// as those of a model, still go back at once.
enum TransportMemory {
  /// Blocks from this size on are mapped one by one and returned, in bytes.
  private static let largestKeptBlock: Int32 = 1 << 20
  /// Free memory at the end of a heap that is kept, in bytes.
  private static let keptByteCount: Int32 = 64 << 20

  // Without it streams are slower and nothing else, so a refusal is no error.
  private static let tuned = mutual_tls_keep_freed_memory(largestKeptBlock, keptByteCount) == 1

  /// Takes effect at the first call; later ones do nothing.
  static func keepFreedBuffers() { _ = tuned }
}
