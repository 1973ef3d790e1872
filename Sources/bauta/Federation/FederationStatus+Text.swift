import Cryptography
import Federation
import Foundation
import MutualTLS

extension FederationStatus {
  func show(_ output: Output) {
    FederationSummary.show(latest, output, rows: members.map(row))
    output.line()
    showVersions(output)
    showMembers(output)
    showOwn(output)
    if let expiry = authorities.map(\.notAfter).min() {
      output.line("Certificate authority: \(Moment.expiry(expiry)).")
    }
    showService(output)
  }

  private func row(_ member: Member) -> FederationSummary.Row {
    FederationSummary.Row(
      member: member.member,
      approval: member.revocation != nil ? .revoked : FederationSummary.Mark(member.approval),
      keys: member.statement == 0
        ? "manifest" : "statement \(member.statement)\(member.pins.next == nil ? "" : ", next announced")",
      certificate: member.certificate.map(Self.expiry))
  }

  private static func expiry(_ certificate: Certificate) -> StyledText {
    let until = "until \(Moment.end(certificate.notAfter))"
    switch CertificateState(certificate) {
    case .valid: return StyledText(until)
    case .expiresSoon: return StyledText("\(until), \(Moment.left(certificate.notAfter)): renew", .caution)
    case .expired: return StyledText("EXPIRED on \(Moment.day(certificate.notAfter))", .bad)
    case .notYetValid: return StyledText("not before \(Moment.day(certificate.notBefore))", .bad)
    }
  }

  private func showVersions(_ output: Output) {
    let version = latest.manifest.version
    if missing.isEmpty {
      output.line("\("Approved by every member.", .good) Version \(version) is in force.")
    } else {
      let names = missing.map(\.value).joined(separator: ", ")
      output.line(
        "\("Waiting for the approval of", .caution) \(names)\(isServer ? "" : ", as far as is known here").")
      if let inForce, inForce.manifest.version != version {
        output.line("Until then version \(inForce.manifest.version) is in force.")
      } else {
        output.line("No version is in force yet.")
      }
    }
    if let proposed {
      output.line(
        "\("Version \(proposed.manifest.version) is proposed:", .caution) bauta federation approve --directory \(directory)"
      )
    }
  }

  private func showMembers(_ output: Output) {
    for member in members {
      if let revocation = member.revocation {
        output.line(
          "\(member.name, .strong) is \("revoked", .bad) since \(revocation.time.prefix(10)): \(revocation.reason)")
      }
    }
    for revocation in former {
      output.line("\(revocation.name) was revoked on \(revocation.time.prefix(10)): \(revocation.reason)")
    }
    let without = members.filter { $0.hasServerPins == false && $0.revocation == nil }.map(\.name.value)
    if !without.isEmpty {
      output.line("The server's latest key statement is still to reach: \(without.joined(separator: ", ")).")
    }
  }

  private func showOwn(_ output: Output) {
    switch ownRotation {
    case .known(let rotation): show(rotation, output)
    case .interrupted:
      output.line("\("Own rotation:", .bad) the change to the next key was interrupted; \(finish)")
    case .unknown(let failure):
      output.line("\("Own rotation unknown:", .bad) \(failure.message)")
      if !failure.remedy.isEmpty { output.line("  → \(failure.remedy)") }
    }
  }

  private func show(_ rotation: OwnKeys.Rotation, _ output: Output) {
    let command = isServer ? "federation rotate-server" : "organization rotate"
    switch rotation {
    case .none, .keyMade: break
    case .announced:
      let next =
        isServer ? announced(command) : "waiting for the invitation that brings its certificate"
      output.line("\("Own rotation pending:", .caution) the next key is announced; \(next)")
    case .switched: output.line("\("Own rotation:", .caution) the next key is in use, and not stated alone; \(finish)")
    case .lost: output.line("\("Own rotation:", .bad) the announced key is not here; bauta \(command) --cancel")
    case .unpinned: output.line("\("Own key:", .bad) tls.key is not one of those that were stated.")
    }
  }

  /// What ends a rotation that was interrupted, without beginning another.
  private var finish: String {
    isServer
      ? "finish it: bauta federation rotate-server --finish --directory \(directory)"
      : "finish it with the invitation that brought the certificate: bauta federation approve INVITATION --directory \(directory)"
  }

  /// What the server's operator does next, by who has its statement.
  private func announced(_ command: String) -> String {
    let known = members.filter { !$0.isServer && $0.revocation == nil }.map(\.hasServerPins)
    if known.contains(nil) {
      return "start the server, which tells the organisations; when all have taken it: bauta \(command) --finish"
    }
    return known.contains(false)
      ? "when all organisations have taken it: bauta \(command) --finish"
      : "all organisations have taken it: bauta \(command) --finish"
  }

  private func showService(_ output: Output) {
    guard isServiceRunning else {
      output.line(isServer ? "No server runs here." : "No client runs here.")
      return
    }
    guard isServer else { return output.line("A client runs here.") }
    var text = "A server runs here"
    if let run = service?.run { text += ", in run \(run)" } else if let state = service?.state { text += ": \(state)" }
    if let connected = service?.connected {
      text += "; connected: \(connected.isEmpty ? "nobody" : connected.sorted().joined(separator: ", "))"
    }
    output.line("\(text).")
  }
}
