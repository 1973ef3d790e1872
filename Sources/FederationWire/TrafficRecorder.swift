public import AuditLog
import Cryptography
public import MutualTLS

/// Puts on record what was written to connections that this side made: on their way, and at their end.
///
/// Counts come from event loops, which must not wait for a disk: records are appended without waiting for it, and the
/// next message's record brings them to disk before anything is sent. A connection whose process ends before its last
/// count is on record is reported as unaccounted past the one before.
public struct TrafficRecorder: EgressObserver {
  private let log: AuditLogWriter
  private let federation: String

  public init(log: AuditLogWriter, federation: String) {
    self.log = log
    self.federation = federation
  }

  public func traffic(_ report: EgressReport) {
    var draft = AuditRecord.Draft(report.isFinal ? .connectionClosed : .connectionTraffic)
    draft.federation = federation
    draft.destination = .init(
      name: report.peer?.name, address: report.remoteAddress, tlsPeer: report.peer?.fingerprint,
      exporter: report.peer.flatMap { try? SHA256Digest(hexadecimal: $0.exporter) })
    draft.traffic = AuditRecord.Traffic(report.traffic)
    if let fault = report.fault {
      draft.outcome = .refused
      draft.error = .init(fault)
    }
    // A log that cannot be written stops the next message, which cannot be recorded either.
    _ = try? log.append(draft, durable: false, publishing: false)
  }
}

extension AuditRecord.Traffic {
  init(_ traffic: EgressTraffic) {
    var frames: [Frame: Count] = [:]
    for (type, count) in traffic.frames { frames[Frame(type)] = Count(frames: count.frames, bytes: count.bytes) }
    self.init(
      plaintextBytes: traffic.plaintextByteCount, frames: frames, headerLists: traffic.headerListCount,
      headersSHA256: traffic.headerDigest)
  }
}

extension AuditRecord.Traffic.Frame {
  fileprivate init(_ type: EgressTraffic.FrameType) {
    self =
      switch type {
      case .data: .data
      case .headers: .headers
      case .rstStream: .rstStream
      case .settings: .settings
      case .ping: .ping
      case .goAway: .goAway
      case .windowUpdate: .windowUpdate
      }
  }
}
