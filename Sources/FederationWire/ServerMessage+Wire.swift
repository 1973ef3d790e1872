import Cryptography
import Federation
import Foundation
import SwiftProtobuf

extension ServerMessage {
  /// The bytes that are sent.
  public func encoded() throws(WireError) -> [UInt8] { try encoded(version: WireLimits.protocolVersion) }

  private func encoded(version: UInt32) throws(WireError) -> [UInt8] {
    var envelope = Bauta_V1_ServerEnvelope()
    envelope.protocolVersion = version
    envelope.instruction = instruction
    if let receipt { envelope.receipt = receipt.wire }
    switch body {
    case .wait: envelope.wait = Bauta_V1_Wait()
    case .announcement(let announcement):
      envelope.announcement = .with {
        $0.run = announcement.run.text
        $0.plan = announcement.plan
        $0.manifest = announcement.manifest
      }
    case .task(let task):
      envelope.task = .with {
        $0.opening = task.opening.wire
        $0.cohort = task.cohort.map(\.value)
        $0.model = Data(task.model)
      }
    case .stored(let stored):
      envelope.stored = .with {
        $0.count = stored.count
        $0.isOpen = stored.isOpen
      }
    case .notice(let notice):
      envelope.notice = .with {
        $0.pins = Data(notice.pins)
        $0.manifest = notice.manifest
      }
    case .part(let part):
      envelope.part = .with {
        $0.total = part.total
        $0.offset = part.offset
        $0.bytes = Data(part.bytes)
        $0.hash = Data(part.hash.bytes)
      }
    case .witnessed(let answer): envelope.witnessed = answer.wire
    case .round(let payload): envelope.round = payload.wire
    case .result(let result): envelope.result = result.wire
    case .end(let end):
      envelope.end = .with {
        $0.run = end.run.text
        $0.state = end.state.rawValue
        $0.reason = Wire.clipped(end.reason)
        $0.model = Data(end.model)
      }
    case .refused(let refusal):
      envelope.refused = .with {
        $0.code = Wire.clipped(refusal.code)
        $0.message = Wire.clipped(refusal.message)
        $0.remedy = Wire.clipped(refusal.remedy)
      }
    }
    do { return try envelope.serializedBytes() } catch { throw .malformed(what: "server message") }
  }

  /// Parses what the server sent. `run` is the run the client takes part in, to which round messages belong.
  ///
  /// A message has one encoding, as in ``ClientMessage/init(parsing:)``.
  ///
  /// - Throws: ``WireError``; the bytes are hostile until this returns.
  public init(parsing bytes: [UInt8], run: RunIdentifier?) throws(WireError) {
    let envelope: Bauta_V1_ServerEnvelope
    do { envelope = try Bauta_V1_ServerEnvelope(serializedBytes: bytes) } catch {
      throw .malformed(what: "server message")
    }
    // A refusal can be read whatever the version: it may say that there is none in common.
    if case .refused? = envelope.body {
    } else if !WireLimits.protocolVersions.contains(envelope.protocolVersion) {
      throw .version(theirs: [envelope.protocolVersion])
    }
    guard envelope.unknownFields.data.isEmpty else { throw .invalid(field: "unknown field") }
    self.init(
      instruction: envelope.instruction,
      receipt: envelope.hasReceipt ? try Receipt(envelope.receipt) : nil,
      body: try Body(envelope.body, run: run))
    guard try encoded(version: envelope.protocolVersion) == bytes else { throw .invalid(field: "encoding") }
  }
}

extension ServerMessage.Body {
  fileprivate init(_ body: Bauta_V1_ServerEnvelope.OneOf_Body?, run: RunIdentifier?) throws(WireError) {
    switch body {
    case .wait?: self = .wait
    case .announcement(let announcement)?:
      guard announcement.plan.utf8.count <= WireLimits.planText else {
        throw .oversized(field: "plan", limit: WireLimits.planText)
      }
      guard announcement.manifest.utf8.count <= WireLimits.manifestText else {
        throw .oversized(field: "manifest", limit: WireLimits.manifestText)
      }
      self = .announcement(
        RunAnnouncement(
          run: try Wire.run(announcement.run), plan: announcement.plan, manifest: announcement.manifest))
    case .task(let task)?:
      self = .task(
        TaskAnnouncement(
          opening: try OpeningIdentifier(task.opening, run: run),
          cohort: try Wire.names(task.cohort, field: "cohort"), model: [UInt8](task.model)))
    case .stored(let stored)?: self = .stored(StoredBytes(count: stored.count, isOpen: stored.isOpen))
    case .notice(let notice)?:
      guard notice.pins.count <= SignedPins.maximumBytes else {
        throw .oversized(field: "pins", limit: SignedPins.maximumBytes)
      }
      guard notice.manifest.utf8.count <= WireLimits.manifestText else {
        throw .oversized(field: "manifest", limit: WireLimits.manifestText)
      }
      self = .notice(FederationNotice(pins: [UInt8](notice.pins), manifest: notice.manifest))
    case .part(let part)?: self = .part(try PartOfInstruction(part))
    case .witnessed(let witnessed)?: self = .witnessed(try WitnessAnswer(witnessed))
    case .round(let round)?: self = .round(try RoundPayload(round, run: run))
    case .result(let result)?: self = .result(try OpeningResult(result, run: run))
    case .end(let end)?:
      guard let state = RunEnd.State(rawValue: end.state) else { throw .invalid(field: "state") }
      self = .end(
        RunEnd(
          run: try Wire.run(end.run), state: state, reason: try Wire.text(end.reason, field: "reason"),
          model: [UInt8](end.model)))
    case .refused(let refused)?:
      self = .refused(
        Refusal(
          code: try Wire.text(refused.code, field: "code"), message: try Wire.text(refused.message, field: "message"),
          remedy: try Wire.text(refused.remedy, field: "remedy")))
    case nil: throw .malformed(what: "server message")
    }
  }
}

extension PartOfInstruction {
  fileprivate init(_ part: Bauta_V1_Part) throws(WireError) {
    guard part.total <= UInt64(WireLimits.instructionBytes) else {
      throw .oversized(field: "total", limit: WireLimits.instructionBytes)
    }
    guard part.bytes.count <= WireLimits.partBytes else {
      throw .oversized(field: "bytes", limit: WireLimits.partBytes)
    }
    guard !part.bytes.isEmpty, part.offset <= part.total, UInt64(part.bytes.count) <= part.total - part.offset else {
      throw .invalid(field: "offset")
    }
    self.init(
      total: part.total, offset: part.offset, bytes: [UInt8](part.bytes),
      hash: try Wire.digest(part.hash, field: "hash"))
  }
}

extension Receipt {
  fileprivate var wire: Bauta_V1_Receipt {
    .with {
      $0.messageID = message.value
      $0.index = index
      $0.leaf = Data(leaf.bytes)
    }
  }

  fileprivate init(_ receipt: Bauta_V1_Receipt) throws(WireError) {
    self.init(
      message: try Wire.identifier(receipt.messageID), index: receipt.index,
      leaf: try Wire.digest(receipt.leaf, field: "leaf"))
  }
}

extension OpeningResult {
  fileprivate var wire: Bauta_V1_Result {
    .with {
      $0.opening = opening.wire
      $0.aggregate = Data(aggregate)
      $0.nextModelHash = Data(nextModel.bytes)
      $0.signature = Data(signature.bytes)
    }
  }

  fileprivate init(_ result: Bauta_V1_Result, run: RunIdentifier?) throws(WireError) {
    self.init(
      opening: try OpeningIdentifier(result.opening, run: run), aggregate: [UInt8](result.aggregate),
      nextModel: try Wire.digest(result.nextModelHash, field: "next_model_hash"),
      signature: try Wire.signature(result.signature, field: "signature"))
  }
}
