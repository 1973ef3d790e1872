import ArgumentParser
import AuditLog
import Cryptography
import Foundation
import TransparencyLog

/// The audit log: appending with its fsync, and verifying from the files.
///
/// Appending is compared with the rate at which this disk completes an fsync of one thread, verifying with the rate at which
/// this machine's SHA-256 hashes the same bytes once on all cores.
struct AuditSuite {
  let effort: Effort
  /// Ten million records as well: 12 GB of files, several minutes.
  let isLarge: Bool

  func run() throws -> SuiteResult {
    let appending = try appending()
    let verifying = try verifying()
    return SuiteResult(
      sections: [appending.section, verifying.section], goals: appending.goals + verifying.goals)
  }

  // MARK: - Appending

  private func appending() throws -> (section: Section, goals: [Goal]) {
    var section = Section(
      title: "Appending to the audit log",
      notes: [
        "Records of some 600 bytes, each on disk before its append returns; those that wait at the same time share an fsync. "
          + "Tiles and signed checkpoints are written meanwhile. The reference is one thread that writes 600 bytes and calls "
          + "fsync, again and again, in the same repetitions."
      ],
      columns: ["threads", "records/s", "records for each fsync of one thread"])
    var goals: [Goal] = []
    for threads in [1, 64] {
      var rates = Samples()
      var ratios = Samples()
      for _ in 0..<effort.repetitions {
        let reference = try synchronizationRate()
        let rate = try appendRate(threads: threads, each: (effort.isQuick ? 2_000 : 16_000) / threads)
        rates.add(rate)
        ratios.add(rate / reference)
      }
      section.rows.append(["\(threads)", rates.text(0), ratios.text(2)])
      if threads > 1 {
        goals.append(
          Goal(
            text: "append to the audit log, \(threads) threads: at least 20,000 records/s on disk",
            figure: rates.text(0), isMet: rates.median >= 20_000))
      }
    }
    return (section, goals)
  }

  private func synchronizationRate() throws -> Double {
    let directory = try ScratchDirectory()
    let path = "\(directory.path)/file"
    let descriptor = open(path, O_WRONLY | O_CREAT | O_APPEND, 0o600)
    guard descriptor >= 0 else { throw BenchmarkError.noFigure(command: "open \(path)") }
    defer { close(descriptor) }
    let record = [UInt8](repeating: 0x61, count: 600)
    let elapsed = try measure(forAtLeast: effort.seconds) {
      guard write(descriptor, record, record.count) == record.count, fsync(descriptor) == 0 else {
        throw BenchmarkError.noFigure(command: "fsync \(path)")
      }
    }
    return 1 / elapsed.wall
  }

  private func appendRate(threads: Int, each: Int) throws -> Double {
    let directory = try ScratchDirectory()
    let writer = try AuditFixture.writer(directory.path)
    let draft = try AuditFixture.draft(number: 0)
    let group = DispatchGroup()
    let elapsed = measure {
      for _ in 0..<threads {
        group.enter()
        Thread.detachNewThread {
          // A failure shows in the count below.
          for _ in 0..<each { _ = try? writer.append(draft) }
          group.leave()
        }
      }
      group.wait()
    }
    try writer.close()
    guard writer.size == UInt64(threads * each) else { throw BenchmarkError.noFigure(command: "append") }
    return Double(threads * each) / elapsed.wall
  }

  // MARK: - Verifying

  private func verifying() throws -> (section: Section, goals: [Goal]) {
    var section = Section(
      title: "Verifying an audit log",
      notes: [
        "From the files alone: every line, the tree, every tile and bundle, the signature; in a process of its own. The "
          + "reference is SHA-256 over the journal's bytes on all cores; verifying hashes them once, the tree besides, and "
          + "reads every entry a second time in its bundle. Files were in the page cache as far as they fit."
      ],
      columns: ["records", "journal", "time", "records/s", "of SHA-256", "peak memory"])
    var goals: [Goal] = []
    for count in [100_000] + (isLarge ? [10_000_000] : []) {
      let directory = try ScratchDirectory()
      let bytes = try AuditFixture.make(directory.path, count: count)
      let repetitions = count > 1_000_000 ? 1 : effort.repetitions
      var rates = Samples()
      var ratios = Samples()
      var peak = 0.0
      var seconds = Samples()
      for _ in 0..<repetitions {
        let reference = hashRate() * Double(Machine.cores)
        let figure = try AuditVerification(directory: directory.path).figureOfChild()
        seconds.add(figure.seconds)
        rates.add(Double(count) / figure.seconds)
        ratios.add(Double(bytes) / figure.seconds / reference)
        peak = max(peak, figure.peak)
      }
      section.rows.append([
        Figure.dimension(count), Figure.bytes(Double(bytes)), Figure.time(seconds.median), rates.text(0),
        ratios.text(2), Figure.bytes(peak),
      ])
      goals.append(
        Goal(
          text: "verify an audit log of \(Figure.dimension(count)) records: at least 200,000 records/s",
          figure: rates.text(0), isMet: rates.median >= 200_000))
      goals.append(
        Goal(
          text: "verify an audit log of \(Figure.dimension(count)) records: under 128 MiB of memory",
          figure: Figure.bytes(peak), isMet: peak < 128 * 1_048_576))
    }
    return (section, goals)
  }

  /// Bytes per second of one core.
  private func hashRate() -> Double {
    let bytes = [UInt8](repeating: 0x61, count: 1 << 20)
    let elapsed = measure(forAtLeast: effort.seconds) { keep(SHA256Digest(hashing: bytes)) }
    return Double(bytes.count) / elapsed.cpu
  }
}

/// A verification in a process of its own, whose peak memory is that of the verification.
struct AuditVerification: ExpressibleByArgument {
  let directory: String

  init(directory: String) { self.directory = directory }

  init?(argument: String) { self.init(directory: argument) }

  func figureOfChild() throws -> MemoryFigure {
    let lines = try ChildProcess.linesOfSelf(["--verification", directory])
    guard let line = lines.last, let figure = MemoryFigure(line: line) else {
      throw BenchmarkError.noFigure(command: "verify \(directory)")
    }
    return figure
  }

  /// In the child.
  func run() throws -> MemoryFigure {
    let key = try AuditFixture.verifierKey()
    let before = try ResidentMemory.current
    let (report, elapsed) = measured { AuditVerifier.verify(logDirectory: directory, verifierKey: key) }
    guard report.verified else { throw BenchmarkError.noFigure(command: "verify \(directory)") }
    return MemoryFigure(peak: try ResidentMemory.peak, before: before, seconds: elapsed.wall)
  }
}

private enum AuditFixture {
  private static func name() throws -> OrganizationName { try OrganizationName("alder.example") }

  private static func key() throws -> LogSigningKey {
    var seed = SecretBytes(count: 32)
    seed.withUnsafeMutableBytes { $0.copyBytes(from: [UInt8](repeating: 7, count: 32)) }
    return try LogSigningKey(seed: seed)
  }

  static func verifierKey() throws -> String {
    NoteVerifierKey(organization: try name(), key: try key().verifyingKey).text
  }

  static func writer(_ directory: String) throws -> AuditLogWriter {
    try AuditLogWriter(directory: directory, organization: try name(), logKey: try key())
  }

  /// Such as a client writes: a message, and what became of it.
  static func draft(number: Int) throws -> AuditRecord.Draft {
    // Entries come in pairs, as verification remembers a message until it is told of its delivery.
    let digits = String(number / 2)
    guard let id = MessageIdentifier("m-" + String(repeating: "0", count: max(0, 30 - digits.utf8.count)) + digits)
    else {
      throw BenchmarkError.noFigure(command: "message \(number)")
    }
    var draft = AuditRecord.Draft(number.isMultiple(of: 2) ? .messageSent : .delivery)
    draft.run = "run-20260301"
    draft.round = number % 1000
    draft.stateVersion = 12
    draft.destination = .init(
      name: try OrganizationName("hub.example"), address: "192.0.2.1:7443", tlsPeer: CertificateKeyHash(hashing: [1]),
      exporter: SHA256Digest(hashing: [2]))
    if number.isMultiple(of: 2) {
      draft.message = .init(
        label: MessageLabel(id: id, kind: "maskedInput", stage: "MaskedInputCollection"), payload: [1, 2, 3])
    } else {
      draft.messageID = id
      draft.outcome = .succeeded
      draft.receipt = .init(index: UInt64(number), leaf: LeafHash(hashing: [3]))
    }
    return draft
  }

  /// - Returns: the bytes of the journal, sealed or not.
  static func make(_ directory: String, count: Int) throws -> Int {
    let writer = try writer(directory)
    for start in stride(from: 0, to: count, by: 256) {
      let drafts = try (start..<min(start + 256, count)).map { try draft(number: $0) }
      try writer.append(contentsOf: drafts, durable: false)
    }
    try writer.close()
    let manager = FileManager.default
    let segments = (try? manager.contentsOfDirectory(atPath: "\(directory)/journal.d")) ?? []
    return try (["journal"] + segments.map { "journal.d/\($0)" }).reduce(0) { sum, file in
      let size = try manager.attributesOfItem(atPath: "\(directory)/\(file)")[.size] as? Int
      return sum + (size ?? 0)
    }
  }
}

/// Disappears with its owner.
private final class ScratchDirectory {
  let path: String

  init() throws {
    let url = FileManager.default.temporaryDirectory.appendingPathComponent("bauta-audit-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: url, withIntermediateDirectories: true)
    path = url.path
  }

  deinit { try? FileManager.default.removeItem(atPath: path) }
}
