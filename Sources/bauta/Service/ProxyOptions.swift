import ArgumentParser
import Cryptography
import FederationClient
import Foundation
import MutualTLS

/// `--proxy` and its credentials.
struct ProxyOptions: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "HTTP proxy through which the server is reached, instead of the environment's HTTPS_PROXY.",
      valueName: "http://host:port"))
  var proxy: String?

  @Option(
    help: ArgumentHelp(
      "Descriptor from which USER:PASSWORD for the proxy is read, as in 3<credentials.", valueName: "number"))
  var proxyCredentialsFd: Int32?

  /// - Throws: ``CommandError/usage(_:remedy:)``.
  func selection() throws -> ProxySelection? {
    let credentials = try proxyCredentialsFd.map { try DescriptorCredentials.read($0) }
    do throws(ProxySelection.Problem) {
      let selection = try ProxySelection.choose(
        option: proxy, environment: ProcessInfo.processInfo.environment, credentials: credentials)
      guard selection != nil || credentials == nil else {
        throw .malformed(origin: "--proxy-credentials-fd, without --proxy,")
      }
      return selection
    } catch { throw CommandError.usage(error.message, remedy: error.remedy) }
  }
}

/// `USER:PASSWORD` from a descriptor, into guarded memory. A line break at the end does not count.
enum DescriptorCredentials {
  private static let maximumBytes = 1300

  static func read(_ descriptor: Int32) throws -> ProxyCredentials {
    var space = SecretBytes(count: maximumBytes)
    var count = 0
    var failure: Int32?
    space.withUnsafeMutableBytes { bytes in
      while count < bytes.count {
        let read = Foundation.read(descriptor, bytes.baseAddress?.advanced(by: count), bytes.count - count)
        if read < 0, errno == EINTR { continue }
        if read < 0 { failure = errno }
        guard read > 0 else { break }
        count += read
      }
    }
    if let failure {
      throw CommandError.unreadable(path: "descriptor \(descriptor)", reason: String(cString: strerror(failure)))
    }
    if descriptor > STDERR_FILENO { close(descriptor) }
    guard count < maximumBytes, let credentials = split(space, count) else {
      throw CommandError.unsuitable(
        path: "descriptor \(descriptor)", problem: "it does not hold USER:PASSWORD on one line",
        remedy: "Write the user, a colon and the password to a file that only you can read, and give it as 3<FILE.")
    }
    return credentials
  }

  private static func split(_ space: borrowing SecretBytes, _ count: Int) -> ProxyCredentials? {
    space.withUnsafeBytes { bytes -> ProxyCredentials? in
      var line = bytes[..<count]
      while line.last == 0x0A || line.last == 0x0D { line = line.dropLast() }
      guard let colon = line.firstIndex(of: UInt8(ascii: ":")),
        let user = String(validating: line[..<colon], as: UTF8.self)
      else { return nil }
      let rest = UnsafeRawBufferPointer(rebasing: line[(colon + 1)...])
      guard !rest.isEmpty else { return nil }
      var password = SecretBytes(count: rest.count)
      password.withUnsafeMutableBytes { $0.copyMemory(from: rest) }
      return ProxyCredentials(user: user, password: password)
    }
  }
}
