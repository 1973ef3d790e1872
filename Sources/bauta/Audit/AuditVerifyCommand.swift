import ArgumentParser
import AuditLog
import Cryptography
import Federation
import TransparencyLog

struct AuditVerifyCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "verify", abstract: "Check that nobody changed a log; names the place if somebody did.",
    discussion: """
      Checks the signature of the checkpoint, every entry of the journal, every hash in every tile, and that no file \
      is missing or left over. Says what it could not check. Status 0 if every log is verified, 1 if not.

        bauta audit verify alder birch cedar hub
        bauta audit verify copy-of-log --key alder-log.vkey
        bauta audit verify alder hub --manifest federation.note
        bauta audit verify alder --key alder-log.vkey --witness watch.vkey --quorum 1

      Cosignatures are looked for on the checkpoint, and on the one in checkpoint.cosigned. With --manifest the witnesses \
      are all members and the server, the log's own keeper excepted, and as many must have cosigned as its witnessQuorum \
      says; with --witness those, and all of them, unless --quorum says otherwise. Others are mentioned, not counted.

      Without --key and --manifest the key is the one that lies beside the log: that shows that both belong together, \
      not whose they are.
      """)

  @Argument(help: "Directories of organisations, servers or logs.", completion: .directory)
  var directories: [String]

  @Option(help: ArgumentHelp("The log's verifier key, for one log.", valueName: "file"), completion: .file())
  var key: String?

  @Option(
    help: ArgumentHelp("Take keys from the signed manifest of the federation.", valueName: "note"),
    completion: .file(extensions: ["note"]))
  var manifest: String?

  @Option(
    help: ArgumentHelp(
      "Verifier key of a witness, \(VerifierKeyArgument.explanation); may be repeated.", valueName: "key"),
    completion: .file(extensions: ["vkey"]))
  var witness: [String] = []

  @Option(help: ArgumentHelp("So many witnesses must have cosigned.", valueName: "n"))
  var quorum: Int?

  @OptionGroup var format: JSONOption

  func validate() throws {
    if let quorum {
      guard quorum >= 0 else { throw ValidationError("--quorum is not negative.") }
      guard manifest != nil || quorum <= witness.count else {
        throw ValidationError("--quorum is at most the number of witnesses: name them with --witness or --manifest.")
      }
    }
    if key != nil, directories.count > 1 { throw ValidationError("--key goes with one log.") }
    if key != nil, manifest != nil { throw ValidationError("Give --key or --manifest, not both.") }
  }

  func run() async throws {
    let source: LogVerifier.KeySource =
      if let key {
        .file(key)
      } else if let manifest {
        .manifest(try ManifestFile.read(manifest, requiringApprovals: true).manifest)
      } else {
        .besideLog
      }
    let cosigners = LogVerifier.Cosigners(
      witnesses: try witness.map { try VerifierKeyArgument.key($0, as: WitnessKeyRole.self) }, quorum: quorum)
    let results = try directories.map { try LogVerifier.verify($0, key: source, cosigners: cosigners) }
    for (place, result) in results.enumerated() {
      if format.json {
        Output.standard.json(JSONValue(result.report.json))
      } else {
        if place > 0 { Output.standard.line() }
        Self.show(result)
      }
    }
    if !results.allSatisfy(\.report.verified) {
      try Output.standard.finish()
      throw ExitCode.failure
    }
  }

  static func show(_ result: LogVerifier.Result) {
    let report = result.report
    let verdict = report.verified ? StyledText("verified", .good) : StyledText("NOT VERIFIED", .bad)
    let origin = report.origin.map { " of \($0)" } ?? ""
    let size = report.size.map { ", \(Figures.counted($0, "entry", "entries"))" } ?? ""
    Output.standard.line("\(result.directory, .strong)\(origin)\(size): \(verdict)")
    if let key = result.key { Output.standard.line("  key: \(key.text)") }
    var table = Table([.text("check"), .text("result"), .text("at"), .text("detail")], indentation: 2)
    for check in report.checks {
      let outcome: StyledText =
        switch check.result {
        case .passed: StyledText("passed", .good)
        case .failed: StyledText("FAILED", .bad)
        case .notChecked: StyledText("not checked", .caution)
        }
      table.append(["\(check.name.rawValue)", outcome, "\(check.at)", "\(check.detail)"])
    }
    Output.standard.table(table)
  }
}
