import Cryptography
import Foundation
import TransparencyLog

/// Tiles and checkpoints over what was appended. Appends go on meanwhile: what is published was taken before.
extension AuditLogWriter {
  /// Writes tiles and a checkpoint over all entries; does nothing if there is one already.
  ///
  /// - Throws: `storage`; then the former checkpoint stands, and the next call tries again.
  @discardableResult
  public func publish() throws(AuditLogError) -> SignedCheckpoint {
    try publication.withLock { (_) throws(AuditLogError) in
      let checkpoint = try publishHeld(isAligned: false)
      sealIfDue()
      return checkpoint
    }
  }

  /// Publishes and lets the log go. Later calls throw `closed`; closing twice is harmless.
  ///
  /// - Throws: as `publish()`; then the log is still open.
  public func close() throws(AuditLogError) {
    try publication.withLock { (_) throws(AuditLogError) in
      if state.withLock({ $0.isClosed }) { return }
      var isClosed = false
      while !isClosed {
        try publishHeld(isAligned: false)
        sealIfDue()
        // Others may have appended meanwhile.
        isClosed = state.withLock { state in
          state.isClosed = state.unpublished == 0 && state.checkpoint != nil
          return state.isClosed
        }
      }
      journal.unlock()
    }
  }

  /// After an append: the record is on disk, so whatever fails here is not its failure.
  func publishIfDue() {
    // Whoever publishes takes what has come by then; the next append sees to the rest.
    _ = publication.withLockIfAvailable { _ in
      guard state.withLock({ $0.isPublicationDue }) else { return }
      do throws(AuditLogError) {
        try publishHeld(isAligned: true)
        sealIfDue()
      } catch { note(error) }
    }
  }

  /// Before an append, when too many entries wait.
  func publishWhatIsDue() throws(AuditLogError) {
    try publication.withLock { (_) throws(AuditLogError) in
      guard state.withLock({ $0.unpublished >= Self.maximumUnpublished }) else { return }
      do throws(AuditLogError) {
        try publishHeld(isAligned: true)
      } catch {
        note(error)
        throw error
      }
      sealIfDue()
    }
  }

  private func note(_ error: AuditLogError) {
    state.withLock { state in
      state.publicationFailure = error
      // Not at every append: it costs several operations on the disk.
      state.nextPublication = state.builder.size + Self.publicationInterval / 16
    }
  }

  /// What one publication writes.
  private struct Snapshot {
    let size: UInt64
    let root: TreeHash
    let completed: [TileContents]
    let partials: [TileContents]
  }

  /// - Parameter isAligned: leaves the entries that do not fill a bundle to the next time, and so makes fewer files.
  @discardableResult
  private func publishHeld(isAligned: Bool) throws(AuditLogError) -> SignedCheckpoint {
    let (snapshot, known) = try state.withLock {
      (state: inout State) throws(AuditLogError) -> (Snapshot, SignedCheckpoint?) in
      try Self.requireUsable(state)
      let builder = state.builder
      let isAligned = isAligned && builder.alignedSize > state.signedSize
      let snapshot = Snapshot(
        size: isAligned ? builder.alignedSize : builder.size, root: isAligned ? builder.alignedRoot : builder.root,
        completed: builder.completed, partials: isAligned ? builder.alignedPartials : builder.partials)
      return (snapshot, state.checkpoint?.checkpoint.size == snapshot.size ? state.checkpoint : nil)
    }
    if let known { return known }
    // The checkpoint may not be ahead of the journal.
    try synchronize(to: snapshot.size)
    do throws(TransparencyLogError) {
      try tiles.write(snapshot.completed + snapshot.partials)
      let checkpoint = try SignedCheckpoint.signing(
        origin: organization, size: snapshot.size, root: snapshot.root, key: logKey)
      try tiles.write(checkpoint)
      state.withLock { state in
        state.checkpoint = checkpoint
        state.builder.discardCompleted(snapshot.completed.count)
        state.publicationFailure = nil
        state.nextPublication = 0
      }
      try tiles.removePartials(of: snapshot.completed.map(\.address))
      return checkpoint
    } catch { throw .storage(error) }
  }

  /// Moves what fills segments and is under the checkpoint out of the active journal.
  ///
  /// What fails leaves the entries where they are, and is tried again at the next publication.
  private func sealIfDue() {
    let (start, signed, isUsable) = state.withLock { ($0.segmentStart, $0.signedSize, !$0.hasFailed && !$0.isClosed) }
    guard isUsable, signed >= start, signed - start >= options.segmentEntries else { return }
    let sealer = JournalSealer(directory: directory, journal: journal, step: options.step)
    do throws(AuditLogError) {
      // Appends go on meanwhile: what is copied does not change any more.
      let (segments, bytes) = try sealer.writeSegments(of: options.segmentEntries, first: start, signed: signed)
      guard let last = segments.last else { return }
      try commit.withoutSynchronizing { () throws(AuditLogError) in
        try state.withLock { (state: inout State) throws(AuditLogError) in
          do throws(AuditLogError) {
            try journal.dropBeginning(upTo: bytes, length: state.length, step: options.step)
          } catch {
            if case .storage = error {} else { state.hasFailed = true }
            throw error
          }
          state.length -= bytes
          state.segmentStart = last.last + 1
        }
      }
    } catch { state.withLock { $0.publicationFailure = error } }
  }
}
