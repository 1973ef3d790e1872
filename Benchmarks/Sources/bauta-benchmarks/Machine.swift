import Foundation

/// What ran the benchmarks. No names of hosts or users.
enum Machine {
  static var cores: Int { ProcessInfo.processInfo.activeProcessorCount }

  static func section(command: String) -> Section {
    var section = Section(title: "Machine", columns: ["what", "value"])
    section.rows = [
      ["processor", processor],
      ["cores", "\(cores)"],
      ["instructions", instructions],
      ["memory", Figure.bytes(Double(ProcessInfo.processInfo.physicalMemory))],
      ["system", system],
      ["compiler", output(of: ["swift", "--version"]).first ?? "unknown"],
      ["OpenSSL, linked", library("OpenSSL_version", argument: 0)],
      ["OpenSSL, reference", output(of: ["openssl", "version"]).first ?? "unknown"],
      ["libsodium", library("sodium_version_string")],
      ["load when begun", load],
      ["date", Date.now.formatted(.iso8601.year().month().day())],
      ["command", command],
    ]
    return section
  }

  private static var processor: String { cpuInfo("model name") ?? "unknown" }

  /// Those that the cipher and the hash use.
  private static var instructions: String {
    let flags = Set((cpuInfo("flags") ?? "").split(separator: " ").map(String.init))
    let known = ["aes", "vaes", "avx2", "avx512f", "sha_ni"].filter { flags.contains($0) }
    return known.isEmpty ? "unknown" : known.joined(separator: " ")
  }

  private static func cpuInfo(_ field: String) -> String? {
    let text = (try? String(contentsOfFile: "/proc/cpuinfo", encoding: .utf8)) ?? ""
    for line in text.split(separator: "\n") where line.hasPrefix(field) {
      let parts = line.split(separator: ":", maxSplits: 1)
      return parts.count == 2 ? parts[1].trimmingCharacters(in: .whitespaces) : nil
    }
    return nil
  }

  private static var system: String {
    var name = utsname()
    uname(&name)
    func text<Field>(_ field: Field) -> String {
      withUnsafeBytes(of: field) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
    }
    // The release may name a host's own build; its numbers are enough.
    let release = text(name.release).prefix { $0.isNumber || $0 == "." }
    return "\(text(name.sysname)) \(release), \(text(name.machine))"
  }

  private static var load: String {
    var averages = [0.0, 0.0, 0.0]
    return getloadavg(&averages, 3) == 3 ? Figure.decimals(averages[0], 2) : "unknown"
  }

  /// What a function of a linked library says of its version.
  private static func library(_ function: String, argument: Int32 = 0) -> String {
    typealias Version = @convention(c) (Int32) -> UnsafePointer<CChar>?
    guard let symbol = dlsym(dlopen(nil, RTLD_NOW), function),
      let text = unsafeBitCast(symbol, to: Version.self)(argument)
    else { return "unknown" }
    return String(cString: text)
  }

  private static func output(of command: [String]) -> [String] { (try? ChildProcess.lines(of: command)) ?? [] }
}

/// Why a benchmark cannot be run.
enum BenchmarkError: Error, CustomStringConvertible {
  case childFailed(command: String, status: Int32)
  case noFigure(command: String)
  case wrongSum
  case connection(step: String, reason: String)
  case bytesLost(sent: Int, received: Int)

  var description: String {
    switch self {
    case .childFailed(let command, let status): "'\(command)' ended with status \(status)."
    case .noFigure(let command): "'\(command)' printed no figure that is understood."
    case .wrongSum: "A secure sum is not the sum of the terms: its time means nothing."
    case .connection(let step, let reason): "The connection cannot be measured: \(step): \(reason)."
    case .bytesLost(let sent, let received): "Of \(sent) bytes \(received) arrived: their time means nothing."
    }
  }
}

/// Programs that are waited for.
enum ChildProcess {
  /// Standard output of a program found on the path.
  static func lines(of command: [String]) throws -> [String] {
    try lines(of: URL(fileURLWithPath: "/usr/bin/env"), arguments: command, name: command.joined(separator: " "))
  }

  /// Standard output of this program with other arguments.
  static func linesOfSelf(_ arguments: [String]) throws -> [String] {
    try lines(
      of: URL(fileURLWithPath: "/proc/self/exe").resolvingSymlinksInPath(), arguments: arguments,
      name: arguments.joined(separator: " "))
  }

  private static func lines(of program: URL, arguments: [String], name: String) throws -> [String] {
    let process = Process()
    let pipe = Pipe()
    process.executableURL = program
    process.arguments = arguments
    process.standardOutput = pipe
    // `openssl speed` tells its progress there.
    process.standardError = FileHandle.nullDevice
    try process.run()
    let output = try pipe.fileHandleForReading.readToEnd() ?? Data()
    process.waitUntilExit()
    guard process.terminationStatus == 0 else {
      throw BenchmarkError.childFailed(command: name, status: process.terminationStatus)
    }
    return String(decoding: output, as: UTF8.self).split(separator: "\n").map(String.init)
  }
}

/// AES-256-CTR as `openssl speed` measures it on this machine: what our rates are compared with.
enum CipherReference {
  /// Bytes of one call of the cipher; of the sizes that `openssl speed` knows the one with the highest rate.
  private static let blockByteCount = 16384

  /// Bytes per second: of processor time for one core, of wall time for as many processes as cores.
  static func bytesPerSecond(cores: Int) throws -> Double {
    var command = ["openssl", "speed", "-mr", "-evp", "aes-256-ctr", "-bytes", "\(blockByteCount)", "-seconds", "1"]
    if cores > 1 { command += ["-multi", "\(cores)", "-elapsed"] }
    // +F:25:AES-256-CTR:8378013013.33, after the same of each process behind other words.
    let lines = try ChildProcess.lines(of: command)
    let fields = lines.last { $0.hasPrefix("+F:") }?.split(separator: ":") ?? []
    guard fields.count == 4, let rate = Double(fields[3]), rate > 0 else {
      throw BenchmarkError.noFigure(command: command.joined(separator: " "))
    }
    return rate
  }
}
