import Cryptography
import TransparencyLog

/// Which witnesses have cosigned which checkpoint of the log.
extension LogVerification {
  /// A checkpoint, and who has cosigned it.
  private struct Cosigned {
    let file: String
    let size: UInt64
    /// Witnesses of the policy whose cosignature is valid.
    var cosigners: [NoteKeyName] = []
    /// Others who have signed something in the form of a cosignature.
    var strangers: [NoteKeyName] = []
  }

  /// Reads `checkpoint.cosigned`, before the entries are: the root at its size is computed along with the other.
  mutating func readCosignedCheckpoint() {
    let place = LogLayout.cosignedCheckpoint
    do throws(TransparencyLogError) {
      guard let found = try tiles.checkpoint(named: place) else { return }
      // Without a key nothing is authentic; the check of the checkpoint says so.
      guard let keyText else { return }
      let key = try NoteVerifierKey<LogKeyRole>(keyText)
      guard found.checkpoint.origin.utf8.elementsEqual(key.name.value.utf8), found.status(of: key) == .valid else {
        cosignedFailure = .init(place, "not a checkpoint signed by \(key.name), key \(key.id)")
        return
      }
      cosigned = found
    } catch { cosignedFailure = .init(place, error.message) }
  }

  /// Cosignatures of either checkpoint. One of an unknown witness is mentioned, and counts for nothing.
  ///
  /// - Parameter earlierRoot: what the journal's entries give at the size of `checkpoint.cosigned`.
  mutating func checkCosignatures(_ policy: CosignerPolicy?, earlierRoot: TreeHash?) {
    if let failure = earlierFailure(root: earlierRoot) {
      cosigned = nil
      note(.cosignatures, .failed, at: failure.at, detail: failure.detail)
    }
    guard let policy else {
      note(
        .cosignatures, .notChecked,
        detail: "no witnesses were named: that no other history was shown to others is not checked")
      return
    }
    guard let checkpoint, isAuthentic else {
      note(.cosignatures, .notChecked, detail: "there is no authentic checkpoint")
      return
    }
    var failures = FailureList()
    var best = cosigners(of: checkpoint, in: LogLayout.checkpoint, policy, &failures)
    if let cosigned {
      let earlier = cosigners(of: cosigned, in: LogLayout.cosignedCheckpoint, policy, &failures)
      // The checkpoint covers more, and is the better one if as many have cosigned it as are asked for.
      if best.cosigners.count < max(policy.quorum, 1), earlier.cosigners.count > best.cosigners.count { best = earlier }
    }
    let detail = text(of: best, policy)
    if best.cosigners.count < policy.quorum { failures.append(.init(best.file, detail)) }
    guard failures.count > 0 || !best.cosigners.isEmpty else {
      note(.cosignatures, .notChecked, detail: detail)
      return
    }
    conclude(.cosignatures, failures, passed: detail)
  }

  /// Why `checkpoint.cosigned` is not the beginning of this log; nil if it is, or is not there.
  private func earlierFailure(root: TreeHash?) -> VerificationFailure? {
    if let cosignedFailure { return cosignedFailure }
    guard let found = cosigned?.checkpoint else { return nil }
    let published = checkpoint?.checkpoint.size ?? 0
    if found.size > published {
      return .init(
        LogLayout.cosignedCheckpoint,
        "\(counted(found.size, "entry was", "entries were")) cosigned and \(published) are under the checkpoint: the log was put back"
      )
    }
    if root != found.root {
      return .init(
        LogLayout.cosignedCheckpoint,
        "its root is not that of the first \(found.size): another history of this log was cosigned")
    }
    return nil
  }

  private func cosigners(
    of checkpoint: SignedCheckpoint, in file: String, _ policy: CosignerPolicy, _ failures: inout FailureList
  ) -> Cosigned {
    var found = Cosigned(file: file, size: checkpoint.checkpoint.size)
    // One key under two names, or named twice, counts once.
    var counted: Set<WitnessVerifyingKey> = []
    for witness in policy.witnesses {
      switch checkpoint.cosignature(by: witness) {
      case .valid: if counted.insert(witness.key).inserted { found.cosigners.append(witness.name) }
      case .absent: break
      case .invalid:
        failures.append(.init(file, "the cosignature of \(witness.name), key \(witness.id), is not valid"))
      }
    }
    found.strangers = checkpoint.cosignatures.filter { line in
      !policy.witnesses.contains { $0.name == line.name && $0.id == line.keyID }
    }.map(\.name)
    return found
  }

  private func text(of found: Cosigned, _ policy: CosignerPolicy) -> String {
    var text =
      "\(found.cosigners.count) of \(counted(policy.witnesses.count, "witness", "witnesses")) cosigned; "
      + "\(counted(policy.quorum, "is", "are")) needed"
    if !found.cosigners.isEmpty {
      let after = entries > found.size ? entries - found.size : 0
      text += ": \(counted(found.size, "entry", "entries")) by \(Self.list(found.cosigners))"
      if after > 0 { text += "; \(counted(after, "entry", "entries")) after that not cosigned yet" }
    }
    if !found.strangers.isEmpty {
      text += "; not counted, because it was not named here: \(Self.list(found.strangers))"
    }
    return text
  }

  private static func list(_ names: [NoteKeyName]) -> String {
    let shown = names.prefix(8).map(\.value).joined(separator: ", ")
    return names.count > 8 ? "\(shown) and \(names.count - 8) more" : shown
  }
}
