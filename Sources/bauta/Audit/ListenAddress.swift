import ArgumentParser

/// Where to listen: `HOST:PORT`, with port 0 for one that is free.
struct ListenAddress: ExpressibleByArgument, Sendable {
  let host: String
  let port: Int

  init(host: String, port: Int) {
    self.host = host
    self.port = port
  }

  init?(argument: String) {
    guard argument.utf8.count <= 320, let colon = argument.lastIndex(of: ":") else { return nil }
    let digits = argument[argument.index(after: colon)...]
    guard let port = UInt16(digits), String(port) == digits else { return nil }
    var host = argument[..<colon]
    let isBracketed = host.hasPrefix("[") && host.hasSuffix("]")
    if isBracketed { host = host.dropFirst().dropLast() }
    let isAllowed = host.utf8.allSatisfy { byte in
      switch byte {
      case 0x30...0x39, 0x41...0x5A, 0x61...0x7A, 0x2D, 0x2E: true
      case _: isBracketed && byte == 0x3A
      }
    }
    guard !host.isEmpty, isAllowed else { return nil }
    self.init(host: String(host), port: Int(port))
  }

  var defaultValueDescription: String { "\(host):\(port)" }
}
