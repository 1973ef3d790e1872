import ArgumentParser
import LogService
import TransparencyLog

struct AuditServeCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "serve", abstract: "Serve the public files of a log over HTTP, for auditors and monitors.",
    discussion: """
      Serves the checkpoint, the tiles and the entry bundles (C2SP tlog-tiles), so that any tool that reads such logs \
      reads this one; nothing else in the directory. Entry bundles hold the records themselves: whoever can reach the \
      address can read what the log says. Without --listen only this machine can. Ends on SIGINT or SIGTERM, status 0.

        bauta audit serve alder
        bauta audit serve alder --listen 10.0.0.5:7480
        curl http://127.0.0.1:7480/checkpoint
      """)

  @Argument(help: "Directory of an organisation, a server or a log.", completion: .directory)
  var directory: String

  @Option(help: ArgumentHelp("Where to listen; port 0 for a free one.", valueName: "host:port"))
  var listen = ListenAddress(host: "127.0.0.1", port: 7480)

  @OptionGroup var format: JSONOption

  func run() async throws {
    let log = try LogDirectory.resolve(directory)
    let ending = EndingSignal()
    let server = try await LogServer.start(
      LogSite(logDirectory: log.path), host: listen.host, port: listen.port)
    if format.json {
      Output.standard.json(
        .object(["event": .string("serving"), "log": .string(log.path), "url": .string(server.url)]))
    } else {
      Output.standard.line("Serving checkpoint, tiles and entries of \(log.path) on \(server.url, .strong)")
    }
    Output.standard.flush()
    await ending.wait()
    await server.stop()
  }
}

/// The order to end, SIGTERM or SIGINT, from the moment it is made.
struct EndingSignal {
  private let signals: AsyncStream<Void>
  private let interruption: Interruption

  init() {
    let (signals, continuation) = AsyncStream.makeStream(of: Void.self)
    self.signals = signals
    interruption = Interruption { continuation.yield() }
  }

  /// Returns when it comes.
  func wait() async {
    for await _ in signals { break }
    interruption.cancel()
  }
}
