import Federation
import Testing

@testable import FederationClient

@Suite struct ProxySelectionTests {
  private func selection(_ environment: [String: String], option: String? = nil) throws -> ProxySelection? {
    try ProxySelection.choose(option: option, environment: environment)
  }

  @Test("The owner's word counts before the environment's, and the names in small letters before the others")
  func precedence() throws {
    let both = ["HTTPS_PROXY": "http://large.example:1", "https_proxy": "http://small.example:2/"]
    #expect(try selection([:])?.description == nil)
    #expect(try selection(["HTTP_PROXY": "http://p.example:1"]) == nil)
    #expect(try selection(both)?.description == "small.example:2")
    #expect(try selection(both)?.origin == "https_proxy")
    #expect(try selection(["HTTPS_PROXY": "p.example:3128", "https_proxy": ""])?.description == "p.example:3128")
    let chosen = try selection(both.merging(["NO_PROXY": "*"]) { $1 }, option: "http://[fd00::1]:8080")
    #expect(chosen?.description == "[fd00::1]:8080")
    // NO_PROXY is the environment's, and so is what it makes an exception of.
    #expect(try chosen?.proxy(for: NetworkAddress("hub.example:1")) != nil)
  }

  @Test(
    "Credentials in the address, other schemes and what names no proxy are refused, and not repeated",
    arguments: [
      "http://user:secret@p.example:1", "user:secret@p.example:1", "https://p.example:1", "socks5://p.example:1",
      "http://p.example", "http://p.example:0", "http://p.example:1/path", "", "http://", "p example:1",
    ])
  func refused(_ address: String) {
    let error = #expect(throws: ProxySelection.Problem.self) {
      try ProxySelection(address: address, origin: "--proxy")
    }
    #expect(error?.message.contains("secret") == false)
  }

  @Test(
    "Exceptions",
    arguments: [
      ("hub.example", "hub.example:7443", true), ("hub.example", "the-hub.example:7443", false),
      ("example", "hub.example:7443", true), (".example", "hub.example:7443", true),
      ("*.example", "hub.example:7443", true), ("HUB.example", "hub.EXAMPLE:7443", true),
      ("hub.example:7443", "hub.example:7443", true), ("hub.example:1", "hub.example:7443", false),
      ("*", "hub.example:7443", true), ("other.example, hub.example", "hub.example:7443", true),
      ("10.0.0.0/8", "10.1.2.3:7443", true), ("10.0.0.0/8", "11.1.2.3:7443", false),
      ("10.1.2.3", "10.1.2.3:7443", true), ("10.1.2.3:1", "10.1.2.3:7443", false),
      ("192.168.1.128/25", "192.168.1.127:1", false), ("192.168.1.128/25", "192.168.1.200:1", true),
      ("fd00::/8", "[fd12::1]:7443", true), ("fd00::/8", "[fe12::1]:7443", false), ("::1", "[::1]:1", true),
      ("10.0.0.0/33", "10.0.0.1:1", false), (".", "hub.example:1", false), ("", "hub.example:1", false),
    ])
  func exceptions(_ list: String, _ address: String, _ isDirect: Bool) throws {
    let selection = try ProxySelection(address: "p.example:1", origin: "HTTPS_PROXY", exceptions: list)
    #expect(try (selection.proxy(for: NetworkAddress(address)) == nil) == isDirect)
  }
}
