import ArgumentParser

struct FederationStatusCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "status", abstract: "Show versions, members, who has approved, and until when certificates last.",
    discussion: """
      In a server's directory: the version in force and the one that waits, every member's approval, certificate keys and \
      certificate, who is revoked, and whether a server runs. In an organisation's: what is known there. Nothing is \
      changed. A key that is encrypted, or in a token, is opened to see where its own rotation stands: --passphrase-fd; \
      what comes in the way of that is shown.

        bauta federation status --directory hub

      A certificate is flagged from 30 days before its end (in its last third if it lives for less than 90). To be told \
      by a timer:

        bauta federation status --json --directory hub | \\
          jq -r '.organizations[] | select(.certificateState != "valid") | .name'

      Status 0 shown, 1 failed.
      """, aliases: ["show"])

  @OptionGroup var place: DirectoryOption
  @OptionGroup var secret: PassphraseOption
  @OptionGroup var format: JSONOption

  func run() async throws {
    let status = try FederationStatus(Participant(opening: place.directory), passphrase: try secret.read())
    if format.json { Output.standard.json(status.json) } else { status.show(Output.standard) }
  }
}
