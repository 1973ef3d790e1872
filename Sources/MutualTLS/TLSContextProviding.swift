import Synchronization

/// Where a server takes the context of each handshake from: one that stays, or one that can be replaced.
///
/// Asked once for every connection, on an event loop: answer from memory.
public protocol TLSContextProviding: Sendable {
  /// The context of the next handshake. Its role never changes.
  var current: TLSContext { get }
}

extension TLSContext: TLSContextProviding {
  public var current: TLSContext { self }
}

/// A context that can be replaced while the server runs: a renewed certificate, another key, another authority.
///
/// A replacement governs handshakes that begin after it. Connections made before stay as they are; close those that
/// it would not accept with ``MutualTLSServerTransport/disconnectPeers(refusedBy:)``.
public final class ReloadableTLSContext: TLSContextProviding {
  private let context: Mutex<TLSContext>

  public init(_ context: TLSContext) { self.context = Mutex(context) }

  public var current: TLSContext { context.withLock { $0 } }

  /// - Precondition: `context` has the role of the one it replaces.
  public func replace(with context: TLSContext) {
    precondition(context.role == current.role, "a replacement has the role of what it replaces")
    self.context.withLock { $0 = context }
  }
}
