import Cryptography
import TransparencyLog

extension AuditRecord {
  /// The entry: one object of canonical JSON without a newline.
  ///
  /// - Throws: `invalidField`, `recordTooLong`.
  public func entry() throws(AuditLogError) -> [UInt8] {
    var fields = EntryFieldWriter()
    try fields.put("schema", Self.schema)
    try fields.put("organization", organization.value)
    try fields.put("sequence", sequence)
    try fields.put("previous", previous?.hexadecimal ?? "")
    try fields.put("time", time.description)
    try content.write(to: &fields)
    let entry = fields.object.serialized
    guard entry.count <= Self.maximumBytes else { throw .recordTooLong(bytes: entry.count) }
    return entry
  }

  /// Reads an entry. Only the exact bytes that `entry()` would give are accepted.
  init(entry: some Collection<UInt8>) throws(EntryDefectError) {
    guard entry.count <= Self.maximumBytes else { throw EntryDefectError(.tooLong) }
    let value: CanonicalJSON
    do { value = try CanonicalJSON(parsing: entry) } catch { throw EntryDefectError(.notCanonical, byte: error.byte) }
    guard case .object = value else { throw EntryDefectError(.notCanonical) }
    var fields = try EntryFieldReader(value)
    guard try fields.text("schema") == Self.schema else { throw EntryDefectError(.schema) }
    organization = try fields.require("organization", fields.parsed("organization") { try? OrganizationName($0) })
    sequence = try fields.require("sequence", fields.count("sequence"))
    previous = try fields.require(
      "previous",
      fields.parsed("previous") { text in
        text.isEmpty ? .some(nil) : (try? LeafHash(hexadecimal: text)).map { .some($0) }
      })
    time = try fields.require("time", fields.parsed("time") { AuditTime($0) })
    content = try Draft(&fields)
    try fields.finish()
  }
}

extension AuditRecord.Draft {
  func write(to fields: inout EntryFieldWriter) throws(AuditLogError) {
    try fields.put("event", event.rawValue)
    try fields.put("clock", clock)
    try fields.put("actor") { (group) throws(AuditLogError) in
      try group.put("service", actor?.service)
      try group.put("keyID", actor?.keyID?.description)
    }
    try fields.put("destination") { (group) throws(AuditLogError) in try destination?.write(to: &group) }
    try fields.put("source") { (group) throws(AuditLogError) in try source?.write(to: &group) }
    try fields.put("handshake") { (group) throws(AuditLogError) in
      try group.put("version", handshake?.version)
      try group.put("cipher", handshake?.cipher)
      try group.put("group", handshake?.group)
    }
    try fields.put("suppressed") { (group) throws(AuditLogError) in
      try group.put("count", suppressed?.count)
      try group.put("first", suppressed?.first?.description)
      try group.put("last", suppressed?.last?.description)
      try group.put("addresses", suppressed?.addresses)
    }
    try fields.put("federation", federation)
    fields.put("manifest", manifest)
    fields.put("plan", plan)
    try fields.put("run", run)
    try fields.put("round", round)
    try fields.put("attempt", attempt)
    try fields.put("task", task)
    fields.put("context", context)
    fields.put("transcript", transcript)
    try fields.put("message") { (group) throws(AuditLogError) in try message?.write(to: &group) }
    try fields.put("messageID", messageID?.value)
    try fields.put("maskedInput") { (group) throws(AuditLogError) in try maskedInput?.write(to: &group) }
    fields.put("model", model)
    fields.put("program", program)
    try writeDecisions(to: &fields)
  }

  private func writeDecisions(to fields: inout EntryFieldWriter) throws(AuditLogError) {
    try fields.put("cohortSizes") { (group) throws(AuditLogError) in
      try group.put("u2", cohortSizes?.u2)
      try group.put("u3", cohortSizes?.u3)
    }
    try fields.put("policy") { (group) throws(AuditLogError) in
      try group.put("decision", policy?.decision.rawValue)
      try group.put("rule", policy?.rule)
    }
    try fields.put("approver", approver)
    try fields.put("purpose", purpose)
    try fields.put("retention", retention)
    try fields.put("outcome", outcome?.rawValue)
    try fields.put("error") { (group) throws(AuditLogError) in
      try group.put("code", error?.code)
      try group.put("blame", error?.blame.rawValue)
    }
    try fields.put("receipt") { (group) throws(AuditLogError) in
      try group.put("index", receipt?.index)
      group.put("leaf", receipt?.leaf)
    }
    try fields.put("traffic") { (group) throws(AuditLogError) in try traffic?.write(to: &group) }
    try fields.put("checkpoint") { (group) throws(AuditLogError) in try checkpoint?.write(to: &group) }
    try fields.put("opening") { (group) throws(AuditLogError) in try opening?.write(to: &group) }
    try fields.put("pruned") { (group) throws(AuditLogError) in try group.put("below", pruned?.below) }
    try fields.put("stateVersion", stateVersion)
    try fields.put("reason", reason)
  }

  init(_ fields: inout EntryFieldReader) throws(EntryDefectError) {
    event = try fields.require("event", fields.parsed("event") { AuditRecord.Event(rawValue: $0) })
    clock = try fields.text("clock")
    actor = try fields.group("actor") { (group) throws(EntryDefectError) in try AuditRecord.Actor(&group) }
    destination = try fields.group("destination") { (group) throws(EntryDefectError) in try AuditRecord.Peer(&group) }
    source = try fields.group("source") { (group) throws(EntryDefectError) in try AuditRecord.Peer(&group) }
    handshake = try fields.group("handshake") { (group) throws(EntryDefectError) in
      AuditRecord.Handshake(
        version: try group.require("version", group.text("version")), cipher: try group.text("cipher"),
        group: try group.text("group"))
    }
    suppressed = try fields.group("suppressed") { (group) throws(EntryDefectError) in
      AuditRecord.Suppressed(
        count: try group.require("count", group.integer("count")), first: try group.parsed("first") { AuditTime($0) },
        last: try group.parsed("last") { AuditTime($0) },
        addresses: try group.require("addresses", group.integer("addresses")))
    }
    federation = try fields.text("federation")
    manifest = try fields.digest("manifest")
    plan = try fields.digest("plan")
    run = try fields.text("run")
    round = try fields.integer("round")
    attempt = try fields.integer("attempt")
    task = try fields.text("task")
    context = try fields.digest("context")
    transcript = try fields.digest("transcript")
    message = try fields.group("message") { (group) throws(EntryDefectError) in try AuditRecord.Message(&group) }
    messageID = try fields.parsed("messageID") { MessageIdentifier($0) }
    maskedInput = try fields.group("maskedInput") { (group) throws(EntryDefectError) in
      try AuditRecord.MaskedInput(&group)
    }
    model = try fields.digest("model")
    program = try fields.digest("program")
    cohortSizes = try fields.group("cohortSizes") { (group) throws(EntryDefectError) in
      AuditRecord.CohortSizes(u2: try group.require("u2", group.integer("u2")), u3: try group.integer("u3"))
    }
    policy = try fields.group("policy") { (group) throws(EntryDefectError) in try AuditRecord.Policy(&group) }
    approver = try fields.text("approver")
    purpose = try fields.text("purpose")
    retention = try fields.text("retention")
    outcome = try fields.parsed("outcome") { AuditRecord.Outcome(rawValue: $0) }
    error = try fields.group("error") { (group) throws(EntryDefectError) in try AuditRecord.Failure(&group) }
    receipt = try fields.group("receipt") { (group) throws(EntryDefectError) in
      AuditRecord.Receipt(
        index: try group.require("index", group.count("index")), leaf: try group.require("leaf", group.digest("leaf")))
    }
    traffic = try fields.group("traffic") { (group) throws(EntryDefectError) in try AuditRecord.Traffic(&group) }
    checkpoint = try fields.group("checkpoint") { (group) throws(EntryDefectError) in
      try AuditRecord.CheckpointReference(&group)
    }
    opening = try fields.group("opening") { (group) throws(EntryDefectError) in try AuditRecord.Opening(&group) }
    pruned = try fields.group("pruned") { (group) throws(EntryDefectError) in
      AuditRecord.Pruned(below: try group.require("below", group.count("below")))
    }
    stateVersion = try fields.count("stateVersion")
    reason = try fields.text("reason")
  }
}

extension AuditRecord.Actor {
  fileprivate init(_ fields: inout EntryFieldReader) throws(EntryDefectError) {
    service = try fields.require("service", fields.text("service"))
    keyID = try fields.noteKeyID("keyID")
  }
}

extension EntryFieldReader {
  fileprivate mutating func noteKeyID(_ name: String) throws(EntryDefectError) -> NoteKeyID? {
    try parsed(name) { text in
      UInt32(text, radix: 16).map { NoteKeyID($0) }.flatMap { $0.description == text ? $0 : nil }
    }
  }
}

extension AuditRecord.Peer {
  fileprivate func write(to fields: inout EntryFieldWriter) throws(AuditLogError) {
    try fields.put("name", name?.value)
    try fields.put("claimedName", claimedName)
    try fields.put("address", address)
    fields.put("tlsPeer", tlsPeer)
    fields.put("exporter", exporter)
  }

  fileprivate init(_ fields: inout EntryFieldReader) throws(EntryDefectError) {
    name = try fields.parsed("name") { try? OrganizationName($0) }
    claimedName = try fields.text("claimedName")
    address = try fields.text("address")
    tlsPeer = try fields.digest("tlsPeer")
    exporter = try fields.digest("exporter")
  }
}

extension AuditRecord.Message {
  fileprivate func write(to fields: inout EntryFieldWriter) throws(AuditLogError) {
    try fields.put("id", label.id.value)
    try fields.put("kind", label.kind)
    try fields.put("stage", label.stage)
    try fields.put("bytes", bytes)
    fields.put("sha256", sha256)
    try fields.put("chunks", chunks)
    try fields.put("resendOf", label.resendOf)
  }

  fileprivate init(_ fields: inout EntryFieldReader) throws(EntryDefectError) {
    let id = try fields.require("id", fields.parsed("id") { MessageIdentifier($0) })
    let kind = try fields.require("kind", fields.text("kind"))
    let stage = try fields.text("stage")
    let resendOf = try fields.count("resendOf")
    self.init(
      label: MessageLabel(id: id, kind: kind, stage: stage, resendOf: resendOf),
      bytes: try fields.require("bytes", fields.count("bytes")),
      sha256: try fields.require("sha256", fields.digest("sha256")), chunks: try fields.count("chunks"))
  }
}

extension AuditRecord.MaskedInput {
  fileprivate func write(to fields: inout EntryFieldWriter) throws(AuditLogError) {
    try fields.put("dimension", dimension)
    try fields.put("counters", counters)
    try fields.put("bits", bits)
    try fields.put("masks", masks)
    try fields.put("clip", clip?.text)
    try fields.put("localNoise", localNoise?.text)
    try fields.put("epsilonCharged", epsilonCharged?.text)
    try fields.put("epsilonTotal", epsilonTotal?.text)
    fields.put("commitment", commitment)
  }

  fileprivate init(_ fields: inout EntryFieldReader) throws(EntryDefectError) {
    dimension = try fields.require("dimension", fields.integer("dimension"))
    counters = try fields.require("counters", fields.integer("counters"))
    bits = try fields.require("bits", fields.integer("bits"))
    masks = try fields.require("masks", fields.integer("masks"))
    clip = try fields.parsed("clip") { AuditDecimal($0) }
    localNoise = try fields.parsed("localNoise") { AuditDecimal($0) }
    epsilonCharged = try fields.parsed("epsilonCharged") { AuditDecimal($0) }
    epsilonTotal = try fields.parsed("epsilonTotal") { AuditDecimal($0) }
    commitment = try fields.digest("commitment")
  }
}

extension AuditRecord.Policy {
  fileprivate init(_ fields: inout EntryFieldReader) throws(EntryDefectError) {
    decision = try fields.require("decision", fields.parsed("decision") { Decision(rawValue: $0) })
    rule = try fields.require("rule", fields.text("rule"))
  }
}

extension AuditRecord.Failure {
  fileprivate init(_ fields: inout EntryFieldReader) throws(EntryDefectError) {
    code = try fields.require("code", fields.text("code"))
    blame = try fields.require("blame", fields.parsed("blame") { Blame(rawValue: $0) })
  }
}

extension AuditRecord.Traffic {
  fileprivate func write(to fields: inout EntryFieldWriter) throws(AuditLogError) {
    try fields.put("plaintextBytes", plaintextBytes)
    for (frame, count) in frames {
      try fields.put(frame.rawValue) { (group) throws(AuditLogError) in
        try group.put("frames", count.frames)
        try group.put("bytes", count.bytes)
      }
    }
    try fields.put("headerLists", headerLists)
    fields.put("headersSHA256", headersSHA256)
  }

  fileprivate init(_ fields: inout EntryFieldReader) throws(EntryDefectError) {
    plaintextBytes = try fields.require("plaintextBytes", fields.count("plaintextBytes"))
    frames = [:]
    for frame in Frame.allCases {
      frames[frame] = try fields.group(frame.rawValue) { (group) throws(EntryDefectError) in
        Count(
          frames: try group.require("frames", group.count("frames")),
          bytes: try group.require("bytes", group.count("bytes")))
      }
    }
    headerLists = try fields.require("headerLists", fields.count("headerLists"))
    headersSHA256 = try fields.digest("headersSHA256")
  }
}

extension AuditRecord.CheckpointReference {
  fileprivate func write(to fields: inout EntryFieldWriter) throws(AuditLogError) {
    try fields.put("origin", origin)
    try fields.put("size", size)
    fields.put("root", root)
    try fields.put("witness", witness)
    try fields.put("witnessKeyID", witnessKeyID?.description)
  }

  fileprivate init(_ fields: inout EntryFieldReader) throws(EntryDefectError) {
    origin = try fields.require("origin", fields.text("origin"))
    size = try fields.require("size", fields.count("size"))
    root = try fields.require("root", fields.digest("root"))
    witness = try fields.text("witness")
    witnessKeyID = try fields.noteKeyID("witnessKeyID")
  }
}

extension AuditRecord.Opening {
  fileprivate func write(to fields: inout EntryFieldWriter) throws(AuditLogError) {
    try fields.put("organization", organization.value)
    try fields.put("slot", slot)
    fields.put("statement", statement)
    fields.put("auditor", auditor)
  }

  fileprivate init(_ fields: inout EntryFieldReader) throws(EntryDefectError) {
    organization = try fields.require("organization", fields.parsed("organization") { try? OrganizationName($0) })
    slot = try fields.require("slot", fields.integer("slot"))
    statement = try fields.require("statement", fields.digest("statement"))
    auditor = try fields.digest("auditor")
  }
}
