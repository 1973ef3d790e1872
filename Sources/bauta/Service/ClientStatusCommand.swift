import ArgumentParser
import ServiceControl

struct ClientStatusCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "status", abstract: "Ask the client that runs in a directory how it is doing.",
    discussion: """
        bauta client status --directory alder

      Prints one line of JSON: state, run, server, versions of the manifest, certificate, and when the last message was \
      answered. Status 1 if no client runs there.
      """)

  @OptionGroup var place: DirectoryOption
  /// The output is JSON in any case.
  @OptionGroup var format: JSONOption

  func run() async throws {
    Output.standard.line(StyledText(try ServiceKind.client.status(in: place.directory)))
  }
}

struct ClientReloadCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "reload", abstract: "Have the client that runs in a directory read its files again.",
    discussion: """
        bauta client reload --directory alder

      It looks for changed files by itself, before every message; this is for file systems that do not say when a file \
      changed. What cannot be read changes nothing, and is in the client's output.
      """)

  @OptionGroup var place: DirectoryOption

  func run() async throws {
    _ = try ServiceKind.client.ask(ControlRequest("reload"), in: place.directory)
    Output.standard.line("the client in \(place.directory) reads its files again before its next message")
  }
}
