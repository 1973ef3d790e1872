import Foundation

/// A misuse and its twin: `NAME.misuse.swift`, which must not compile, and `NAME.twin.swift`, which must.
///
/// To add a pair:
///
/// 1. Write `Fixtures/NAME.misuse.swift`: one function for each misuse, taking what it needs as parameters, with
///    `// expected-error@+1 {{part of the message}}` above the line where the error occurs, and `expected-note`
///    likewise for notes in the file. A file holds errors of types or errors of ownership (consumed twice, used after
///    it was consumed): after the first kind the compiler does not look for the second. A file that begins with
///    `// inside: MODULE` is compiled as one more file of that module.
/// 2. Write `Fixtures/NAME.twin.swift`: the same module, imports and functions, doing it right.
/// 3. Add `@Test func name() async throws { try await expectRefused() }` to the suite it belongs to: the name is that
///    of the pair with a small first letter. A pair without such a test fails ``FixtureTests``.
struct MisusePair: Sendable {
  static let fixtures = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
    .appendingPathComponent("Fixtures")

  let name: String
  let folder: URL

  init(_ name: String, in folder: URL = fixtures) {
    self.name = name
    self.folder = folder
  }

  private var misuse: URL { folder.appendingPathComponent("\(name).misuse.swift") }
  private var twin: URL { folder.appendingPathComponent("\(name).twin.swift") }

  /// Everything that is wrong with the pair; empty if the misuse is refused as expected and the twin compiles.
  ///
  /// - Throws: ``CompilerUnavailable``.
  func problems() async throws -> [String] {
    guard let misuseText = try? String(contentsOf: misuse, encoding: .utf8) else {
      return ["\(name) has no \(misuse.lastPathComponent)"]
    }
    guard let twinText = try? String(contentsOf: twin, encoding: .utf8) else {
      return ["\(name) has no \(twin.lastPathComponent)"]
    }
    let shape = shapeProblems(misuse: misuseText, twin: twinText)
    guard shape.isEmpty else { return shape }
    let compiler = try Compiler.shared.get()
    let module = Self.module(misuseText)
    async let refused = compiler.compile(misuse, inside: module, mode: .verify)
    async let accepted = compiler.compile(twin, inside: module, mode: .clean)
    var problems: [String] = []
    let misuseOutcome = try await refused
    if !misuseOutcome.succeeded {
      problems.append("\(name).misuse.swift is not refused as expected:\n\(misuseOutcome.diagnostics)")
    }
    let twinOutcome = try await accepted
    // Success with a remark is no success: with warnings as errors there is nothing left to say.
    if !twinOutcome.succeeded || !twinOutcome.diagnostics.isEmpty {
      problems.append("\(name).twin.swift does not compile:\n\(twinOutcome.diagnostics)")
    }
    return problems
  }

  /// What can be said without the compiler.
  private func shapeProblems(misuse misuseText: String, twin twinText: String) -> [String] {
    var problems: [String] = []
    if !misuseText.contains("// expected-error") { problems.append("\(name).misuse.swift expects no error") }
    if twinText.contains("// expected-") { problems.append("\(name).twin.swift expects diagnostics") }
    // An import that fails would be an error as good as any.
    if Self.imports(misuseText) != Self.imports(twinText) || Self.module(misuseText) != Self.module(twinText) {
      problems.append("\(name): misuse and twin are of different modules or import different ones")
    }
    // A name that does not exist would be one, too; and each misuse has its right form.
    if Self.functions(misuseText) != Self.functions(twinText) {
      problems.append("\(name): misuse and twin have different functions")
    }
    for function in Self.functionsWithoutError(misuseText) {
      problems.append("\(name).misuse.swift: \(function) expects no error")
    }
    return problems
  }

  /// The module that the file is compiled into, if it names one.
  private static func module(_ text: String) -> String? {
    let mark = "// inside: "
    guard text.hasPrefix(mark) else { return nil }
    return String(text.dropFirst(mark.count).prefix { $0 != "\n" })
  }

  private static func imports(_ text: String) -> Set<Substring> {
    Set(text.split(separator: "\n").filter { $0.contains("import ") && !$0.hasPrefix("//") })
  }

  private static func functions(_ text: String) -> [Substring] { text.split(separator: "\n").compactMap(functionName) }

  /// The name of the function that begins on this line at the top level.
  private static func functionName(_ line: Substring) -> Substring? {
    guard line.hasPrefix("func ") else { return nil }
    return line.dropFirst(5).prefix { $0 != "(" && $0 != "<" }
  }

  /// Functions at the top level with no expected error between the end of the one before and their own end.
  private static func functionsWithoutError(_ text: String) -> [Substring] {
    var missing: [Substring] = []
    var current: Substring?
    var expects = false
    for line in text.split(separator: "\n") {
      if let name = functionName(line) { current = name }
      if line.contains("// expected-error") { expects = true }
      guard let name = current, line == "}" || line.hasPrefix("func ") && line.hasSuffix("}") else { continue }
      if !expects { missing.append(name) }
      current = nil
      expects = false
    }
    return missing
  }
}
