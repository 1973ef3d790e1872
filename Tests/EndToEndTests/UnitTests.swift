import Foundation
import Testing

/// The systemd units that are printed are ones that systemd takes.
@Suite struct UnitTests {
  private static func isThere(_ tool: String) -> Bool {
    ["/usr/bin", "/bin", "/usr/local/bin"].contains { FileManager.default.isExecutableFile(atPath: "\($0)/\(tool)") }
  }

  /// A call that the filter does not allow ends the service, so what a whole federation calls is held against it.
  @Test(
    "The filter of system calls lets server and clients work",
    .enabled(if: isThere("strace") && isThere("systemd-analyze"), "strace or systemd-analyze is missing"))
  func systemCalls() async throws {
    let runner = try SessionRunner()
    defer { runner.remove() }
    let traced = try await runner.run(
      "timeout 100 strace -f -qq -e signal=none -o trace bauta demo --rounds 1 --organizations 3 --directory demo")
    try #require(traced.status == 0, "\(traced.errors)")
    let unit = try await runner.run("bauta server unit --directory . --user nobody")
    let filters = unit.output.split(separator: "\n").filter { $0.hasPrefix("SystemCallFilter=") }
      .map { $0.dropFirst("SystemCallFilter=".count) }
    var allowed: Set<String> = []
    for filter in filters {
      let isTaken = filter.hasPrefix("~")
      for set in filter.drop(while: { $0 == "~" }).split(separator: " ") {
        let calls = try await Self.calls(in: String(set), runner)
        if isTaken { allowed.subtract(calls) } else { allowed.formUnion(calls) }
      }
    }
    let trace = try String(contentsOfFile: "\(runner.directory)/trace", encoding: .utf8)
    let made = Self.calls(inTrace: trace)
    #expect(made.contains("accept") && made.contains("fsync") && made.count > 30, "\(made)")
    #expect(made.subtracting(allowed).isEmpty, "\(made.subtracting(allowed).sorted())")
  }

  /// The calls in what `strace -f -o` writes: THREAD NAME(ARGUMENTS, or THREAD <... NAME resumed>.
  ///
  /// A thread that ends with its process as it enters a call has not made it, and is gone when strace asks which it is:
  /// `???(`. Without a name and with a result is another matter.
  private static func calls(inTrace trace: String) -> Set<String> {
    var made: Set<String> = []
    var ending: Set<Substring> = []
    for line in trace.split(separator: "\n") {
      let thread = line.prefix { $0 != " " }
      let text = line.dropFirst(thread.count).drop { $0 == " " }
      let isWithoutResult = ["<unfinished ...>", "= ?", "= ? <unavailable>"].contains { text.hasSuffix($0) }
      if ending.remove(thread) != nil, !isWithoutResult { made.insert("???") }
      let name = text.prefix { $0 != "(" }
      guard name.count < text.count, !name.contains(" ") else { continue }
      if name == "???" || name == "????", isWithoutResult { ending.insert(thread) } else { made.insert(String(name)) }
    }
    return made
  }

  @Test("What a trace says was called")
  func traces() {
    let trace = """
      41 execve("/usr/bin/bauta", ["bauta"], 0x7ffe /* 9 vars */) = 0
      41 write(1, "a (b)", 5 <unfinished ...>
      1042  ???( <unfinished ...>
      41 <... write resumed>)  = 5
      1042  <... ??? resumed>) = ?
      1043  ???() = ? <unavailable>
      41 exit_group(0) = ?
      """
    #expect(Self.calls(inTrace: trace) == ["execve", "write", "exit_group"])
    for line in ["1042  <... ??? resumed>) = 3", "1042  ???() = -1 EPERM (Operation not permitted)"] {
      #expect(Self.calls(inTrace: "1042  ???( <unfinished ...>\n\(line)") == ["???"])
    }
  }

  /// A set of systemd's, with the sets in it.
  private static func calls(in set: String, _ runner: SessionRunner) async throws -> Set<String> {
    guard set.hasPrefix("@") else { return [set] }
    let listed = try await runner.run("systemd-analyze --no-pager syscall-filter \(set)")
    try #require(listed.status == 0, "\(listed.errors)")
    var calls: Set<String> = []
    for line in listed.output.split(separator: "\n").dropFirst() {
      let word = line.trimmingCharacters(in: .whitespaces)
      guard !word.isEmpty, !word.hasPrefix("#") else { continue }
      calls.formUnion(try await Self.calls(in: word, runner))
    }
    return calls
  }

  @Test("Units are closed, name what they start, and are valid", arguments: ["server", "client"])
  func units(_ service: String) async throws {
    let runner = try SessionRunner()
    defer { runner.remove() }
    let data = service == "client" ? "--data data.csv" : ""
    let made = try await runner.run("bauta \(service) unit \(data) --directory . --user nobody > bauta-unit.service")
    try #require(made.status == 0, "\(made.errors)")
    let unit = try String(contentsOfFile: "\(runner.directory)/bauta-unit.service", encoding: .utf8)
    let directory = URL(fileURLWithPath: runner.directory).resolvingSymlinksInPath().path
    for line in [
      "StartLimitBurst=2", "ReadWritePaths=\(directory)", "NoNewPrivileges=yes", "CapabilityBoundingSet=",
      "User=nobody",
    ] {
      #expect(unit.split(separator: "\n").contains(Substring(line)), "\(line): \(unit)")
    }
    let start = try #require(unit.split(separator: "\n").first { $0.hasPrefix("ExecStart=") })
    #expect(start.contains(service == "client" ? "/bauta client --stay --data \(directory)/data.csv" : "/bauta server"))
    // Where systemd is installed it says what it thinks of it; without it only the lines above are held.
    let verified = try await runner.run(
      "command -v systemd-analyze > /dev/null || exit 0; systemd-analyze verify ./bauta-unit.service")
    #expect(verified.status == 0, "\(verified.errors)")
    let quoted = try await runner.run(
      "mkdir 'a b'; bauta \(service) unit \(data) --directory 'a b'; echo $?; "
        + "bauta \(service) unit \(data) --user 'root;x'; echo $?")
    #expect(quoted.output == "2\n2\n", "\(quoted.output) \(quoted.errors)")
  }
}
