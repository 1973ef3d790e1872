import ArgumentParser
import Cryptography
import Federation
import MutualTLS

struct FederationAdmitCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "admit", abstract: "Admit organisations: certificates, the next manifest, invitations.",
    discussion: """
      Compare each fingerprint with the organisation, over a channel you trust, before you send the invitations. \
      Several requests make one version of the manifest. Without a request, the present invitations are written again.

        bauta federation admit alder.request.json birch.request.json --directory hub

      Next: send invitations/NAME.invitation.json to every organisation; each has to approve.

      A rotation file (bauta organization rotate) is taken, too: it needs no approval, and makes no version.

        bauta federation admit alder.example.rotation.json --directory hub

      An organisation that lost its identity key comes with a new request under its name. The old key is revoked at once, \
      and everybody has to approve the new one:

        bauta federation admit alder.example.request.json --replace \\
          --reason "identity.key lost" --directory hub

      With an authority of your own, give the certificate that it issued for the one request: --certificate alder.crt. \
      Status 0 done, 1 failed, 2 wrong usage.
      """)

  @Argument(help: "Join requests, and rotation files.", completion: .file(extensions: ["json"]))
  var requests: [String] = []

  @OptionGroup var place: DirectoryOption
  @OptionGroup var lifetime: LifetimeOption

  @Option(
    help: ArgumentHelp(
      "Certificate for the one request, issued by your own authority; PEM, with intermediates.", valueName: "file"),
    completion: .file())
  var certificate: String?

  @Flag(help: "The request takes the place of the member of its name.")
  var replace = false

  @Option(help: ArgumentHelp("With --replace: what happened, for the log: one line.", valueName: "text"))
  var reason: String?

  @OptionGroup var assumptions: AssumptionOptions

  @Flag(help: "With --replace: do not ask; you have compared the fingerprint by voice.")
  var yes = false

  @OptionGroup var format: JSONOption

  func validate() throws {
    guard replace == (reason != nil) else { throw ValidationError("--replace and --reason go together.") }
    guard !replace || requests.count == 1 else { throw ValidationError("--replace takes one request.") }
    guard certificate == nil || requests.count == 1 else { throw ValidationError("--certificate is for one request.") }
  }

  func run() async throws {
    let server = try ServerDirectory(opening: place.directory)
    var candidates: [Admission.Candidate] = []
    var rotations: [RotationRequest] = []
    for path in requests {
      switch try AdmissionRequest(contentsOf: path) {
      case .join(let request): candidates.append(try Admission.Candidate(request))
      case .rotation(let rotation): rotations.append(rotation)
      }
    }
    let chain = try certificate.map { try AuthorityFiles.read($0).certificates }
    guard rotations.isEmpty || !replace else {
      throw CommandError.usage(
        "a rotation file replaces no identity", remedy: "Leave --replace out, or give the request to join.")
    }
    var settings = Admission.Settings(
      lifetime: lifetime.value, certificate: chain, assumptions: assumptions.value)
    settings.replacement = try reason.map { try Reason.require($0) }
    if replace, let candidate = candidates.first { try confirm(candidate) }
    let issued = try rotations.map {
      try Rotation.issue($0, in: server, lifetime: lifetime.value, certificate: chain)
    }
    let isOnlyRotation = candidates.isEmpty && !rotations.isEmpty && assumptions.value.isEmpty
    let result = isOnlyRotation ? nil : try Admission.admit(candidates, in: server, settings)
    if format.json {
      Output.standard.json(try json(result, issued, in: server))
    } else {
      for rotation in issued { Self.show(rotation, in: server) }
      if let result { show(result, in: server) }
    }
  }

  private func confirm(_ candidate: Admission.Candidate) throws {
    if !format.json {
      let output = Output.standard
      output.line(
        "\(candidate.name, .strong) would have a \("NEW IDENTITY KEY", .caution): compare the fingerprint by voice")
      output.line("  \(candidate.fingerprint)")
    }
    try Confirmation.require(
      "Have you compared it with \(candidate.name) by voice, and is the old key to count no more?",
      what: "replacing an identity key", given: yes)
  }

  private func json(
    _ result: Admission.Result?, _ issued: [Rotation.Issued], in server: ServerDirectory
  ) throws -> JSONValue {
    let manifest = try result?.manifest ?? server.requiredManifest()
    let invitations: [(OrganizationName, String, Bool)] =
      (result?.invitations ?? []).map { ($0.name, $0.path, $0.needsApproval) }
      + (result == nil ? issued : []).compactMap { rotation in rotation.invitation.map { (rotation.name, $0, false) } }
    let service = result.map(\.service.word) ?? issued.last?.service.word ?? RunningService.Outcome.none.word
    return .object([
      "schema": .string("bauta/federation-admit/2"), "version": .count(manifest.manifest.version),
      "manifest": .string(manifest.hash.hexadecimal),
      "admitted": .array(
        (result?.admitted ?? []).map {
          .object(["name": .string($0.name.value), "fingerprint": .string($0.fingerprint.hexadecimal)])
        }),
      "rotations": .array(
        issued.map {
          .object([
            "name": .string($0.name.value), "statement": .count($0.statement.sequence),
            "notAfter": .optional($0.certificate.map { Moment.text($0.notAfter) }),
          ])
        }),
      "invitations": .array(
        invitations.map { name, path, needsApproval in
          .object([
            "name": .string(name.value), "path": .string(path), "needsApproval": .boolean(needsApproval),
          ])
        }), "service": .string(service),
    ])
  }

  private static func show(_ issued: Rotation.Issued, in server: ServerDirectory) {
    let output = Output.standard
    output.line("\(issued.name, .strong): statement \(issued.statement.sequence) of its certificate keys is taken")
    if let line = issued.service.line(server.path) { output.line(line) }
    guard let certificate = issued.certificate else {
      output.line(
        issued.statement.pins.next == nil
          ? "  It uses one key, and no other is accepted from it." : "  It names its next key.")
      return
    }
    output.line("  certificate for the next key: \(Moment.expiry(certificate.notAfter))")
    if let invitation = issued.invitation {
      output.line("Next: send it \(invitation). Nobody else has to do anything.")
    }
  }

  private func show(_ result: Admission.Result, in server: ServerDirectory) {
    let output = Output.standard
    if !result.admitted.isEmpty {
      output.line("Admitted; compare each fingerprint by voice before you send anything:")
      for candidate in result.admitted {
        let remark: StyledText = replace ? "  \("NEW IDENTITY KEY", .caution); the old one is revoked" : ""
        output.line("  \(candidate.name, .strong)  \(candidate.fingerprint)" + remark)
      }
      output.line()
    }
    let manifest = result.manifest.manifest
    output.line(
      "\(manifest.federation, .strong), version \(manifest.version): \(Figures.counted(manifest.organizations.count, "organisation"))"
    )
    for invitation in result.invitations { output.line("  \(invitation.path)") }
    if let line = result.service.line(server.path) { output.line(line) }
    output.line("Next: send each organisation its invitation; collect the notes they hand back with")
    output.line("  bauta federation approve NOTE… --directory \(place.directory)")
  }
}
