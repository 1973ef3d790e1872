import Foundation
import Testing

/// Checks the pair that is named as the test.
func expectRefused(
  function: String = #function, sourceLocation: SourceLocation = #_sourceLocation
) async throws {
  let name = function.prefix { $0 != "(" }
  for problem in try await MisusePair(name.prefix(1).uppercased() + name.dropFirst()).problems() {
    Issue.record("\(problem)", sourceLocation: sourceLocation)
  }
}

/// The pairs as a whole, and that the check of a pair can fail.
@Suite(.timeLimit(.minutes(2))) struct FixtureTests {
  static var names: Set<String> {
    let files = (try? FileManager.default.contentsOfDirectory(atPath: MisusePair.fixtures.path)) ?? []
    return Set(files.map { String($0.prefix { $0 != "." }) })
  }

  @Test func everyPairHasATest() throws {
    let folder = MisusePair.fixtures.deletingLastPathComponent()
    let tests = try FileManager.default.contentsOfDirectory(atPath: folder.path).filter { $0.hasSuffix("Tests.swift") }
      .map { try String(contentsOf: folder.appendingPathComponent($0), encoding: .utf8) }.joined()
    #expect(Self.names.count >= 10)
    for name in Self.names {
      let function = name.prefix(1).lowercased() + name.dropFirst()
      #expect(
        tests.contains("@Test func \(function)() async throws { try await expectRefused() }"),
        "no test is named \(function)")
    }
  }

  @Test func aMissingCompilerIsSaid() {
    let error = #expect(throws: CompilerUnavailable.self) { try Compiler(path: "/nowhere:/nowhere/else") }
    #expect(error?.description == "no swiftc on the PATH, which is /nowhere:/nowhere/else")
  }

  // MARK: - Pairs that must fail

  static let good = "import Cryptography\n\nfunc use(_ a: consuming SecretBytes) {\n  let b = a\n  _ = b.count\n}\n"
  static let bad = """
    import Cryptography

    // expected-error@+1 {{used after consume}}
    func use(_ a: consuming SecretBytes) {
      // expected-note@+1 {{consumed here}}
      let b = a
      // expected-note@+1 {{used here}}
      _ = a.count + b.count
    }

    """

  /// - Returns: what the check says of a pair of these texts.
  private func problems(misuse: String?, twin: String?) async throws -> String {
    let folder = FileManager.default.temporaryDirectory.appendingPathComponent("bauta-pair-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: folder) }
    for (kind, text) in [("misuse", misuse), ("twin", twin)] {
      try text?.write(to: folder.appendingPathComponent("Pair.\(kind).swift"), atomically: true, encoding: .utf8)
    }
    return try await MisusePair("Pair", in: folder).problems().joined(separator: "\n")
  }

  @Test func aRightPairPasses() async throws {
    #expect(try await problems(misuse: Self.bad, twin: Self.good).isEmpty)
  }

  @Test func aMisuseThatCompilesFails() async throws {
    let harmless = Self.bad.replacing("a.count + b.count", with: "b.count")
    #expect(try await problems(misuse: harmless, twin: Self.good).contains("expected error not produced"))
  }

  @Test func anErrorThatIsNotExpectedFails() async throws {
    let other = Self.bad.replacing("used after consume", with: "something else")
    #expect(try await problems(misuse: other, twin: Self.good).contains("incorrect message found"))
    let more = Self.bad.replacing("a.count + b.count", with: "a.count + b.counts")
    #expect(try await problems(misuse: more, twin: Self.good).contains("unexpected error produced"))
  }

  @Test func aNoteThatIsNotExpectedFails() async throws {
    let silent = Self.bad.replacing("// expected-note@+1 {{used here}}", with: "//")
    #expect(try await problems(misuse: silent, twin: Self.good).contains("unexpected note produced"))
  }

  @Test func aModuleThatIsMissingIsNoRefusal() async throws {
    let expecting = "// expected-error@+1 {{no such module}}\nimport Missing\n\nfunc use() {}\n"
    let found = try await problems(misuse: expecting, twin: "import Missing\n\nfunc use() {}\n")
    #expect(found.contains("twin.swift does not compile"))
  }

  @Test func aWarningIsNoRefusal() async throws {
    let warned = Self.good.replacing("  _ = b.count", with: "  // expected-error@+1 {{}}\n  let unused = b.count")
    #expect(try await problems(misuse: warned, twin: Self.good).contains("unexpected warning produced"))
  }

  @Test func aMisuseWithoutAnExpectedErrorFails() async throws {
    #expect(try await problems(misuse: Self.good, twin: Self.good).contains("expects no error"))
    let second = "\nfunc more(_ a: borrowing SecretBytes) -> Int {\n  a.count\n}\n"
    let found = try await problems(misuse: Self.bad + second, twin: Self.good + second)
    #expect(found.contains("more expects no error"))
  }

  @Test func aMissingFileFails() async throws {
    #expect(try await problems(misuse: Self.bad, twin: nil).contains("has no Pair.twin.swift"))
    #expect(try await problems(misuse: nil, twin: Self.good).contains("has no Pair.misuse.swift"))
  }

  @Test func aTwinThatDoesNotCompileFails() async throws {
    let wrong = Self.good.replacing("b.count", with: "a.count + b.count")
    #expect(try await problems(misuse: Self.bad, twin: wrong).contains("used after consume"))
    let warned = Self.good.replacing("_ = b.count", with: "let unused = b.count")
    #expect(try await problems(misuse: Self.bad, twin: warned).contains("twin.swift does not compile"))
  }

  @Test func aTwinOfSomethingElseFails() async throws {
    let renamed = Self.good.replacing("func use", with: "func other")
    #expect(try await problems(misuse: Self.bad, twin: renamed).contains("different functions"))
    let imported = Self.good.replacing("import Cryptography", with: "@testable import Cryptography")
    #expect(try await problems(misuse: Self.bad, twin: imported).contains("import different ones"))
  }
}
