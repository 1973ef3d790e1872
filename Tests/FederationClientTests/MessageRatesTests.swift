import Cryptography
import Synchronization
import Testing

@testable import FederationServer

@Suite("Rates of messages")
struct MessageRatesTests {
  @Test("An organisation that sends too fast is refused, told once, and holds nobody else up")
  func rates() throws {
    let time = Mutex(Duration.zero)
    let rates = MessageRates { time.withLock { $0 } }
    let alder = try OrganizationName("alder.example")
    let birch = try OrganizationName("birch.example")
    for _ in 0..<MessageRates.burst { #expect(rates.take(from: alder) == .taken) }
    #expect(rates.take(from: alder) == .beginsToRefuse)
    for _ in 0..<1000 { #expect(rates.take(from: alder) == .refused) }
    #expect(rates.take(from: birch) == .taken)
    time.withLock { $0 = .seconds(1) }
    for _ in 0..<Int(MessageRates.perSecond) { #expect(rates.take(from: alder) == .taken) }
    #expect(rates.take(from: alder) == .beginsToRefuse)
  }
}
