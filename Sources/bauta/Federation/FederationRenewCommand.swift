import ArgumentParser
import Cryptography
import Federation

struct FederationRenewCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "renew", abstract: "Issue certificates with later dates for the same keys.",
    discussion: """
      Nobody has to approve anything. The organisation is handed its invitation again, and installs the certificate with \
      'bauta federation approve INVITATION'; the server's own is put in place here.

        bauta federation renew alder.example hub.example --directory hub
        bauta federation renew --expiring --days 90 --directory hub

      Needs the authority's key in DIR/ca. With an authority of your own, issue the certificate there, and install it at \
      the organisation: bauta federation approve tls.crt --directory alder. Status 0 done or nothing is due, 1 failed, 2 \
      wrong usage.
      """)

  @Argument(help: "Organisations, or the server.", transform: { try OrganizationName($0) })
  var names: [OrganizationName] = []

  @Flag(help: "All whose certificate has expired or soon will.")
  var expiring = false

  @OptionGroup var place: DirectoryOption
  @OptionGroup var lifetime: LifetimeOption
  @OptionGroup var format: JSONOption

  func validate() throws {
    if names.isEmpty != expiring { throw ValidationError("Give names, or --expiring.") }
  }

  func run() async throws {
    let server = try ServerDirectory(opening: place.directory)
    let chosen = try expiring ? Renewal.due(in: server) : names
    let result = try Renewal.renew(chosen, in: server, lifetime: lifetime.value)
    let output = Output.standard
    if format.json {
      output.json(
        .object([
          "schema": .string("bauta/federation-renew/1"),
          "renewed": .array(
            result.renewed.map {
              .object([
                "name": .string($0.name.value), "notAfter": .string(Moment.text($0.certificate.notAfter)),
                "serial": .string($0.certificate.serial), "invitation": .optional($0.invitation),
              ])
            }), "service": .string(result.service.word),
        ]))
      return
    }
    if result.renewed.isEmpty { output.line("No certificate expires soon.") }
    for renewed in result.renewed {
      output.line(
        "\(renewed.name, .strong): \(Moment.expiry(renewed.certificate.notAfter)); \(renewed.invitation ?? "in place")")
    }
    if let line = result.service.line(server.path) { output.line(line) }
    if result.renewed.contains(where: { $0.invitation != nil }) {
      output.line("Next: send each organisation its invitation; it installs the certificate with")
      output.line("  bauta federation approve INVITATION --directory DIR")
    }
  }
}
