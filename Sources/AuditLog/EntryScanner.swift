import Cryptography
import Foundation
import TransparencyLog

/// What a scan keeps of an entry. Places count from its first byte; −1 where there is nothing.
struct ScannedEntry {
  var sequence: UInt64 = 0
  /// In `AuditRecord.Event.allCases`.
  var event = 0
  var time = -1
  /// 64 hexadecimal digits.
  var previous = -1
  var messageBytes: UInt64?
  /// Of the message that is told of, else of the one that is only named.
  var messageID = -1
  var messageIDLength = 0
  /// In `AuditRecord.Outcome.allCases`.
  var outcome = -1
  var destinationExporter = -1
  var sourceExporter = -1
}

/// Reads an entry without making anything of it: the way on which every entry of a log is checked.
///
/// It accepts only what `AuditRecord(entry:)` accepts for the same keeper, with the same values; of what it does not
/// accept it says nothing, and `AuditRecord` is asked. So it decides how fast a verdict comes, never which.
struct EntryScanner {
  private let schema = CompiledEntrySchema.shared
  private let keeper: [UInt8]

  /// - Parameter keeper: whose log it is; entries of others are not accepted. Nil accepts none.
  init(keeper: OrganizationName?) {
    self.keeper = keeper.map { Array($0.value.utf8) } ?? []
  }

  /// - Returns: nil for an entry that `AuditRecord` has to read.
  func scan(_ entry: UnsafeRawBufferPointer) -> ScannedEntry? {
    guard let base = entry.baseAddress, entry.count <= AuditRecord.maximumBytes, !keeper.isEmpty else { return nil }
    return keeper.withUnsafeBufferPointer { keeper in
      schema.withTables { tables in
        var scan = EntryScan(
          bytes: base.assumingMemoryBound(to: UInt8.self), end: entry.count, tables: tables, keeper: keeper)
        guard scan.object(schema.root), scan.place == scan.end else { return nil }
        return scan.result
      }
    }
  }
}

/// One scan: a place in the bytes of an entry. Every step returns false at the first thing that is unusual.
private struct EntryScan {
  let bytes: UnsafePointer<UInt8>
  let end: Int
  let nodes: UnsafePointer<CompiledEntrySchema.Node>
  let choices: UnsafePointer<CompiledEntrySchema.Run>
  let texts: UnsafePointer<UInt8>
  let keeper: UnsafeBufferPointer<UInt8>
  var place = 0
  var result = ScannedEntry()

  init(
    bytes: UnsafePointer<UInt8>, end: Int, tables: CompiledEntrySchema.Tables, keeper: UnsafeBufferPointer<UInt8>
  ) {
    self.bytes = bytes
    self.end = end
    nodes = tables.nodes
    choices = tables.choices
    texts = tables.texts
    self.keeper = keeper
  }

  @inline(__always)
  private mutating func take(_ byte: UInt8) -> Bool {
    guard place < end, bytes[place] == byte else { return false }
    place += 1
    return true
  }

  mutating func object(_ run: CompiledEntrySchema.Run) -> Bool {
    guard take(UInt8(ascii: "{")) else { return false }
    var node = Int(run.first)
    let last = Int(run.end)
    if take(UInt8(ascii: "}")) { return isComplete(from: node, to: last) }
    repeat {
      guard let found = member(from: node, to: last), value(nodes[found]) else { return false }
      node = found + 1
    } while take(UInt8(ascii: ","))
    return take(UInt8(ascii: "}")) && isComplete(from: node, to: last)
  }

  private func isComplete(from first: Int, to last: Int) -> Bool {
    for node in first..<last where nodes[node].isRequired { return false }
    return true
  }

  /// The node whose name comes next; names stand in order, so those passed over are not there.
  private mutating func member(from first: Int, to last: Int) -> Int? {
    // No entry ends within eight bytes of the beginning of a member: its time comes later, or is longer.
    guard end - place >= 8 else { return nil }
    let word = UnsafeRawPointer(bytes + place).loadUnaligned(as: UInt64.self)
    for node in first..<last {
      let count = Int(nodes[node].name.end - nodes[node].name.first)
      if word & nodes[node].mask == nodes[node].word,
        count <= 8
          || end - place >= count && memcmp(bytes + place + 8, texts + Int(nodes[node].name.first) + 8, count - 8) == 0
      {
        place += count
        return node
      }
      if nodes[node].isRequired { return nil }
    }
    return nil
  }

  private mutating func value(_ node: CompiledEntrySchema.Node) -> Bool {
    let start = place
    switch node.kind {
    case .group: return object(node.children)
    case .count:
      guard let number = count() else { return false }
      if node.capture == .sequence { result.sequence = number }
      if node.capture == .messageBytes { result.messageBytes = number }
      return true
    case .digest:
      guard hexadecimal(64) else { return false }
      if node.capture == .destinationExporter { result.destinationExporter = start + 1 }
      if node.capture == .sourceExporter { result.sourceExporter = start + 1 }
      return true
    case .previous:
      if place + 2 <= end, bytes[place] == UInt8(ascii: "\""), bytes[place + 1] == UInt8(ascii: "\"") {
        place += 2
        return true
      }
      result.previous = start + 1
      return hexadecimal(64)
    case .keyID: return hexadecimal(8)
    case .time:
      if node.capture == .time { result.time = start + 1 }
      return time()
    case .oneOf: return choice(node)
    case .keeper:
      guard let text = plain(), let start = text.baseAddress, let known = keeper.baseAddress else { return false }
      return text.count == keeper.count && memcmp(start, known, text.count) == 0
    case .organizationName: return plain().map(EntryText.isOrganizationName) ?? false
    case .messageID:
      guard let text = plain(), EntryText.isMessageIdentifier(text) else { return false }
      if result.messageID < 0 { (result.messageID, result.messageIDLength) = (start + 1, text.count) }
      return true
    case .decimal:
      guard let text = plain(), text.count <= 32 else { return false }
      return AuditDecimal(String(decoding: text, as: UTF8.self)) != nil
    case .text: return text()
    }
  }

  private mutating func count() -> UInt64? {
    let start = place
    var number: UInt64 = 0
    while place < end, case let digit = bytes[place] &- 0x30, digit < 10 {
      guard place - start < 16 else { return nil }
      number = number * 10 + UInt64(digit)
      place += 1
    }
    let digits = place - start
    guard digits > 0, digits == 1 || bytes[start] != 0x30,
      number <= UInt64(CanonicalJSON.integerRange.upperBound)
    else { return nil }
    return number
  }

  private mutating func hexadecimal(_ digits: Int) -> Bool {
    guard end - place >= digits + 2, bytes[place] == UInt8(ascii: "\""),
      bytes[place + digits + 1] == UInt8(ascii: "\"")
    else { return false }
    for position in (place + 1)...(place + digits) where EntryText.digit(bytes[position]) > 15 { return false }
    place += digits + 2
    return true
  }

  private mutating func time() -> Bool {
    guard let text = plain(), text.count == 24 else { return false }
    return EntryText.isTime(text)
  }

  private mutating func choice(_ node: CompiledEntrySchema.Node) -> Bool {
    guard let text = plain(), let start = text.baseAddress else { return false }
    for choice in node.children.first..<node.children.end {
      let run = choices[Int(choice)]
      guard Int(run.end - run.first) == text.count,
        memcmp(start, texts + Int(run.first), text.count) == 0
      else { continue }
      if node.capture == .event { result.event = Int(choice - node.children.first) }
      if node.capture == .outcome { result.outcome = Int(choice - node.children.first) }
      return true
    }
    return false
  }

  /// A string of printable ASCII without anything escaped.
  private mutating func plain() -> UnsafeBufferPointer<UInt8>? {
    guard take(UInt8(ascii: "\"")) else { return nil }
    let start = place
    while place < end {
      let byte = bytes[place]
      if byte == UInt8(ascii: "\"") {
        place += 1
        return UnsafeBufferPointer(start: bytes + start, count: place - 1 - start)
      }
      guard byte >= 0x20, byte < 0x7F, byte != UInt8(ascii: "\\") else { return nil }
      place += 1
    }
    return nil
  }

  /// Any text that a record may hold, in the one form that it has in canonical JSON.
  private mutating func text() -> Bool {
    guard take(UInt8(ascii: "\"")) else { return false }
    let start = place
    var escapes = 0
    var isASCII = true
    while place < end {
      let byte = bytes[place]
      place += 1
      if byte == UInt8(ascii: "\"") {
        guard place - 1 - start - escapes <= EntryFieldWriter.maximumTextBytes else { return false }
        let content = UnsafeBufferPointer(start: bytes + start, count: place - 1 - start)
        return isASCII || String(validating: content, as: UTF8.self) != nil
      }
      guard byte >= 0x20, byte != 0x7F else { return false }
      if byte >= 0x80 { isASCII = false }
      if byte == UInt8(ascii: "\\") {
        // Of what the canonical form escapes, a record may hold only these two.
        guard take(UInt8(ascii: "\"")) || take(UInt8(ascii: "\\")) else { return false }
        escapes += 1
      }
    }
    return false
  }
}

/// The forms of texts, on bytes; the types of the values decide the same on strings, and tests compare the two.
extension EntryText {
  /// The value of a lowercase hexadecimal digit; above 15 for anything else.
  @inline(__always)
  static func digit(_ byte: UInt8) -> UInt8 {
    let decimal = byte &- 0x30
    if decimal < 10 { return decimal }
    let letter = byte &- 0x61
    return letter < 6 ? letter + 10 : 0xFF
  }

  /// As `OrganizationName`.
  static func isOrganizationName(_ text: UnsafeBufferPointer<UInt8>) -> Bool {
    guard (1...OrganizationName.maximumByteCount).contains(text.count) else { return false }
    var label = 0
    var last = UInt8(ascii: "-")
    for byte in text {
      if byte == UInt8(ascii: ".") {
        guard label > 0, last != UInt8(ascii: "-") else { return false }
        label = 0
      } else {
        let isHyphen = byte == UInt8(ascii: "-")
        guard isHyphen || (0x61...0x7A).contains(byte) || (0x30...0x39).contains(byte), !(isHyphen && label == 0)
        else { return false }
        label += 1
        guard label <= 63 else { return false }
      }
      last = byte
    }
    return label > 0 && last != UInt8(ascii: "-")
  }

  /// As `MessageIdentifier`.
  static func isMessageIdentifier(_ text: UnsafeBufferPointer<UInt8>) -> Bool {
    guard (1...64).contains(text.count) else { return false }
    for byte in text {
      guard (0x61...0x7A).contains(byte) || (0x30...0x39).contains(byte) || byte == 0x2D || byte == 0x2E else {
        return false
      }
    }
    return true
  }

  /// As `AuditTime`, of 24 bytes: `2026-03-01T09:30:00.000Z`.
  static func isTime(_ text: UnsafeBufferPointer<UInt8>) -> Bool {
    func number(_ start: Int, _ count: Int) -> Int {
      var number = 0
      for place in start..<start + count {
        let digit = text[place] &- 0x30
        guard digit < 10 else { return -1 }
        number = number * 10 + Int(digit)
      }
      return number
    }
    guard text[4] == UInt8(ascii: "-"), text[7] == UInt8(ascii: "-"), text[10] == UInt8(ascii: "T"),
      text[13] == UInt8(ascii: ":"), text[16] == UInt8(ascii: ":"), text[19] == UInt8(ascii: "."),
      text[23] == UInt8(ascii: "Z")
    else { return false }
    let year = number(0, 4)
    let month = number(5, 2)
    guard year >= 1970, (1...12).contains(month), (0..<24).contains(number(11, 2)), (0..<60).contains(number(14, 2)),
      (0..<60).contains(number(17, 2)), number(20, 3) >= 0
    else { return false }
    let isLeap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
    let days =
      switch month {
      case 2: isLeap ? 29 : 28
      case 4, 6, 9, 11: 30
      default: 31
      }
    return (1...days).contains(number(8, 2))
  }
}
