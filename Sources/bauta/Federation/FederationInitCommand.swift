import ArgumentParser
import Cryptography
import Federation

struct FederationInitCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "init", abstract: "Make the directory of a new federation's server.",
    discussion: """
      Makes the server's keys, the federation's certificate authority (in ca/) and version 1 of the manifest.

        bauta federation init fraud.example --server-name hub.example \\
          --address 127.0.0.1:7443 --directory hub

      Next: bauta federation admit REQUEST… with the requests of the organisations.
      """)

  @Argument(help: "Name of the federation, like a host name.", transform: { try OrganizationName($0) })
  var name: OrganizationName

  @Option(
    help: ArgumentHelp("Name of the server, like a host name.", valueName: "name"),
    transform: { try OrganizationName($0) })
  var serverName: OrganizationName

  @Option(
    help: ArgumentHelp("HOST:PORT where clients connect; may be repeated, in the order to try.", valueName: "address"),
    transform: { try NetworkAddress($0) })
  var address: [NetworkAddress]

  @Option(
    help: ArgumentHelp("A new directory (default: the server name's first part).", valueName: "dir"),
    completion: .directory)
  var directory: String?

  @Option(help: ArgumentHelp("Organisations that may collude with the server without harm.", valueName: "n"))
  var assumedCorrupt = 1

  @Option(help: ArgumentHelp("Fewest organisations in any sum.", valueName: "n"))
  var minimumCohort = 3

  @OptionGroup var format: JSONOption

  func validate() throws {
    if address.isEmpty { throw ValidationError("Give at least one --address HOST:PORT.") }
  }

  func run() async throws {
    var settings = FederationInitializer.Settings(federation: name, serverName: serverName, addresses: address)
    settings.assumedCorrupt = assumedCorrupt
    settings.minimumCohort = minimumCohort
    let path = directory ?? String(serverName.value.prefix { $0 != "." })
    let result = try FederationInitializer.initialize(settings, at: path)
    let output = Output.standard
    if format.json {
      output.json(
        .object([
          "schema": .string("bauta/federation-init/1"), "federation": .string(name.value), "directory": .string(path),
          "fingerprint": .string(result.fingerprint.hexadecimal),
          "manifest": .string(result.manifest.hash.hexadecimal), "version": .integer(1),
        ]))
      return
    }
    output.line("\(name, .strong): server \(serverName) in \(path)")
    output.line()
    output.line("  fingerprint  \(result.fingerprint)")
    output.line()
    output.line("Keep \(path)/ca apart if you can: it is only needed to admit.")
    output.line("Next: bauta federation admit REQUEST… --directory \(path)")
  }
}
