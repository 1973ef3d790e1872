import ArgumentParser
import FederationClient
import ServiceControl

struct ClientStatusCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "status", abstract: "Ask the client that runs in a directory how it is doing.",
    discussion: """
        bauta client status --directory alder

      Prints one line of JSON: state, run, server, versions of the manifest, certificate, when the last message was \
      answered, and as 'refusal' why the server lets this organisation in no more, or takes nothing of it: code, its words, \
      since when; null once it does. Status 1 if no client runs there: what its log says of its end is shown then, codes \
      without words.
      """)

  @OptionGroup var place: DirectoryOption
  /// The output is JSON in any case.
  @OptionGroup var format: JSONOption

  func run() async throws {
    do {
      Output.standard.line(StyledText(try ServiceKind.client.status(in: place.directory)))
    } catch let error as ControlError {
      guard case .notRunning = error, case .organization(let directory)? = try? Participant(opening: place.directory)
      else { throw error }
      Output.standard.line(StyledText(ClientStatus.ofStopped(directory)))
      throw ExitCode(Failure.Status.failed.rawValue)
    }
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
