/// What can be wrong with a plan, a policy or a manifest as a text.
///
/// Key paths are written as in `secureSum.bits`; values that somebody else wrote are cut and escaped.
public enum DocumentFault: Hashable, Sendable {
  case tooLarge(limit: Int)
  case notUTF8
  case byteOrderMark
  case controlCharacter(UInt32)
  case empty
  /// Not YAML; the problem in the parser's words.
  case syntax(problem: String)
  case severalDocuments
  case directive
  case anchor
  case alias
  case tag
  case complexKey
  case duplicateKey(String)
  case keyNotText
  case unknownKey(path: String, nearest: String?)
  case missingKey(path: String)
  /// A value of another type or outside its range.
  case wrongValue(path: String, expected: String, found: String)
  /// A value that is well formed, and that a later version may take.
  case notAvailable(path: String, found: String, available: String)
  case duplicateItem(path: String, item: String)
  case tooManyItems(path: String, limit: Int)
  /// Two values that do not go together.
  case inconsistent(path: String, problem: String)
  /// Not in the one form in which a manifest is written, although it says the same.
  case notCanonical

  var code: String {
    switch self {
    case .tooLarge: "document-too-large"
    case .notUTF8, .byteOrderMark, .controlCharacter: "document-not-text"
    case .empty: "document-empty"
    case .syntax: "document-not-yaml"
    case .severalDocuments, .directive, .anchor, .alias, .tag, .complexKey: "document-yaml-feature-refused"
    case .duplicateKey: "document-duplicate-key"
    case .keyNotText: "document-key-not-text"
    case .unknownKey: "document-unknown-key"
    case .missingKey: "document-missing-key"
    case .wrongValue: "document-wrong-value"
    case .notAvailable: "document-not-available"
    case .duplicateItem: "document-duplicate-item"
    case .tooManyItems: "document-too-many-items"
    case .inconsistent: "document-inconsistent"
    case .notCanonical: "document-not-canonical"
    }
  }

  var message: String {
    switch self {
    case .tooLarge(let limit): "the file is longer than \(limit) bytes"
    case .notUTF8: "the file is not UTF-8 text"
    case .byteOrderMark: "the file begins with a byte order mark"
    case .controlCharacter(let value): "the character U+\(String(value, radix: 16, uppercase: true)) is not allowed"
    case .empty: "the file holds no keys"
    case .syntax(let problem): "not valid YAML: \(problem)"
    case .severalDocuments: "the file holds more than one YAML document"
    case .directive: "YAML directives ('%') are not allowed"
    case .anchor: "YAML anchors ('&') are not allowed"
    case .alias: "YAML aliases ('*') are not allowed"
    case .tag: "YAML tags ('!') are not allowed"
    case .complexKey: "a key must be a plain word; YAML's complex keys are not allowed"
    case .duplicateKey(let key): "the key \(key) appears twice"
    case .keyNotText: "a key must be a plain word"
    case .unknownKey(let path, let nearest?): "unknown key '\(path)'; did you mean '\(nearest)'?"
    case .unknownKey(let path, nil): "unknown key '\(path)'"
    case .missingKey(let path): "the key '\(path)' is missing"
    case .wrongValue(let path, let expected, let found): "\(path): expected \(expected), found \(found)"
    case .notAvailable(let path, let found, let available):
      "\(path): \(found) is not available in this version; available: \(available)"
    case .duplicateItem(let path, let item): "\(path): \(item) is listed twice"
    case .tooManyItems(let path, let limit): "\(path): more than \(limit) items"
    case .inconsistent(let path, let problem): "\(path): \(problem)"
    case .notCanonical: "the text differs here from how this program writes the same manifest"
    }
  }

  var remedy: String {
    switch self {
    case .tooLarge: "Shorten the file; it should fit on a screen or two."
    case .notUTF8, .byteOrderMark: "Save the file as UTF-8 without a byte order mark."
    case .controlCharacter: "Remove the character, or write it as an escape in double quotes."
    case .empty: "Write the keys of the format; a new file can be made from the built-in template."
    case .syntax: "Correct the text at this place; indent with spaces, never tabs."
    case .severalDocuments: "Keep one document in a file and remove the '---' or '...' between them."
    case .directive, .anchor, .alias, .tag, .complexKey: "Write the value out; quote it if the character belongs to it."
    case .duplicateKey: "Keep one of them."
    case .keyNotText: "Write the key as a plain word, then a colon."
    case .unknownKey(_, .some): "Correct the spelling, or remove the key."
    case .unknownKey(_, nil): "Remove the key; it has no meaning here."
    case .missingKey: "Add the key."
    case .wrongValue, .inconsistent: "Correct the value."
    case .notAvailable: "Choose one that is available."
    case .duplicateItem: "Keep one of them."
    case .tooManyItems: "Shorten the list."
    case .notCanonical: "Do not edit a manifest by hand; make a new version with the commands."
    }
  }
}
