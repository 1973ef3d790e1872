import ArgumentParser
import Cryptography
import Foundation
import MutualTLS

/// The program: arguments in, text or JSON out.
@main
struct Bauta: AsyncParsableCommand {
  static let version = "0.1.0"

  static let configuration = CommandConfiguration(
    commandName: "bauta",
    abstract: "Train one model across organisations; the server learns sums and nothing else.",
    discussion: """
      Each organisation keeps its data and its keys. What is computed from data leaves it masked, and \
      every message that leaves is in a log that can be checked afterwards.

      See it work:
        bauta demo
      Join a federation:
        bauta organization init alder.example --directory alder
      Start a federation:
        bauta federation init fraud.example --server-name hub.example \\
          --address 127.0.0.1:7443 --directory hub
      Check what left:
        bauta audit verify alder && bauta audit list alder

      Exit status: 0 done, 1 failed, 2 wrong usage, 3 a run stopped because too few organisations took part, 4 a run \
      ended early because an organisation's privacy budget is spent.
      """,
    version: version,
    subcommands: subcommands)

  /// Runs the command that the arguments name and ends the process with its status.
  static func main() async {
    // A reader that goes away is told by the write that fails, not by a signal that ends the process mid-way.
    signal(SIGPIPE, SIG_IGN)
    openStandardDescriptors()
    let status: Int32
    do {
      // Before any key is read: neither a core file nor another process of this user may see this one's memory.
      try forbidCoreDumps()
      // A configuration of OpenSSL that cannot be honoured is said, not passed over.
      try OpenSSLConfiguration.check()
      try initializeCryptography()
      var command = try parseAsRoot()
      if var asynchronous = command as? any AsyncParsableCommand {
        try await asynchronous.run()
      } else {
        try command.run()
      }
      try Output.standard.finish()
      status = Failure.Status.done.rawValue
    } catch {
      status = report(error)
    }
    Foundation.exit(status)
  }

  /// Puts /dev/null in the place of a standard stream that the caller has closed: the first file that is opened would
  /// take its number otherwise, and be written to as if it were the terminal.
  private static func openStandardDescriptors() {
    for descriptor in [STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO] where fcntl(descriptor, F_GETFD) < 0 {
      // The lowest free number is taken, which is this one: those below it are open by now.
      _ = open("/dev/null", O_RDWR)
    }
  }

  /// Says what went wrong on standard error, and gives the exit status.
  private static func report(_ error: any Error) -> Int32 {
    // What a command printed before it failed comes first.
    Output.standard.flush()
    if let status = error as? ExitCode { return status.rawValue }
    let isOurs = error is any BlamedError
    let parsed = isOurs ? ExitCode.failure : exitCode(for: error)
    if !isOurs, parsed == .success {
      // Help and version are errors to the parser, and answers to the user.
      Output.standard.write(Array((fullMessage(for: error) + "\n").utf8))
      Output.standard.flush()
      return Failure.Status.done.rawValue
    }
    let failure = parsed == .validationFailure ? usageFailure(error) : Failure(error)
    failure.report(to: .error, asJSON: CommandLine.arguments.dropFirst().prefix { $0 != "--" }.contains("--json"))
    return failure.status.rawValue
  }

  private static func usageFailure(_ error: any Error) -> Failure {
    let message = message(for: error)
    let lines = fullMessage(for: error).split(separator: "\n").map { $0.trimmingCharacters(in: .whitespaces) }
    // The last line names the help of the very command that was meant.
    let help = lines.last { $0.hasPrefix("See '") }?.replacingOccurrences(of: " for more information", with: "")
    return Failure(
      code: "usage", blame: .caller, message: message, remedy: help ?? "See 'bauta --help'.", status: .usage)
  }
}
