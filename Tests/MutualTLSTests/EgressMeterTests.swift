import Cryptography
import GRPCCore
import Testing

@testable import MutualTLS

extension Recorder: EgressObserver where Element == EgressReport {
  func traffic(_ report: EgressReport) { record(report) }
}

/// Real connections under egress rules.
@Suite(.timeLimit(.minutes(1)))
struct EgressMeterTests {
  private let reports = Recorder<EgressReport>()

  private func connect(_ server: TestServer, paths: Set<String> = ["/test.Echo/Echo"]) async throws
    -> MutualTLSClientTransport
  {
    try await MutualTLSClientTransport.connect(
      host: "127.0.0.1", port: server.transport.port, context: server.clientContext(as: server.alpha),
      egress: EgressRules(paths: paths, observer: reports))
  }

  private func permitted(_ message: [UInt8]) -> PermittedMessage { PermittedMessage(message) }

  /// Runs calls over one connection and returns the last report about it.
  private func report(
    on transport: MutualTLSClientTransport,
    _ work: @Sendable (GRPCClient<MutualTLSClientTransport>) async throws -> Void
  ) async throws -> EgressReport {
    try await withGRPCClient(transport: transport) { try await work($0) }
    await transport.waitForClose()
    while let report = await reports.next() {
      if report.isFinal { return report }
    }
    throw EgressFault.framing
  }

  @Test func whatIsPermittedArrivesAndIsCounted() async throws {
    let server = try TestServer()
    try await server.serving {
      let transport = try await connect(server)
      let messages = [Array("hello".utf8), [], [UInt8](repeating: 7, count: 1 << 20)]
      let report = try await report(on: transport) { client in
        for message in messages {
          transport.permit(permitted(message))
          let answer = try await client.call(EchoService.echo, message)
          #expect(answer == message)
        }
      }
      let traffic = report.traffic
      #expect(report.fault == nil)
      #expect(report.peer == transport.peer)
      #expect(traffic.frames[.data]?.bytes == UInt64(messages.reduce(0) { $0 + 5 + $1.count }))
      #expect(traffic.headerListCount == 3)
      #expect(traffic.frames[.settings]?.frames == 2)
      #expect(
        traffic.plaintextByteCount == 24 + traffic.frames.values.reduce(0) { $0 + 9 * $1.frames + $1.bytes })
    }
  }

  /// Without a permit, and with one for another message of the same length.
  @Test(arguments: [nil, Array("hullo".utf8)])
  func whatIsNotPermittedDoesNotLeave(_ other: [UInt8]?) async throws {
    let server = try TestServer()
    try await server.serving {
      let transport = try await connect(server)
      if let other { transport.permit(permitted(other)) }
      let report = try await report(on: transport) { client in
        await #expect(throws: (any Error).self) { try await client.call(EchoService.echo, Array("hello".utf8)) }
      }
      #expect(report.fault == .notPermitted(byteCount: 5))
      #expect(transport.egressFault == report.fault)
      // What did not leave is not counted: a log that counts more than was recorded is not verified.
      #expect((report.traffic.frames[.data]?.bytes ?? 0) <= 5)
    }
  }

  /// Many frames long, and other than what is permitted in the first of them.
  @Test func anotherMessageOfTheSameLengthStopsAtItsFirstFrame() async throws {
    let server = try TestServer()
    try await server.serving {
      let transport = try await connect(server)
      let recorded = [UInt8](repeating: 7, count: 1 << 20)
      transport.permit(permitted(recorded))
      let report = try await report(on: transport) { client in
        await #expect(throws: (any Error).self) {
          try await client.call(EchoService.echo, [UInt8](repeating: 8, count: recorded.count))
        }
      }
      #expect(report.fault == .notPermitted(byteCount: recorded.count))
      #expect((report.traffic.frames[.data]?.bytes ?? 0) <= 5)
    }
  }

  @Test func anotherMethodIsNotCalled() async throws {
    let server = try TestServer()
    try await server.serving {
      let transport = try await connect(server)
      transport.permit(permitted([1]))
      let report = try await report(on: transport) { client in
        await #expect(throws: (any Error).self) { try await client.call(EchoService.whoAmI, [1]) }
      }
      #expect(report.fault == .header(":path"))
    }
  }

  @Test func metadataDoesNotLeave() async throws {
    let server = try TestServer()
    try await server.serving {
      let transport = try await connect(server)
      transport.permit(permitted([1]))
      let report = try await report(on: transport) { client in
        await #expect(throws: (any Error).self) {
          try await client.call(EchoService.echo, [1], metadata: ["note": "secret"])
        }
      }
      #expect(report.fault == .header("note"))
    }
  }

  @Test func aLongConnectionIsReportedOnItsWay() async throws {
    let server = try TestServer()
    try await server.serving {
      let transport = try await connect(server)
      let message = [UInt8](repeating: 3, count: 3 << 20)
      try await withGRPCClient(transport: transport) { client in
        for _ in 0..<6 {
          transport.permit(permitted(message))
          _ = try await client.call(EchoService.echo, message)
        }
      }
      await transport.waitForClose()
      let first = try #require(await reports.next())
      #expect(!first.isFinal && first.traffic.plaintextByteCount >= EgressMeter.reportByteCount)
      let last = try #require(await reports.next())
      #expect(last.isFinal && last.traffic.plaintextByteCount > first.traffic.plaintextByteCount)
    }
  }
}
