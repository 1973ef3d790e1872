import ArgumentParser
import Cryptography
import FederationClient

struct OrganizationAcknowledgeCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "acknowledge", abstract: "Say why state.sqlite and the log do not agree, and let the client go on.",
    discussion: """
      state.sqlite holds what this organisation has signed and must not contradict; the log holds what left. When one \
      of them was restored from an older copy, 'bauta client' lets nothing leave until its owner has said so:

        bauta organization acknowledge --directory alder \\
          --reason "disk replaced, restored from 1 March"

      If the newer file still exists, put it back instead: nothing is lost then. Otherwise the reason becomes an entry \
      of the log; runs that the log knows are not taken part in again; and since earlier sums may be forgotten, every \
      sum is charged to the policy's cohort.nearOpenings until its days have passed. The log itself is not changed. \
      Status 0 done, 1 there is nothing to acknowledge or it could not be written.
      """)

  @OptionGroup var place: DirectoryOption

  @Option(help: ArgumentHelp("What happened, for the log: 1 to 1024 bytes on one line.", valueName: "text"))
  var reason: String

  @OptionGroup var format: JSONOption

  func validate() throws {
    guard Reason.isOneLine(reason, bytes: 1...1024) else {
      throw ValidationError("--reason is 1 to 1024 bytes on one line.")
    }
  }

  func run() async throws {
    let done = try StateAcknowledgement.record(directory: place.directory, reason: reason)
    let output = Output.standard
    if format.json {
      output.json(
        .object([
          "schema": .string("bauta/organization-acknowledge/1"), "organization": .string(done.organization.value),
          "fault": .string(done.fault.code), "entry": .count(Int(clamping: done.entry)),
          "stateVersion": .count(Int(clamping: done.version)), "historyLost": .boolean(done.isHistoryLost),
          "days": done.isHistoryLost ? .count(done.days) : .null,
          "nearOpenings": done.isHistoryLost ? .count(done.budget) : .null,
        ]))
      return
    }
    output.line("\(done.organization, .strong): \(done.fault.message)")
    output.line("  Your reason is entry \(done.entry) of the log.")
    guard done.isHistoryLost else {
      output.line("  What was signed is remembered; the client may be started.")
      return
    }
    output.line("  What was signed is not remembered: runs that the log knows are not taken part in again, and for")
    output.line(
      "  \(done.days) days every row of sums over the same organisations counts as near an unknown one; the policy")
    output.line("  allows \(Figures.counted(done.budget, "such row")). The client may be started.")
  }
}
