import Cryptography
import SecureAggregation
import Synchronization

/// One virtual organisation over all rounds: a name and a fresh key. That is all an idle one costs.
final class SimulatedIdentity: Sendable {
  let name: OrganizationName
  let key = IdentitySigningKey.generate()

  /// - Parameter number: below 100,000, so that names sort by number.
  init(number: Int) throws(CryptographyError) {
    let digits = String(100_000 + number).dropFirst()
    name = try OrganizationName("org-\(digits).sim")
  }
}

/// One organisation in one attempt: the real client machine, driven as a client process would.
final class SimulatedClient: Sendable {
  let identity: SimulatedIdentity
  private let machine: Mutex<ClientRound>

  init(_ identity: SimulatedIdentity, context: AggregationContext) throws(AggregationError) {
    self.identity = identity
    machine = Mutex(try ClientRound(context: context, organization: identity.name))
  }

  /// Answers what the server sent, or begins if it sent nothing.
  ///
  /// - Parameter term: read in MaskedInputCollection only.
  func answer(_ request: ServerRoundMessage?, term: SimulatedTerm, byteCount: Int) throws -> Answer {
    try machine.withLock { machine in
      guard let request else { return Answer(message: .advertiseKeys(try machine.advertise(signer: identity.key))) }
      switch request {
      case .beaconRequest(let request): return Answer(message: .beaconReveal(try machine.receive(request)))
      case .roster(let roster): return Answer(message: .shareKeys(try machine.receive(roster, signer: identity.key)))
      case .shares(let delivery):
        var body: [UInt8] = []
        body.reserveCapacity(byteCount)
        let message = try machine.receive(delivery, term: term, signer: identity.key) { body += $0 }
        return Answer(message: .maskedInput(message), body: body)
      case .survivors(let announcement):
        return Answer(message: .consistencyCheck(try machine.receive(announcement, signer: identity.key)))
      case .statements(let statements): return Answer(message: .unmasking(try machine.receive(statements)))
      }
    }
  }
}
