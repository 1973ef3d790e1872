import Cryptography
import Federation
import Foundation
import MutualTLS

/// Certificate, its key, its authority, and whether the others can know the key.
struct CredentialChecks {
  let findings: [Finding]

  /// Whether a handshake can only fail.
  var hasFailed: Bool { findings.contains { $0.verdict == .failed } }

  init(directory: some ParticipantDirectory, now: Date, passphrase: Passphrase? = nil) {
    findings = Self.examine(directory, now: now, passphrase)
  }

  private static func examine(
    _ directory: some ParticipantDirectory, now: Date, _ passphrase: Passphrase?
  ) -> [Finding] {
    let key: PrivateKey
    do throws(CredentialError) {
      key = try PrivateKey(loading: .resolve(keyPath: directory.tlsKeyPath), passphrase: passphrase)
    } catch { return [Finding("certificate-key", error)] }
    let findings = [Finding("certificate-key", .ok, "the private key of the certificate can be used")]
    guard FileManager.default.fileExists(atPath: directory.tlsCertificatePath) else {
      return findings + [
        Finding(
          "certificate", .failed, "there is no certificate yet",
          remedy: "With the operator's invitation: bauta federation approve INVITATION --directory \(directory.path)")
      ]
    }
    do throws(CredentialError) {
      let authorities = try Certificate.all(inFile: directory.certificateAuthorityPath)
      // Leaf first.
      let chain = try Certificate.all(inFile: directory.tlsCertificatePath)
      guard let leaf = chain.first else { throw .notACertificate(detail: "no certificate found") }
      return try findings + [certificate(leaf, of: directory, key: key), issuer(of: chain, among: authorities)]
        + dates(leaf, authorities, now: now) + [pins(leaf.publicKeyHash, of: directory)]
    } catch { return findings + [Finding("certificate", error)] }
  }

  private static func certificate(
    _ leaf: Certificate, of directory: some ParticipantDirectory, key: PrivateKey
  ) throws(CredentialError) -> Finding {
    let anew = "Put the certificate that was issued for this key back into tls.crt, or renew it with the operator."
    guard try leaf.publicKeyHash == key.publicKeyHash else {
      return Finding("certificate", .failed, "tls.crt does not belong to tls.key", remedy: anew)
    }
    guard leaf.names.contains(directory.name.value) else {
      let names = leaf.names.isEmpty ? "nobody" : leaf.names.joined(separator: ", ")
      return Finding("certificate", .failed, "tls.crt names \(names) and not \(directory.name)", remedy: anew)
    }
    guard !leaf.isAuthority else {
      return Finding("certificate", .failed, "tls.crt is the certificate of an authority", remedy: anew)
    }
    return Finding("certificate", .ok, "tls.crt belongs to tls.key and names \(directory.name)")
  }

  /// By the names in them: the signatures are checked in every handshake.
  private static func issuer(of chain: [Certificate], among authorities: [Certificate]) -> Finding {
    guard authorities.allSatisfy(\.isAuthority) else {
      return Finding(
        "certificate-authority", .failed, "ca.crt holds a certificate that is not an authority's",
        remedy: "Put the federation's authority back: the operator has it, and every invitation holds it.")
    }
    guard chain.contains(where: { certificate in authorities.contains { $0.subject == certificate.issuer } }) else {
      return Finding(
        "certificate-authority", .failed,
        "tls.crt was issued by '\(chain[0].issuer)', and ca.crt is '\(authorities.map(\.subject).joined(separator: "', '"))'",
        remedy: "Use certificate and authority of the same federation; the latest invitation holds both.")
    }
    return Finding("certificate-authority", .ok, "tls.crt names the authority in ca.crt as its issuer")
  }

  private static func dates(_ leaf: Certificate, _ authorities: [Certificate], now: Date) -> [Finding] {
    [Self.dates("certificate-dates", "tls.crt", leaf, now: now)]
      + authorities.map { Self.dates("authority-dates", "ca.crt", $0, now: now) }
  }

  private static func dates(_ check: String, _ file: String, _ certificate: Certificate, now: Date) -> Finding {
    func day(_ date: Date) -> String { date.formatted(.iso8601) }
    let renew = "Renew it with the operator in time: a client that runs takes the new one by itself."
    switch certificate.expiry(at: now) {
    case .notYetValid(let date):
      return Finding(
        check, .failed, "\(file) is not valid before \(day(date)); this machine's clock says \(day(now))",
        remedy: "Check this machine's clock; if it is right, the certificate was issued with a wrong one.")
    case .expired(let date):
      return Finding(
        check, .failed, "\(file) expired on \(day(date)); this machine's clock says \(day(now))",
        remedy: "If the clock is right, renew the certificate with the operator.")
    case .expiresSoon(let time):
      return Finding(
        check, .warning, "\(file) expires in \(Int(time / 86_400)) days, on \(day(certificate.notAfter))", remedy: renew
      )
    case .valid(let days): return Finding(check, .ok, "\(file) is valid for another \(days) days")
    }
  }

  private static func pins(_ key: CertificateKeyHash, of directory: some ParticipantDirectory) -> Finding {
    do throws(FederationError) {
      guard let manifest = try directory.manifest() else {
        return Finding("certificate-pins", .skipped, "there is no manifest that could name the certificate's key")
      }
      let membership = try Membership(directory)
      let isStated = try directory.pins(under: manifest.manifest).pins(of: directory.name)?.accepted.contains(key)
      if membership.pinnedHere.contains(key) || isStated == true {
        return Finding("certificate-pins", .ok, "the members know the key of tls.crt")
      }
      return Finding(
        "certificate-pins", .failed,
        "neither the manifest nor this organisation's own statement names the key of tls.crt",
        remedy: "Announce it: bauta organization rotate --directory \(directory.path)")
    } catch { return Finding("certificate-pins", error) }
  }
}
