import Federation
import Foundation
import Testing

/// A federation of four organisations whose server and clients run as services, in processes of their own.
struct ServiceFixture {
  static let organizations = ["alder", "birch", "cedar", "dogwood"]

  let runner: SessionRunner

  /// - Parameters:
  ///   - rounds: of the plan.
  ///   - deadlines: the plan's, in the order of the file.
  init(rounds: Int, deadlines: String = "accept: 20s, fit: 60s, step: 60s, reconnect: 5s") async throws {
    runner = try SessionRunner()
    _ = try await FederationRunTests.demonstrate("--rounds 1 --organizations 4", in: runner)
    let path = "\(runner.directory)/demo/plan.yaml"
    var lines = try String(contentsOfFile: path, encoding: .utf8).split(
      separator: "\n", omittingEmptySubsequences: false)
    // Flow style in one line takes the place of the block.
    let first = try #require(lines.firstIndex { $0.hasPrefix("deadlines:") })
    lines.removeSubrange(first...(first + 4))
    lines.insert("deadlines: {\(deadlines)}", at: first)
    let index = try #require(lines.firstIndex { $0.hasPrefix("rounds:") })
    lines[index] = "rounds: \(rounds)"
    try lines.joined(separator: "\n").write(toFile: path, atomically: true, encoding: .utf8)
    try Self.prelude.write(toFile: "\(runner.directory)/services.sh", atomically: true, encoding: .utf8)
  }

  func remove() { runner.remove() }

  /// Runs shell lines that can use the functions below, and ends every service that they began.
  func run(_ script: String) async throws -> SessionRunner.Outcome {
    try await runner.run(". ./services.sh; trap stop_all EXIT; \(script)")
  }

  /// The server's events so far, one JSON object each.
  func events() throws -> [String] {
    try String(contentsOfFile: "\(runner.directory)/hub.jsonl", encoding: .utf8).split(separator: "\n")
      .map(String.init)
  }

  func reports() throws -> [RunReport] {
    let runs = "\(runner.directory)/demo/hub/runs"
    return try FileManager.default.contentsOfDirectory(atPath: runs).filter { !$0.hasPrefix(".") }.sorted()
      .map { try RunReport(contentsOf: "\(runs)/\($0)/report.json") }
  }

  /// Verifies all logs, and holds those of the organisations against the server's.
  func audit() async throws -> SessionRunner.Outcome {
    let directories = Self.organizations.map { "demo/\($0)" }.joined(separator: " ")
    return try await runner.run(
      "bauta audit verify \(directories) demo/hub --manifest demo/hub/federation.note && "
        + "bauta audit reconcile \(directories) --ingress demo/hub")
  }

  private static let prelude = """
    server() { listened=$(grep -c '"listening"' hub.jsonl)
      bauta server --directory demo/hub --json "$@" >> hub.jsonl 2>> hub.err & echo $! > hub.pid
      happens '"listening"' "$listened"; }
    client() { bauta client --stay --directory demo/$1 --data demo/$1/data.csv >> $1.out 2>> $1.err & echo $! > $1.pid; }
    clients() { for name in \(organizations.joined(separator: " ")); do client $name; done; }
    # Waits until more than $2 events match $1; a minute and a half at least.
    happens() { for i in $(seq 9000); do [ "$(grep -c -- "$1" hub.jsonl)" -gt "${2:-0}" ] && return 0; sleep 0.01; done
      echo "never: $1"; return 1; }
    # Waits until a file has a line like $1; a minute and a half at least.
    shows() { for i in $(seq 9000); do grep -q -- "$1" $2 2> /dev/null && return 0; sleep 0.01; done; echo "never: $1"; }
    stop() { kill -${2:-TERM} $(cat $1.pid) 2> /dev/null; wait $(cat $1.pid) 2> /dev/null; echo "$1 $?"; rm -f $1.pid; }
    stop_all() { for file in *.pid; do [ -e "$file" ] && kill $(cat $file) 2> /dev/null; done; wait; }
    touch hub.jsonl

    """
}
