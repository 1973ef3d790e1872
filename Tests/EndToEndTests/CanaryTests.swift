import Federation
import FederationClient
import FederationWire
import Foundation
import Synchronization
import Testing

@testable import FederationServer

/// Values planted in one organisation's data, keys, passphrase and environment, and looked for afterwards in everything
/// that any party has written, shown or been sent.
@Suite(.serialized, .timeLimit(.minutes(3)))
struct CanaryTests {
  /// Read back from where they were planted, so that the search is known to find them.
  private static let numbers: [Double] = [
    73_914_682.537_19, 58_203_947.612_83, 91_736_450.284_67, 46_028_193.751_52, 0.836_491_725_011_3,
    271_828.459_045_235_7,
  ]
  private static let token = "canary-token-Vq9XtR2mZp7LwKd4"
  private static let passphrase = "canary passphrase Hn3sBf8YcJ6u"
  private static let folder = "canary-folder-Ty5GdW1oQe"

  @Test("A canary is found in every form in which it could be somewhere")
  func formsAreFound() throws {
    let secret: [UInt8] = (0..<32).map { UInt8(truncatingIfNeeded: $0 &* 37 &+ 201) }
    for canary in [
      Canary("bytes", bytes: secret), Canary("number", number: Self.numbers[0]), Canary("text", text: Self.token),
    ] {
      #expect(canary.found(in: Data("nothing here".utf8)).isEmpty)
      for form in canary.forms {
        #expect(!canary.found(in: Data([1, 2, 3] + form.bytes + [4])).isEmpty, "\(form.form)")
      }
      for before in 0..<4 {
        let long = Data([UInt8](repeating: 0xA5, count: before) + canary.forms[0].bytes + [0x5A, 0xFF])
        #expect(!canary.found(in: Data(long.base64EncodedString().utf8)).isEmpty, "base64 after \(before)")
      }
    }
  }

  @Test("Nothing planted in data, keys, passphrase, environment or paths is in a log, tile, report, status or message")
  func nothingLeaks() async throws {
    let runner = try SessionRunner()
    defer { runner.remove() }
    _ = try await FederationRunTests.demonstrate("--rounds 1 --organizations 4", in: runner)
    let demo = "\(runner.directory)/demo"
    try await plant(runner)
    let canaries = try self.canaries(demo)

    let sent = Mutex<[[UInt8]]>([])
    var settings = RunServer.Settings(patience: .seconds(60))
    settings.inspect = { _, bytes in sent.withLock { $0.append(bytes) } }
    let server = try RunServer(directory: "\(demo)/hub", plan: "\(demo)/plan.yaml", settings: settings)
    let events = Mutex<[String]>([])
    async let serving = server.serve { event in events.withLock { $0.append("\(event)") } }
    let outcome = try await runner.run(
      """
      for name in birch cedar dogwood; do
        bauta client --directory demo/$name --data demo/$name/data.csv --patience 60 > $name.out 2> $name.err & done
      API_TOKEN='\(Self.token)' AWS_SECRET_ACCESS_KEY='\(Self.token)' bauta client --directory demo/alder \
        --data planted/\(Self.folder)/data.csv --patience 60 --passphrase-fd 3 3< planted/passphrase > alder.out 2> alder.err
      echo "alder $?"; wait
      """)
    #expect(outcome.output.contains("alder 0"), "\(outcome.output) \(outcome.errors)")
    #expect(try await serving.state == .completed)
    try await view(runner)
    for (number, bytes) in sent.withLock({ $0 }).enumerated() {
      try Data(bytes).write(to: URL(fileURLWithPath: "\(runner.directory)/views/received-\(number)"))
    }
    #expect(sent.withLock { $0.count } > 30)
    let said = events.withLock { $0.joined(separator: "\n") }
    try said.write(toFile: "\(runner.directory)/views/events", atomically: false, encoding: .utf8)

    let files = try LifecycleFederation.files(runner.directory)
    let searched = files.filter { !Self.isSource($0.key) }
    for part in [
      "demo/alder/log/journal", "demo/hub/log/journal", "demo/alder/state.sqlite", "report.json", "views/",
      "tile/entries/",
    ] {
      #expect(searched.keys.contains { $0.contains(part) }, "\(part) is not among what is searched")
    }
    // Found where they were planted …
    let sources = files.filter { Self.isSource($0.key) }
    for canary in canaries where canary.name != "folder" && canary.name != "token" {
      #expect(sources.contains { !canary.found(in: $0.value).isEmpty }, "\(canary.name) was not planted")
    }
    // … and nowhere else. The organisation's own state knows its data by their path, and is shown to nobody.
    let search = CanarySearch(canaries)
    let searchOfState = CanarySearch(canaries.filter { $0.name != "folder" })
    for (path, bytes) in searched.sorted(by: { $0.key < $1.key }) {
      let isOwnState = path.hasPrefix("demo/alder/state.sqlite")
      let found = (isOwnState ? searchOfState : search).found(in: bytes) + search.found(in: Data(path.utf8))
      #expect(found.isEmpty, "\(path): \(found)")
    }
    let last = try String(contentsOfFile: "\(demo)/alder/log/journal", encoding: .utf8)
    #expect(last.contains("maskedInput"))
  }

  /// Where canaries are on purpose: what was planted, and the organisation's own private keys.
  private static func isSource(_ path: String) -> Bool {
    path.hasPrefix("planted/") || (path.hasPrefix("demo/alder/") && path.hasSuffix(".key"))
  }

  /// Rows with the numbers in them, in a folder with a name of its own; a passphrase on the TLS key.
  private func plant(_ runner: SessionRunner) async throws {
    let folder = "\(runner.directory)/planted/\(Self.folder)"
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    var lines = try String(contentsOfFile: "\(runner.directory)/demo/alder/data.csv", encoding: .utf8)
      .split(separator: "\n").map { $0.split(separator: ",", omittingEmptySubsequences: false).map(String.init) }
    let columns = lines[0].count
    // Of either class, and enough that both parts of the split have some.
    for (index, number) in Self.numbers.enumerated() {
      for copy in 0..<4 {
        let row = 1 + (index * 4 + copy) * 7
        try #require(row < lines.count)
        lines[row][2 + (index * 5 + copy) % (columns - 2)] = "\(number)"
      }
    }
    let text = lines.map { $0.joined(separator: ",") + "\n" }.joined()
    try text.write(toFile: "\(folder)/data.csv", atomically: false, encoding: .utf8)
    try "\(Self.passphrase)\n".write(
      toFile: "\(runner.directory)/planted/passphrase", atomically: false, encoding: .utf8)
    let encrypted = try await runner.run(
      """
      openssl pkey -in demo/alder/tls.key -aes256 -passout file:planted/passphrase -out planted/tls.key \
        && openssl pkey -in demo/alder/tls.key -outform DER -out planted/tls.der && chmod 600 planted/tls.key \
        && cp -p planted/tls.key demo/alder/tls.key
      """)
    try #require(encrypted.status == 0, "\(encrypted.errors)")
  }

  private func canaries(_ demo: String) throws -> [Canary] {
    var canaries = Self.numbers.map { Canary("number \($0)", number: $0) }
    canaries.append(Canary("token", text: Self.token))
    canaries.append(Canary("passphrase", text: Self.passphrase))
    canaries.append(Canary("folder", text: Self.folder))
    for name in ["identity", "log", "witness"] {
      // The last word of the file is the seed in base64.
      let text = try String(contentsOfFile: "\(demo)/alder/\(name).key", encoding: .utf8)
      let word = try #require(text.split(whereSeparator: \.isWhitespace).last)
      let seed = try #require(Data(base64Encoded: String(word)))
      try #require(seed.count == 32)
      canaries.append(Canary("\(name) key", bytes: Array(seed)))
    }
    // The private value of a P-256 key: the octet string of 32 bytes in its DER.
    let der = try Data(contentsOf: URL(fileURLWithPath: "\(demo)/../planted/tls.der"))
    let marker = try #require(der.range(of: Data([0x02, 0x01, 0x01, 0x04, 0x20])))
    canaries.append(Canary("TLS key", bytes: Array(der[marker.upperBound..<marker.upperBound + 32])))
    return canaries
  }

  /// What the commands show of it all, to be searched like everything else.
  private func view(_ runner: SessionRunner) async throws {
    let outcome = try await runner.run(
      """
      mkdir views; run=$(ls demo/hub/runs | tail -n 1)
      for name in alder birch cedar dogwood hub; do
        bauta audit list demo/$name --json > views/list-$name; bauta audit list demo/$name > views/table-$name
        bauta audit verify demo/$name --json > views/verify-$name || echo "$name does not verify"; done
      bauta audit reconcile demo/alder demo/birch demo/cedar demo/dogwood --ingress demo/hub --json > views/reconcile
      bauta run show $run --directory demo/hub > views/run 2>&1; bauta run show $run --directory demo/hub --json > views/run.json 2>&1
      bauta client status --directory demo/alder > views/client 2>&1; bauta server status --directory demo/hub > views/server 2>&1
      bauta federation show --directory demo/hub > views/federation 2>&1; ls -lR demo/hub demo/birch > views/names
      """)
    #expect(!outcome.output.contains("does not verify"), "\(outcome.output) \(outcome.errors)")
  }
}
