import ArgumentParser
import Cryptography
import Foundation
import TransparencyLog

struct AuditCheckProofCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "check-proof", abstract: "Check a proof that a record is in a log; needs no log.",
    discussion: """
      Offline: the proof, the log's verifier key from a source that you trust, and the keys of witnesses if some must \
      have cosigned. Prints the record. Status 0 if it is in the log, 1 if not.

        bauta audit check-proof record-17.tlog-proof --key alder-log.vkey
        bauta audit check-proof record-17.tlog-proof --key alder-log.vkey \\
          --witness birch-witness.vkey --witness cedar-witness.vkey --quorum 2
        bauta audit check-proof record-3.tlog-proof --key hub-log.vkey \\
          --entry record.json

      The log's key alone shows what its keeper signed; that he showed the same log to everybody is what witnesses vouch \
      for.
      """)

  @Argument(help: "The proof.", completion: .file(extensions: [LogProof.fileExtension]))
  var proof: String

  @Option(
    help: ArgumentHelp("The log's verifier key: \(VerifierKeyArgument.explanation).", valueName: "key"),
    completion: .file(extensions: ["vkey"]))
  var key: String

  @Option(
    help: ArgumentHelp(
      "The record, if the proof does not hold it; one final newline is not part of it.", valueName: "file"),
    completion: .file())
  var entry: String?

  @Option(
    help: ArgumentHelp("A witness's verifier key; may be repeated.", valueName: "key"),
    completion: .file(extensions: ["vkey"]))
  var witness: [String] = []

  @Option(help: ArgumentHelp("How many witnesses must have cosigned (default: all that are given).", valueName: "n"))
  var quorum: Int?

  @OptionGroup var format: JSONOption

  func validate() throws {
    if let quorum, !(0...witness.count).contains(quorum) {
      throw ValidationError("--quorum is from 0 to the number of --witness keys, \(witness.count).")
    }
  }

  func run() async throws {
    let log = try VerifierKeyArgument.key(key, as: LogKeyRole.self)
    let witnesses = try witness.map { try VerifierKeyArgument.key($0, as: WitnessKeyRole.self) }
    let read: LogProof
    do {
      read = try LogProof(parsing: LocalFile.read(proof, maximum: LogProof.maximumBytes))
    } catch let error as LogProofError { throw CommandError.about(proof, error) }
    let record = try self.record(read)
    let result = read.verify(
      leaf: MerkleHashing.leaf(record), log: log, witnesses: witnesses, quorum: quorum ?? witnesses.count)
    if format.json { Output.standard.json(json(read, record, result)) } else { show(read, record, result) }
    if !result.isValid {
      try Output.standard.finish()
      throw ExitCode.failure
    }
  }

  private func record(_ proof: LogProof) throws -> [UInt8] {
    if let entry {
      var bytes = try LocalFile.read(entry, maximum: LogProof.maximumExtraBytes + 1)
      if bytes.last == 0x0A { bytes.removeLast() }
      return bytes
    }
    guard let extra = proof.extra else {
      throw CommandError.unsuitable(
        path: self.proof, problem: "the proof does not hold the record",
        remedy: "Give the record with --entry: the line that `bauta audit list LOG --json` prints.")
    }
    return extra
  }

  private func show(_ proof: LogProof, _ record: [UInt8], _ result: LogProofVerification) {
    let output = Output.standard
    let checkpoint = proof.checkpoint.checkpoint
    let verdict = result.isValid ? StyledText("proved", .good) : StyledText("NOT PROVED", .bad)
    output.line(
      "record \(String(proof.index)) of \(checkpoint.origin), \(Figures.counted(checkpoint.size, "entry", "entries")): \(verdict)"
    )
    for failure in result.failures { output.line("  \(StyledText(failure.message, .bad))") }
    for cosigner in result.cosigners {
      output.line("  cosigned by \(cosigner.name.value) at \(Self.time(cosigner.time))")
    }
    // What is not proved is not shown as if it were.
    if result.isValid { output.line("\(String(decoding: record, as: UTF8.self))") }
  }

  private func json(_ proof: LogProof, _ record: [UInt8], _ result: LogProofVerification) -> JSONValue {
    let checkpoint = proof.checkpoint.checkpoint
    return .object([
      "schema": .string("bauta/audit-proof-check/1"), "proved": .boolean(result.isValid),
      "origin": .string(checkpoint.origin), "index": .integer(Int64(clamping: proof.index)),
      "size": .integer(Int64(clamping: checkpoint.size)), "root": .string(checkpoint.root.hexadecimal),
      "failures": .strings(result.failures.map(\.message)),
      "cosigners": .array(
        result.cosigners.map {
          .object(["name": .string($0.name.value), "time": .string(Self.time($0.time))])
        }),
      "entry": result.isValid ? .string(String(decoding: record, as: UTF8.self)) : .null,
    ])
  }

  private static func time(_ seconds: UInt64) -> String {
    Date(timeIntervalSince1970: Double(seconds)).formatted(.iso8601)
  }
}
