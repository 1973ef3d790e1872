import Cryptography
import Federation
import FederationWire
import Foundation
import SecureAggregation

/// The masked input of a sum, and what is kept of its making.
extension ClientSession {
  /// Masks the term: in memory where the result goes along with its message, in a spool where it is uploaded before it.
  ///
  /// Where the policy keeps secrets for an auditor, they are sealed and on disk before the message exists outside.
  func mask(_ delivery: ShareDelivery, _ current: inout ActiveRound) throws -> Answer {
    current.shareSurvivors = delivery.members.count
    let term = current.term
    let salt = TermCommitting.makeSalt()
    let commitment = TermCommitting.commitment(to: term, salt: salt)
    current.commitment = commitment
    let rules = run?.policy.audit
    let draft = try rules.map { _ in try subject(delivery, current) }
    let (opening, context) = (current.opening, current.context)
    var sealed: ClientStore.SealedEntry?
    let (message, body, spool) = try masked(delivery, &current) { secrets, message in
      guard let rules, let draft else { return }
      sealed = try sealedSecrets.seal(
        opening, under: rules, organization: parts.name, context: context, commitment: commitment,
        subject: draft.subject(of: message), secrets: secrets, salt: salt, term: term)
    }
    var answer = try commit(.maskedInput(message), current, sealed: sealed, body: body)
    answer.upload = spool
    return answer
  }

  private func masked(
    _ delivery: ShareDelivery, _ current: inout ActiveRound,
    sealing: (borrowing MaskingSecrets, MaskedInputMessage) throws -> Void
  ) throws -> (MaskedInputMessage, body: [UInt8], MaskedInputSpool?) {
    let lanes = Lanes(count: ProcessInfo.processInfo.activeProcessorCount)
    let term = current.term
    guard current.context.maskedInputByteCount > WireLimits.segmentBytes else {
      var body: [UInt8] = []
      body.reserveCapacity(current.context.maskedInputByteCount)
      let message = try current.machine.receive(
        delivery, term: term, lanes: lanes, signer: identity, sealing: sealing
      ) { body += $0 }
      return (message, body, nil)
    }
    var message: MaskedInputMessage?
    let spool = try MaskedInputSpool.write(in: parts.spoolDirectory) { write in
      message = try current.machine.receive(
        delivery, term: term, lanes: lanes, signer: identity, sealing: sealing, spool: write)
    }
    guard let message else { throw ClientError.unexpected("a masked input without message") }
    return (message, [], spool)
  }

  /// What is sealed beside the secrets, but for the message, which is made last.
  private struct SubjectDraft {
    let roster: AdvertisementRoster
    let list: BeaconRequest?
    let members: MemberSet
    let subject: SealedSubject

    func subject(of message: MaskedInputMessage) -> SealedSubject {
      var subject = subject
      subject.evidence = MaskedInputEvidence(
        roster: roster, list: list, shareSurvivors: members, message: message
      ).encoded()
      return subject
    }
  }

  private func subject(
    _ delivery: ShareDelivery, _ current: borrowing ActiveRound
  ) throws(ClientError) -> SubjectDraft {
    guard let active = run, let roster = current.roster else { throw .unexpected("shares before a roster") }
    return SubjectDraft(
      roster: roster, list: current.beaconRequest, members: delivery.members,
      subject: SealedSubject(
        manifest: active.agreement.signedManifest.serialized, plan: active.agreement.plan.text,
        features: active.progression.features, cohort: current.context.cohort.map(\.name),
        model: active.progression.modelHash, answers: answered, evidence: []))
  }

  /// What is remembered of a statement, for those who ask to have a masked input of its sum opened.
  func signedStatement(
    _ message: ConsistencyCheckMessage, _ current: borrowing ActiveRound
  ) -> ClientStore.SignedStatement {
    ClientStore.SignedStatement(
      context: current.context.digest, opening: current.opening, statement: message.statement,
      survivors: current.signedSurvivors ?? [], assumedCorrupt: current.context.parameters.assumedCorrupt,
      minimumHonest: current.context.parameters.minimumHonest)
  }
}
