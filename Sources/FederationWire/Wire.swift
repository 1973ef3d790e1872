import AuditLog
import Cryptography
import Federation
import Foundation
import SecureAggregation
import SwiftProtobuf

/// Field conversions shared by both directions; each names the field it refuses.
enum Wire {
  static func run(_ text: String) throws(WireError) -> RunIdentifier {
    guard text.utf8.count <= WireLimits.runIdentifier else {
      throw .oversized(field: "run", limit: WireLimits.runIdentifier)
    }
    do { return try RunIdentifier(text) } catch { throw .invalid(field: "run") }
  }

  static func identifier(_ text: String) throws(WireError) -> MessageIdentifier {
    guard text.utf8.count == WireLimits.messageIdentifier, let identifier = MessageIdentifier(text) else {
      throw .invalid(field: "message_id")
    }
    return identifier
  }

  static func digest<Role>(_ data: Data, field: String) throws(WireError) -> Digest<Role> {
    do { return try Digest<Role>(bytes: data) } catch { throw .invalid(field: field) }
  }

  static func signature(_ data: Data, field: String) throws(WireError) -> Signature {
    do { return try Signature(bytes: [UInt8](data)) } catch { throw .invalid(field: field) }
  }

  static func text(_ text: String, field: String) throws(WireError) -> String {
    guard text.utf8.count <= WireLimits.refusalText else {
      throw .oversized(field: field, limit: WireLimits.refusalText)
    }
    guard isOneLine(text) else { throw .invalid(field: field) }
    return text
  }

  /// Whether a text can be shown on a terminal: no control characters in it.
  static func isOneLine(_ text: String) -> Bool { text.unicodeScalars.allSatisfy { !isControl($0) } }

  /// A text for people as ``text(_:field:)`` takes it: one line, not too long.
  static func clipped(_ text: String) -> String {
    var result = String.UnicodeScalarView()
    var bytes = 0
    for scalar in text.unicodeScalars {
      let shown: Unicode.Scalar = isControl(scalar) ? " " : scalar
      bytes += UTF8.width(shown)
      guard bytes <= WireLimits.refusalText else { break }
      result.append(shown)
    }
    return String(result)
  }

  private static func isControl(_ scalar: Unicode.Scalar) -> Bool {
    switch scalar.properties.generalCategory {
    case .control, .lineSeparator, .paragraphSeparator: true
    default: false
    }
  }

  static func names(_ texts: [String], field: String) throws(WireError) -> [OrganizationName] {
    guard texts.count <= WireLimits.cohort else { throw .oversized(field: field, limit: WireLimits.cohort) }
    var names: [OrganizationName] = []
    names.reserveCapacity(texts.count)
    for text in texts {
      guard text.utf8.count <= WireLimits.organizationName else {
        throw .oversized(field: field, limit: WireLimits.organizationName)
      }
      do { names.append(try OrganizationName(text)) } catch { throw .invalid(field: field) }
    }
    return names
  }
}

extension OpeningIdentifier {
  var wire: Bauta_V1_Opening {
    .with {
      $0.task = task.rawValue
      $0.round = UInt32(clamping: round)
      $0.attempt = UInt32(clamping: attempt)
    }
  }

  init(_ opening: Bauta_V1_Opening, run: RunIdentifier?) throws(WireError) {
    guard let run else { throw .invalid(field: "run") }
    guard opening.task.utf8.count <= 32, let task = TaskKind(rawValue: opening.task) else {
      throw .invalid(field: "task")
    }
    guard opening.round <= 1_000_000, (1...1_000_000).contains(opening.attempt) else { throw .invalid(field: "round") }
    self.init(run: run, task: task, round: Int(opening.round), attempt: Int(opening.attempt))
  }
}

extension RoundPayload {
  var wire: Bauta_V1_RoundMessage {
    .with {
      $0.opening = opening.wire
      $0.kind = kind
      $0.payload = Data(payload)
      $0.body = Data(body)
    }
  }

  init(_ round: Bauta_V1_RoundMessage, run: RunIdentifier?) throws(WireError) {
    guard round.kind.utf8.count <= 64 else { throw .oversized(field: "kind", limit: 64) }
    guard let kind = MessageKind(rawValue: round.kind) else { throw .invalid(field: "kind") }
    guard kind == .maskedInput || round.body.isEmpty else { throw .invalid(field: "body") }
    self.init(
      opening: try OpeningIdentifier(round.opening, run: run), kind: round.kind, payload: [UInt8](round.payload),
      body: [UInt8](round.body))
  }
}
