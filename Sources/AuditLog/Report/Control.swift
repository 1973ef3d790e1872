/// A control of a standard or a law, and what a log of ours has to say to it.
///
/// What it asks is told in our words and shortened: the text that binds is its own.
public struct Control: Hashable, Sendable {
  public let framework: String
  public let reference: String
  public let title: String
  public let asks: String
  /// Records that speak to it.
  public let evidence: [Evidence]
  /// Checks of the verification that speak to it.
  public let checks: [VerificationReport.CheckName]
  /// What stays to be shown by other means.
  public let notAnswered: String

  /// What `bauta audit verify` checks of the whole log.
  public static let integrity: [VerificationReport.CheckName] = [
    .checkpoint, .journal, .root, .tiles, .entryBundles, .layout,
  ]

  public static let all: [Control] = laws + iso + nist
}

extension Control {
  private static let laws: [Control] = [
    Control(
      framework: "HIPAA", reference: "45 CFR 164.312(b)", title: "Audit controls",
      asks: "Record and examine activity in systems that hold or use electronic health information.",
      evidence: [.messagesSent, .messagesReceived, .handshakes, .refusals, .approvals, .service],
      checks: [.journal, .root],
      notAnswered:
        "Activity in the systems that hold the patients' data: only what the client sends and decides is here."),
    Control(
      framework: "HIPAA", reference: "45 CFR 164.316(b)(2)", title: "Retention of documentation",
      asks: "Keep required documentation six years from when it was made or was last in effect.",
      evidence: [.retentionClasses, .prunings, .erasures], checks: [.layout],
      notAnswered:
        "That the files are kept for six years: that is for whoever stores them. The log shows what was let go."),
    Control(
      framework: "GDPR", reference: "Art. 30", title: "Records of processing activities",
      asks: "Keep a record of purposes, recipients, categories of data, time limits and security measures.",
      evidence: [.purposes, .messagesSent, .maskedTerms, .retentionClasses, .approvals], checks: [],
      notAnswered: "Contacts, categories of persons and of data: they belong in the controller's own record."),
    Control(
      framework: "GDPR", reference: "Art. 32", title: "Security of processing",
      asks: "Protect personal data by measures that fit the risk, and test them regularly.",
      evidence: [.maskedTerms, .handshakes, .handshakeRefusals, .decisions, .privacyCharges], checks: [.checkpoint],
      notAnswered: "Whether the measures fit the risk, and security of the machines themselves."),
    Control(
      framework: "GDPR", reference: "Art. 5(2)", title: "Accountability",
      asks: "Be able to show that the principles of Art. 5(1) are kept.",
      evidence: [.messagesSent, .receipts, .decisions, .approvals, .cosignatures],
      checks: integrity + [.cosignatures],
      notAnswered: "The legal ground, fairness, accuracy and necessity of the processing."),
    Control(
      framework: "SOX", reference: "Sections 802 and 404; 17 CFR 210.2-06", title: "Retention and internal control",
      asks: "Do not alter or destroy records that bear on an audit; auditors keep theirs seven years; controls work.",
      evidence: [.hashes, .retentionClasses, .prunings, .erasures], checks: integrity,
      notAnswered: "Keeping the files for seven years, and any control over financial reporting."),
  ]

  private static let iso: [Control] = [
    Control(
      framework: "ISO/IEC 27001:2022", reference: "A.8.15", title: "Logging",
      asks: "Logs of activities, exceptions and faults are made, stored, protected and looked at.",
      evidence: [.messagesSent, .messagesReceived, .handshakes, .refusals, .failures, .service],
      checks: integrity, notAnswered: "That somebody looks at them, and logs of other systems."),
    Control(
      framework: "ISO/IEC 27001:2022", reference: "A.8.17", title: "Clock synchronization",
      asks: "Clocks of systems are set by approved sources of time.",
      evidence: [.times], checks: [],
      notAnswered:
        "That the machine's clock was right: times are its own word. Steps backwards and the other side's times are here."
    ),
    Control(
      framework: "ISO/IEC 27001:2022", reference: "A.5.28", title: "Collection of evidence",
      asks: "Evidence of security events is identified, collected and preserved.",
      evidence: [.hashes, .receipts, .handshakeRefusals, .conflicts, .openings], checks: integrity + [.cosignatures],
      notAnswered: "Chain of custody of copies outside the log."),
    Control(
      framework: "ISO/IEC 27001:2022", reference: "A.5.33", title: "Protection of records",
      asks: "Records are protected from loss, destruction, falsification and access that is not allowed.",
      evidence: [.hashes, .cosignatures, .prunings, .erasures], checks: integrity + [.cosignatures],
      notAnswered: "Backups, and who may read the directory: that is for the operating system."),
  ]

  private static let nist: [Control] = [
    nist(
      "AU-2", "Event logging", "Say which kinds of events are logged, and why these.",
      [
        .messagesSent, .messagesReceived, .handshakes, .connections, .decisions, .runsAndRounds, .keyChanges,
        .manifestChanges,
      ],
      notAnswered: "Events of operating system, storage and trainer."),
    nist(
      "AU-3", "Content of audit records",
      "Records say what happened, when, where, from what source, with what outcome, and who took part.",
      [.times, .actors, .messagesSent, .messagesReceived, .deliveries, .failures],
      notAnswered: "Natural persons: a record names services, organisations and keys."),
    nist(
      "AU-6", "Audit record review, analysis and reporting", "Records are reviewed, and findings reported.",
      [.refusals, .failures, .conflicts, .acknowledgements],
      notAnswered: "That somebody reviews: this page is what there is to review."),
    nist(
      "AU-8", "Time stamps", "Records bear times of the system's clock, in UTC and fine enough.", [.times],
      checks: [],
      notAnswered: "How far the clock was from true time."),
    nist(
      "AU-9(3)", "Protection of audit information: cryptographic protection",
      "Cryptography protects the integrity of audit records and tools.", [.hashes, .cosignatures, .witnessing],
      checks: Control.integrity + [.cosignatures],
      notAnswered: "Without witnesses, a keeper who signs a second history."),
    nist(
      "AU-10", "Non-repudiation", "Nobody can credibly deny what they did.",
      [.receipts, .approvals, .keyChanges, .cosignatures], checks: [.checkpoint, .cosignatures],
      notAnswered: "Acts of somebody who holds another's key."),
    nist(
      "AU-11", "Audit record retention", "Records are kept for the time that the organisation has set.",
      [.retentionClasses, .prunings, .erasures], checks: [.layout],
      notAnswered: "That files are stored for that time."),
    nist(
      "AU-12", "Audit record generation", "Components make the records that AU-2 asks for.",
      [.messagesSent, .byteCounts, .service], checks: [.byteAccounting],
      notAnswered: "A channel outside the client."),
    nist(
      "SC-8", "Transmission confidentiality and integrity", "What is transmitted cannot be read or changed.",
      [.handshakes, .handshakeRefusals, .maskedTerms, .receipts], checks: [],
      notAnswered: "Links other than those of this program."),
    nist(
      "SC-13", "Cryptographic protection", "Say which uses of cryptography there are, and use the approved kind.",
      [.handshakes, .keyChanges, .maskedTerms], checks: [.checkpoint],
      notAnswered: "Validation of modules (FIPS 140): see the ciphers and groups above."),
  ]

  private static func nist(
    _ reference: String, _ title: String, _ asks: String, _ evidence: [Evidence],
    checks: [VerificationReport.CheckName] = [.journal], notAnswered: String
  ) -> Control {
    Control(
      framework: "NIST SP 800-53 Rev. 5", reference: reference, title: title, asks: asks, evidence: evidence,
      checks: checks, notAnswered: notAnswered)
  }
}
