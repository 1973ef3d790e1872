import Cryptography
import Federation

/// The seed of the noise of a run's trees (`privacy.tree`): in the run's directory from before its first sum until its end.
///
/// It is read anew for every sum and kept nowhere else.
extension RunStore {
  var treeSeedPath: String { directory + "/tree-seed" }

  /// Draws the seed of a run that begins, or takes the one that an earlier server drew and of which nothing was published.
  ///
  /// - Throws: ``ServerError/treeSeed(path:reason:)``.
  func makeTreeSeed(for run: RunIdentifier) throws(ServerError) {
    guard !TreeSeed.isStored(at: treeSeedPath) else {
      _ = try treeSeed(of: run)
      return
    }
    do throws(FederationError) { try TreeSeed().store(treeSeedPath, run: run) } catch { throw fault(error) }
  }

  /// The seed of a run that goes on.
  ///
  /// - Throws: ``ServerError/treeSeed(path:reason:)`` if it is missing, malformed, another run's, or can be read by others:
  ///   noise that was published is never drawn a second time.
  func treeSeed(of run: RunIdentifier) throws(ServerError) -> TreeSeed {
    do throws(FederationError) { return try TreeSeed(contentsOf: treeSeedPath, run: run) } catch { throw fault(error) }
  }

  func removeTreeSeed() throws(ServerError) {
    do throws(FederationError) { try TreeSeed.remove(treeSeedPath) } catch { throw .federation(error) }
  }

  private func fault(_ error: FederationError) -> ServerError { .treeSeed(path: treeSeedPath, reason: error.message) }
}

extension RunReport.State {
  /// Whether nothing of the run is to come any more.
  var isFinal: Bool {
    switch self {
    case .queued, .running, .interrupted: false
    case .completed, .stopped, .failed, .cancelled, .budgetSpent: true
    }
  }
}
