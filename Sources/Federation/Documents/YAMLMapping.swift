/// A mapping read against the keys that the format knows: others are refused before anything else is looked at, so that
/// a misspelt key is not reported as a missing one.
struct YAMLMapping {
  let source: YAMLSource
  /// Key path of this mapping, empty at the top.
  let path: String
  let node: YAMLNode
  private let entries: [String: YAMLNode]

  init(_ node: YAMLNode, source: YAMLSource, path: String = "", keys: [String]) throws(FederationError) {
    self.source = source
    self.path = path
    self.node = node
    guard case .mapping(let pairs) = node.content else {
      let fault: DocumentFault =
        path.isEmpty
        ? .wrongValue(path: "the file", expected: "keys and values", found: node.found)
        : .wrongValue(path: path, expected: "a group of keys (\(keys.joined(separator: ", ")))", found: node.found)
      throw source.fault(node, fault)
    }
    var entries: [String: YAMLNode] = [:]
    for (key, value) in pairs {
      guard case .scalar(let name, _) = key.content, !name.isEmpty else { throw source.fault(key, .keyNotText) }
      guard keys.contains(name) else {
        let shown = String(excerpt(name).dropFirst().dropLast())
        let candidate = nearest(to: name, among: keys)
        let fullPath = path.isEmpty ? shown : "\(path).\(shown)"
        throw source.fault(key, .unknownKey(path: fullPath, nearest: candidate))
      }
      guard entries.updateValue(value, forKey: name) == nil else {
        throw source.fault(key, .duplicateKey(excerpt(name)))
      }
    }
    self.entries = entries
  }

  func path(_ key: String) -> String { path.isEmpty ? key : "\(path).\(key)" }

  func node(_ key: String) -> YAMLNode? { entries[key] }

  func requiredNode(_ key: String) throws(FederationError) -> YAMLNode {
    guard let node = entries[key] else { throw source.fault(node, .missingKey(path: path(key))) }
    return node
  }

  func required<Value>(_ key: String, _ field: YAMLField<Value>) throws(FederationError) -> Value {
    try read(requiredNode(key), field, path: path(key))
  }

  func optional<Value>(
    _ key: String, _ field: YAMLField<Value>, default value: Value
  ) throws(FederationError) -> Value {
    guard let node = entries[key] else { return value }
    return try read(node, field, path: path(key))
  }

  /// A value that may be `null`, and is when the key is absent.
  func nullable<Value>(_ key: String, _ field: YAMLField<Value>) throws(FederationError) -> Value? {
    guard let node = entries[key], !node.isNull else { return nil }
    let field = YAMLField<Value>(expected: "\(field.expected) or null", read: field.read)
    return try read(node, field, path: path(key))
  }

  /// A list without repetitions.
  func list<Value: Hashable>(
    _ key: String, of field: YAMLField<Value>, maximum: Int, default value: [Value]? = nil
  ) throws(FederationError) -> [Value] {
    if entries[key] == nil, let value { return value }
    let list = try requiredNode(key)
    guard case .sequence(let items) = list.content else {
      throw source.fault(
        list, .wrongValue(path: path(key), expected: "a list: [one, two]", found: list.found))
    }
    guard items.count <= maximum else { throw source.fault(list, .tooManyItems(path: path(key), limit: maximum)) }
    var values: [Value] = []
    var seen = Set<Value>()
    for item in items {
      let value = try read(item, field, path: path(key))
      guard seen.insert(value).inserted else {
        throw source.fault(item, .duplicateItem(path: path(key), item: item.found))
      }
      values.append(value)
    }
    return values
  }

  /// A nested mapping; if the key is absent, one without entries, so that all defaults apply.
  func mapping(_ key: String, keys: [String], isRequired: Bool = false) throws(FederationError) -> YAMLMapping {
    let absent = YAMLNode(line: node.line, column: node.column, content: .mapping([]))
    let nested = isRequired ? try requiredNode(key) : entries[key] ?? absent
    return try YAMLMapping(nested, source: source, path: path(key), keys: keys)
  }

  /// Nested mappings in a list.
  func mappings(_ key: String, keys: [String], maximum: Int) throws(FederationError) -> [YAMLMapping] {
    let list = try requiredNode(key)
    guard case .sequence(let items) = list.content else {
      throw source.fault(list, .wrongValue(path: path(key), expected: "a list", found: list.found))
    }
    guard items.count <= maximum else { throw source.fault(list, .tooManyItems(path: path(key), limit: maximum)) }
    var mappings: [YAMLMapping] = []
    for (index, item) in items.enumerated() {
      mappings.append(try YAMLMapping(item, source: source, path: "\(path(key))[\(index + 1)]", keys: keys))
    }
    return mappings
  }

  /// The schema line; anything else means that this is another kind of file, or another version's.
  func requireSchema(_ schema: String) throws(FederationError) {
    let found = try required("schema", .text(maximum: 128))
    guard found == schema else {
      let fault = DocumentFault.wrongValue(path: path("schema"), expected: schema, found: excerpt(found))
      throw source.fault(try requiredNode("schema"), fault)
    }
  }

  /// A fault at a key's value, or at the mapping if the key is absent.
  func fault(_ key: String, _ fault: DocumentFault) -> FederationError {
    source.fault(entries[key] ?? node, fault)
  }

  func read<Value>(_ node: YAMLNode, _ field: YAMLField<Value>, path: String) throws(FederationError) -> Value {
    guard case .scalar(let text, let isPlain) = node.content, let value = field.read(text, isPlain) else {
      throw source.fault(node, .wrongValue(path: path, expected: field.expected, found: node.found))
    }
    return value
  }
}

extension YAMLMapping {
  /// A word of an enumeration of which this version takes only some.
  func available<Value: RawRepresentable & CaseIterable & Equatable & SendableMetatype>(
    _ key: String, default value: Value? = nil, available: [Value]
  ) throws(FederationError) -> Value where Value.RawValue == String {
    let chosen: Value
    if let value { chosen = try optional(key, .word, default: value) } else { chosen = try required(key, .word) }
    guard available.contains(chosen) else {
      let names = available.map(\.rawValue).joined(separator: ", ")
      throw fault(
        key, .notAvailable(path: path(key), found: excerpt(chosen.rawValue), available: names))
    }
    return chosen
  }
}
