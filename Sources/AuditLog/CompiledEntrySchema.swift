/// `EntrySchema` in the form in which the scanner walks it: every object a run of nodes, sorted by name.
///
/// Made once for all scans.
struct CompiledEntrySchema: Sendable {
  enum Kind: UInt8 {
    case text, count, digest, organizationName, time, messageID, keyID, decimal, oneOf, keeper, previous, group
  }

  struct Run {
    var first: Int32
    var end: Int32
  }

  struct Node {
    /// The first eight bytes of `"name":` in memory order; `mask` hides those that it does not have.
    var word: UInt64
    var mask: UInt64
    /// `"name":` among the texts.
    var name: Run
    var kind: Kind
    var isRequired: Bool
    var capture: EntryCapture
    /// The members of a group, or the values of a choice among `choices`.
    var children: Run
  }

  static let shared = CompiledEntrySchema(EntrySchema.members)

  let root: Run
  private let nodes: [Node]
  private let choices: [Run]
  private let texts: [UInt8]

  init(_ members: [EntryMember]) {
    var compiler = Compiler()
    root = compiler.run(of: members)
    nodes = compiler.nodes
    choices = compiler.choices
    texts = compiler.texts
  }

  /// The tables in place, valid only during the call.
  struct Tables {
    let nodes: UnsafePointer<Node>
    let choices: UnsafePointer<Run>
    let texts: UnsafePointer<UInt8>
  }

  /// - Returns: nil without a call if the schema has no member, or no choice.
  @inline(__always)
  func withTables<Result>(_ body: (Tables) -> Result?) -> Result? {
    nodes.withUnsafeBufferPointer { nodes in
      choices.withUnsafeBufferPointer { choices in
        texts.withUnsafeBufferPointer { texts in
          guard let nodes = nodes.baseAddress, let choices = choices.baseAddress, let texts = texts.baseAddress
          else { return nil }
          return body(Tables(nodes: nodes, choices: choices, texts: texts))
        }
      }
    }
  }

  private struct Compiler {
    var nodes: [Node] = []
    var choices: [Run] = []
    var texts: [UInt8] = []

    mutating func run(of members: [EntryMember]) -> Run {
      let sorted = members.sorted { $0.name.utf8.lexicographicallyPrecedes($1.name.utf8) }
      let first = nodes.count
      // Their places first, so that they stay together; then those of groups.
      for member in sorted { nodes.append(node(of: member)) }
      for (place, member) in sorted.enumerated() {
        switch member.value {
        case .group(let members): nodes[first + place].children = run(of: members)
        case .oneOf(let values):
          let start = choices.count
          for value in values { choices.append(text(value)) }
          nodes[first + place].children = Run(first: Int32(start), end: Int32(choices.count))
        case .text, .count, .digest, .organizationName, .time, .messageID, .keyID, .decimal, .keeper, .previous: break
        }
      }
      return Run(first: Int32(first), end: Int32(first + sorted.count))
    }

    private mutating func text(_ text: String) -> Run {
      let start = texts.count
      texts.append(contentsOf: text.utf8)
      return Run(first: Int32(start), end: Int32(texts.count))
    }

    private mutating func node(of member: EntryMember) -> Node {
      let name = text("\"\(member.name)\":")
      let bytes = Array(texts[Int(name.first)..<Int(name.end)].prefix(8))
      let padding = [UInt8](repeating: 0, count: 8 - bytes.count)
      let mask = bytes.map { _ in UInt8.max } + padding
      return Node(
        word: (bytes + padding).withUnsafeBytes { $0.loadUnaligned(as: UInt64.self) },
        mask: mask.withUnsafeBytes { $0.loadUnaligned(as: UInt64.self) }, name: name, kind: member.value.kind,
        isRequired: member.isRequired, capture: member.capture, children: Run(first: 0, end: 0))
    }
  }
}

extension EntryValue {
  fileprivate var kind: CompiledEntrySchema.Kind {
    switch self {
    case .text: .text
    case .count: .count
    case .digest: .digest
    case .organizationName: .organizationName
    case .time: .time
    case .messageID: .messageID
    case .keyID: .keyID
    case .decimal: .decimal
    case .oneOf: .oneOf
    case .keeper: .keeper
    case .previous: .previous
    case .group: .group
    }
  }
}
