import Foundation
import Testing

/// The systemd units that are printed are ones that systemd takes.
@Suite struct UnitTests {
  @Test("Units are closed, name what they start, and are valid", arguments: ["server", "client"])
  func units(_ service: String) async throws {
    let runner = try SessionRunner()
    defer { runner.remove() }
    let data = service == "client" ? "--data data.csv" : ""
    let made = try await runner.run("bauta \(service) unit \(data) --directory . --user nobody > bauta-unit.service")
    try #require(made.status == 0, "\(made.errors)")
    let unit = try String(contentsOfFile: "\(runner.directory)/bauta-unit.service", encoding: .utf8)
    let directory = URL(fileURLWithPath: runner.directory).resolvingSymlinksInPath().path
    for line in ["ReadWritePaths=\(directory)", "NoNewPrivileges=yes", "CapabilityBoundingSet=", "User=nobody"] {
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
