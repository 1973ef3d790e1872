import ArgumentParser
import MutualTLS

/// `--passphrase-fd`: what opens a key that is encrypted, or in a token.
struct PassphraseOption: ParsableArguments {
  @Option(
    name: .customLong("passphrase-fd"),
    help: ArgumentHelp(
      "Descriptor from which the key's passphrase or token's PIN is read: one line.", valueName: "n"))
  var descriptor: Int32?

  /// Reads it, once.
  ///
  /// - Throws: `CredentialError`.
  func read() throws -> Passphrase? {
    guard let descriptor else { return nil }
    return try Passphrase.read(fromDescriptor: descriptor)
  }
}

/// `--days` or `--hours`: how long a certificate is valid.
struct LifetimeOption: ParsableArguments {
  @Option(help: ArgumentHelp("Days that certificates are valid (default: 365).", valueName: "n"))
  var days: Int?

  @Option(help: ArgumentHelp("Hours instead of days, where certificates are renewed by machine.", valueName: "n"))
  var hours: Int?

  func validate() throws {
    if days != nil, hours != nil { throw ValidationError("Give --days or --hours.") }
  }

  var value: Lifetime {
    if let hours { return .hours(hours) }
    return days.map { .days($0) } ?? .standard
  }
}
