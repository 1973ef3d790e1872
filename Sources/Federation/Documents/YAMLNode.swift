import Yams

/// A composed YAML node with its place; the text of scalars is as written, untyped.
struct YAMLNode {
  indirect enum Content {
    case scalar(String, isPlain: Bool)
    case sequence([YAMLNode])
    case mapping([(key: YAMLNode, value: YAMLNode)])
  }

  let line: Int
  let column: Int
  let content: Content

  /// The value as an error message shows it.
  var found: String {
    switch content {
    case .scalar("", isPlain: true): "nothing"
    case .scalar(let text, isPlain: true): excerpt(text)
    case .scalar(let text, isPlain: false): "the quoted text \(excerpt(text))"
    case .sequence: "a list"
    case .mapping: "a group of keys"
    }
  }

  var isNull: Bool {
    if case .scalar("null", isPlain: true) = content { return true }
    return false
  }
}

/// A text turned into nodes, without any of YAML's features that plans, policies and manifests do not need.
///
/// Yams resolves aliases while it composes, and hashes whole collections that are keys, so that a few hundred bytes can
/// cost seconds. Hence `&`, `*`, `!`, `?` and a colon after a closing bracket are replaced by private characters first:
/// a plain scalar that begins with one of them was an anchor, an alias, a tag or a complex key; everywhere else (in
/// quotes, within a word, in a comment) the original is put back.
struct YAMLSource {
  static let maximumBytes = 256 * 1024

  let file: String

  func position(_ line: Int, _ column: Int) -> SourcePosition {
    SourcePosition(file: file, line: line, column: column)
  }

  func fault(_ node: YAMLNode, _ fault: DocumentFault) -> FederationError {
    .document(position(node.line, node.column), fault)
  }

  /// - Throws: ``FederationError/document(_:_:)``.
  func root(of bytes: [UInt8]) throws(FederationError) -> YAMLNode {
    guard bytes.count <= Self.maximumBytes else {
      throw .document(position(1, 1), .tooLarge(limit: Self.maximumBytes))
    }
    guard let text = String(validating: bytes, as: UTF8.self) else { throw .document(position(1, 1), .notUTF8) }
    let composed: Node?
    let parser: Parser
    do {
      // Resolver.basic: no guessing of types, so that keys and values stay the text that was written.
      parser = try Parser(yaml: try disarmed(text), resolver: .basic, encoding: .utf8)
      composed = try parser.singleRoot()
    } catch let error as FederationError {
      throw error
    } catch let error as YamlError {
      throw refusal(error)
    } catch {
      throw .document(position(1, 1), .syntax(problem: "it cannot be read"))
    }
    guard let composed else { throw .document(position(1, 1), .empty) }
    return try node(composed)
  }

  /// Refuses characters with no place in such a file, and disarms those that make anchors, aliases, tags and complex keys.
  private func disarmed(_ text: String) throws(FederationError) -> String {
    var scalars = String.UnicodeScalarView()
    var (line, column) = (1, 1)
    var followsBracket = false
    for scalar in text.unicodeScalars {
      switch scalar {
      case "\u{FEFF}": throw .document(position(line, column), .byteOrderMark)
      case "%" where column == 1: throw .document(position(line, column), .directive)
      case "\n", "\t", "\r": scalars.append(scalar)
      case ":" where followsBracket: scalars.append(Disarmed.collectionKey.replacement)
      case "\u{0}"..."\u{1F}", "\u{7F}"..."\u{9F}", "\u{2028}", "\u{2029}", "\u{E000}"..."\u{F8FF}":
        throw .document(position(line, column), .controlCharacter(scalar.value))
      default: scalars.append(Disarmed(original: scalar)?.replacement ?? scalar)
      }
      if scalar != " ", scalar != "\t" { followsBracket = scalar == "]" || scalar == "}" }
      (line, column) = scalar == "\n" ? (line + 1, 1) : (line, column + 1)
    }
    return String(scalars)
  }

  private func node(_ node: Node) throws(FederationError) -> YAMLNode {
    let (line, column) = (node.mark?.line ?? 1, node.mark?.column ?? 1)
    let content: YAMLNode.Content
    switch node {
    case .scalar(let scalar):
      let isPlain = scalar.style == .plain || scalar.style == .any
      if isPlain, let disarmed = scalar.string.unicodeScalars.first.flatMap(Disarmed.init(replacement:)) {
        throw .document(position(line, column), disarmed.fault)
      }
      if isPlain, scalar.string.unicodeScalars.contains(Disarmed.collectionKey.replacement) {
        throw .document(position(line, column), .complexKey)
      }
      content = .scalar(Disarmed.restore(scalar.string), isPlain: isPlain)
    case .sequence(let sequence):
      var items: [YAMLNode] = []
      for item in sequence { items.append(try self.node(item)) }
      content = .sequence(items)
    case .mapping(let mapping):
      var pairs: [(key: YAMLNode, value: YAMLNode)] = []
      for (key, value) in mapping { pairs.append((try self.node(key), try self.node(value))) }
      content = .mapping(pairs)
    case .alias:
      throw .document(position(line, column), .alias)
    }
    return YAMLNode(line: line, column: column, content: content)
  }

  private func refusal(_ error: YamlError) -> FederationError {
    switch error {
    case .scanner(_, let problem, let mark, _), .parser(_, let problem, let mark, _):
      // An alias or anchor used as a key leaves libyaml at a loss only after the fact: the place is what matters.
      return .document(position(mark.line, mark.column), .syntax(problem: problem))
    case .composer(_, _, let mark, _):
      return .document(position(mark.line, mark.column), .severalDocuments)
    case .duplicatedKeysInMapping(let duplicates, let context):
      let key = excerpt(Disarmed.restore(duplicates.min() ?? ""))
      return .document(position(context.mark.line, context.mark.column), .duplicateKey(key))
    case .reader(let problem, _, _, _), .writer(let problem), .emitter(let problem), .representer(let problem):
      return .document(position(1, 1), .syntax(problem: problem))
    case .no, .memory, .dataCouldNotBeDecoded:
      return .document(position(1, 1), .syntax(problem: "it cannot be read"))
    }
  }
}

/// The characters that begin what is refused, and what stands for them while Yams composes.
private enum Disarmed: CaseIterable {
  case anchor, alias, tag, complexKey, collectionKey

  var original: Unicode.Scalar {
    switch self {
    case .anchor: "&"
    case .alias: "*"
    case .tag: "!"
    case .complexKey: "?"
    case .collectionKey: ":"
    }
  }

  var replacement: Unicode.Scalar {
    switch self {
    case .anchor: "\u{E000}"
    case .alias: "\u{E001}"
    case .tag: "\u{E002}"
    case .complexKey: "\u{E003}"
    case .collectionKey: "\u{E004}"
    }
  }

  var fault: DocumentFault {
    switch self {
    case .anchor: .anchor
    case .alias: .alias
    case .tag: .tag
    case .complexKey, .collectionKey: .complexKey
    }
  }

  init?(original: Unicode.Scalar) {
    switch original {
    case "&": self = .anchor
    case "*": self = .alias
    case "!": self = .tag
    case "?": self = .complexKey
    default: return nil
    }
  }

  init?(replacement: Unicode.Scalar) {
    switch replacement {
    case "\u{E000}": self = .anchor
    case "\u{E001}": self = .alias
    case "\u{E002}": self = .tag
    case "\u{E003}": self = .complexKey
    case "\u{E004}": self = .collectionKey
    default: return nil
    }
  }

  static func restore(_ text: String) -> String {
    var scalars = String.UnicodeScalarView()
    for scalar in text.unicodeScalars { scalars.append(Disarmed(replacement: scalar)?.original ?? scalar) }
    return String(scalars)
  }
}
