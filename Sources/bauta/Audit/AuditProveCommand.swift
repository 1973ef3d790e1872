import ArgumentParser
import AuditLog
import Cryptography
import TransparencyLog

struct AuditProveCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "prove", abstract: "Write a proof that one record is in a log, for a third party.",
    discussion: """
      The proof (C2SP tlog-proof) holds the record, its place in the tree, and the signed checkpoint with the \
      cosignatures it has. It is checked before it is written. Who has the log's verifier key checks it offline, \
      without the log: see `bauta audit check-proof`.

        bauta audit prove alder 17 --output record-17.tlog-proof
        bauta audit prove hub 3 --without-entry > record-3.tlog-proof

      A record is provable once a checkpoint covers it: when the log is closed, and every 256 entries.
      """)

  @Argument(help: "Directory of an organisation, a server or a log.", completion: .directory)
  var directory: String

  @Argument(help: "Number of the record, as `bauta audit list` shows it under 'entry'.")
  var index: UInt64

  @Option(
    name: .shortAndLong, help: ArgumentHelp("Write the proof to this new file.", valueName: "file"),
    completion: .file(extensions: [LogProof.fileExtension]))
  var output: String?

  @Option(
    help: ArgumentHelp(
      "The log's verifier key, \(VerifierKeyArgument.explanation) (default: the one beside the log).",
      valueName: "key"),
    completion: .file(extensions: ["vkey"]))
  var key: String?

  @Flag(help: "Leave the record itself out: the proof then shows nothing of it, and its holder has to have it.")
  var withoutEntry = false

  @OptionGroup var format: JSONOption

  func run() async throws {
    let log = try LogDirectory.resolve(directory)
    let verifier = try verifierKey()
    let proof = try proof(from: log)
    guard let entry = proof.extra else { throw damaged(log.path, "the record is empty") }
    let checked = proof.verify(leaf: MerkleHashing.leaf(entry), log: verifier)
    if let failure = checked.failures.first { throw damaged(log.path, failure.message) }
    let written = withoutEntry ? try LogProof(index: index, hashes: proof.hashes, checkpoint: proof.checkpoint) : proof
    if let output { try LocalFile.create(output, written.serialized) }
    show(written)
  }

  private func proof(from log: TileDirectory) throws -> LogProof {
    do {
      return try TileReader.proof(directory: log, index: index, includingEntry: true)
    } catch TransparencyLogError.outOfRange(_, let size) {
      let covered = size == 0 ? "no record" : size == 1 ? "record 0" : "records 0 to \(size - 1)"
      throw CommandError.unsuitable(
        path: log.path, problem: "its checkpoint covers \(covered), not record \(index)",
        remedy: "Wait for the next checkpoint if `bauta audit list` shows the record: one is signed when the log is "
          + "closed, and every 256 entries.")
    }
  }

  private func verifierKey() throws -> NoteVerifierKey<LogKeyRole> {
    if let key { return try VerifierKeyArgument.key(key) }
    guard let text = try AuditVerifier.verifierKeyText(logDirectory: directory) else {
      throw CommandError.unsuitable(
        path: directory, problem: "there is no log.vkey in or beside it",
        remedy: "Give the log's verifier key with --key.")
    }
    return try NoteVerifierKey<LogKeyRole>(text)
  }

  private func damaged(_ path: String, _ problem: String) -> CommandError {
    .unsuitable(
      path: path, problem: "nothing was written, as the proof does not hold: \(problem)",
      remedy: "Run `bauta audit verify`; it names what is wrong with the log.")
  }

  private func show(_ proof: LogProof) {
    let checkpoint = proof.checkpoint.checkpoint
    if format.json {
      Output.standard.json(
        .object([
          "schema": .string("bauta/audit-proof/1"), "origin": .string(checkpoint.origin),
          "index": .integer(Int64(clamping: proof.index)), "size": .integer(Int64(clamping: checkpoint.size)),
          "root": .string(checkpoint.root.hexadecimal), "output": .optional(output),
          "proof": .string(String(decoding: proof.serialized, as: UTF8.self)),
        ]))
    } else if let output {
      Output.standard.line(
        "\(output): record \(String(proof.index)) of \(checkpoint.origin), under a checkpoint of \(Figures.counted(checkpoint.size, "entry", "entries"))"
      )
    } else {
      Output.standard.write(proof.serialized)
    }
  }
}
