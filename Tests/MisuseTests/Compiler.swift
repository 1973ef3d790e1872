import Foundation

/// Why a fixture could not be given to the compiler at all.
struct CompilerUnavailable: Error, CustomStringConvertible {
  let description: String
}

/// The compiler that built this package, on files that use its modules.
///
/// It reads the modules of the build folder that this test runs from, so a fixture sees exactly what was just built,
/// internal names included where it says `@testable`.
struct Compiler: Sendable {
  enum Mode: Sendable {
    /// Every error must be expected where it occurs, and every expected one must occur.
    case verify
    /// Neither errors nor warnings.
    case clean
  }

  struct Outcome: Sendable {
    var succeeded: Bool
    /// What the compiler said.
    let diagnostics: String
  }

  /// Each process takes a core for a moment; other tests run meanwhile.
  private static let slots = Slots(count: 2)
  static let shared = Result {
    try Compiler(path: ProcessInfo.processInfo.environment["PATH"] ?? "/usr/bin:/bin")
  }

  private let executable: URL
  private let arguments: [String]

  /// - Parameter path: the folders to look for the compiler in, as in `PATH`.
  /// - Throws: ``CompilerUnavailable``.
  init(path: String) throws {
    let candidates = path.split(separator: ":").map { "\($0)/swiftc" }
    guard let found = candidates.first(where: FileManager.default.isExecutableFile) else {
      throw CompilerUnavailable(description: "no swiftc on the PATH, which is \(path)")
    }
    executable = URL(fileURLWithPath: found)
    let products = URL(fileURLWithPath: CommandLine.arguments[0]).resolvingSymlinksInPath()
      .deletingLastPathComponent()
    let modules = products.appendingPathComponent("Modules")
    guard FileManager.default.fileExists(atPath: modules.path) else {
      throw CompilerUnavailable(description: "no modules in \(modules.path): build with swift build --build-tests")
    }
    arguments =
      [
        "-frontend", "-emit-sil", "-o", "/dev/null", "-parse-as-library", "-swift-version", "6",
        // A cache of its own: one shared with compilers that were told other paths to the same files breaks both.
        "-diagnostic-style", "llvm", "-module-cache-path", products.appendingPathComponent("MisuseModuleCache").path,
        "-I", modules.path,
      ] + Self.clangArguments(products: products)
  }

  /// What one file makes the compiler say.
  ///
  /// The stage is SIL, because a value used after it was consumed is found only there. A file with an error of types
  /// never gets that far, so the two kinds need files of their own.
  /// - Parameter module: compiles the file as one more of this module; without one, it is a module of its own.
  func compile(_ file: URL, inside module: String?, mode: Mode) async throws -> Outcome {
    var options = ["-module-name", module ?? "Fixture", "-primary-file", file.path]
    if let module { options += try Self.sources(of: module) }
    switch mode {
    case .clean: return try await run(options + ["-warnings-as-errors"])
    case .verify:
      var outcome = try await run(options + ["-verify"])
      if Self.onlyNotesElsewhere(outcome.diagnostics, than: file) { outcome.succeeded = true }
      return outcome
    }
  }

  /// Whether all that is not as expected are notes in other files, which say where something is declared: no fixture
  /// can expect those.
  private static func onlyNotesElsewhere(_ diagnostics: String, than file: URL) -> Bool {
    let errors = diagnostics.split(separator: "\n").filter { $0.contains(": error: ") || $0.hasPrefix("error: ") }
    let notes = errors.filter {
      $0.contains(": error: unexpected note produced: ") && !$0.hasPrefix(file.path) && !$0.hasPrefix("<unknown>")
    }
    // What the compiler says in the end, whatever it was that it did not expect.
    let summary = errors.filter { $0 == "<unknown>:0: error: fatal error encountered while in -verify mode" }
    return !notes.isEmpty && notes.count + summary.count == errors.count
  }

  private func run(_ more: [String]) async throws -> Outcome {
    let output = FileManager.default.temporaryDirectory.appendingPathComponent("bauta-misuse-\(UUID().uuidString)")
    defer { try? FileManager.default.removeItem(at: output) }
    guard FileManager.default.createFile(atPath: output.path, contents: nil) else {
      throw CompilerUnavailable(description: "cannot write \(output.path)")
    }
    let process = Process()
    process.executableURL = executable
    process.arguments = arguments + more
    // Output goes through a file, so that no pipe can fill up.
    let handle = try FileHandle(forWritingTo: output)
    process.standardInput = FileHandle.nullDevice
    process.standardOutput = handle
    process.standardError = handle
    await Self.slots.take()
    do {
      try await withCheckedThrowingContinuation { (ended: CheckedContinuation<Void, any Error>) in
        process.terminationHandler = { _ in ended.resume() }
        do { try process.run() } catch { ended.resume(throwing: error) }
      }
    } catch {
      await Self.slots.giveBack()
      throw CompilerUnavailable(description: "\(executable.path) does not run: \(error)")
    }
    await Self.slots.giveBack()
    guard process.terminationReason == .exit else {
      throw CompilerUnavailable(description: "the compiler crashed: \(process.arguments ?? [])")
    }
    return Outcome(
      succeeded: process.terminationStatus == 0, diagnostics: try String(contentsOf: output, encoding: .utf8))
  }

  // MARK: - What is compiled with

  private static let package = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    .deletingLastPathComponent()

  private static func sources(of module: String) throws -> [String] {
    let folder = package.appendingPathComponent("Sources/\(module)")
    let files = try FileManager.default.subpathsOfDirectory(atPath: folder.path)
    return files.filter { $0.hasSuffix(".swift") }.sorted().map { folder.appendingPathComponent($0).path }
  }

  /// Where the compiler finds the C modules that the package's modules were built with.
  private static func clangArguments(products: URL) -> [String] {
    // products is SCRATCH/TRIPLE/CONFIGURATION.
    let checkouts = products.deletingLastPathComponent().deletingLastPathComponent()
      .appendingPathComponent("checkouts")
    var folders = children(package.appendingPathComponent("Sources"))
    for checkout in children(checkouts) {
      for target in children(checkout.appendingPathComponent("Sources")) {
        folders += [target, target.appendingPathComponent("include")]
      }
    }
    var arguments: [String] = []
    for folder in folders where exists("module.modulemap", in: folder) { arguments += ["-I", folder.path] }
    // SwiftPM writes a module map for a C target without one.
    for target in children(products) where target.pathExtension == "build" && exists("module.modulemap", in: target) {
      let map = target.appendingPathComponent("module.modulemap").path
      arguments += ["-Xcc", "-fmodule-map-file=\(map)"]
    }
    return arguments + systemHeaders()
  }

  /// Where the headers of the system's libraries are, where that is no default: nothing without pkg-config, which the
  /// build has then managed without.
  private static func systemHeaders() -> [String] {
    let process = Process()
    let output = Pipe()
    process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
    process.arguments = ["pkg-config", "--cflags-only-I", "libsodium", "openssl", "openblas", "sqlite3", "zlib"]
    process.standardInput = FileHandle.nullDevice
    process.standardOutput = output
    process.standardError = FileHandle.nullDevice
    guard (try? process.run()) != nil else { return [] }
    let text = String(decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
    process.waitUntilExit()
    return text.split(whereSeparator: \.isWhitespace).flatMap { ["-Xcc", String($0)] }
  }

  private static func exists(_ name: String, in folder: URL) -> Bool {
    FileManager.default.fileExists(atPath: folder.appendingPathComponent(name).path)
  }

  private static func children(_ folder: URL) -> [URL] {
    let names = (try? FileManager.default.contentsOfDirectory(atPath: folder.path)) ?? []
    return names.sorted().map(folder.appendingPathComponent)
  }
}

/// Lets so many through at a time.
private actor Slots {
  private var free: Int
  private var waiting: [CheckedContinuation<Void, Never>] = []

  init(count: Int) { free = count }

  func take() async {
    guard free == 0 else {
      free -= 1
      return
    }
    await withCheckedContinuation { waiting.append($0) }
  }

  func giveBack() {
    guard waiting.isEmpty else {
      waiting.removeFirst().resume()
      return
    }
    free += 1
  }
}
