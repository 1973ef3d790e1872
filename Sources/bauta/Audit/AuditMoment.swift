import ArgumentParser
import AuditLog
import Foundation

/// A moment as an auditor types it: a UTC day, a UTC time, or how long ago.
struct AuditMoment: Sendable {
  let time: AuditTime

  static let explanation = "as 2026-03-01, 2026-03-01T09:30:00Z, or 90s, 15m, 2h, 7d ago"

  /// - Throws: `ValidationError` that says which forms there are.
  static func parse(_ text: String) throws -> AuditMoment {
    guard let moment = AuditMoment(text, now: Date()) else { throw ValidationError("Give it \(explanation).") }
    return moment
  }

  init?(_ text: String, now: Date) {
    if let time = AuditTime(text) ?? AuditTime("\(text)T00:00:00.000Z")
      ?? AuditTime(text.hasSuffix("Z") ? "\(text.dropLast()).000Z" : "\(text):00.000Z")
    {
      self.time = time
      return
    }
    let units: [Character: Double] = ["s": 1, "m": 60, "h": 3600, "d": 86_400]
    guard let last = text.last, let unit = units[last], let count = UInt32(text.dropLast()),
      let time = AuditTime(now - Double(count) * unit)
    else { return nil }
    self.time = time
  }
}
