import Foundation
import Testing

@testable import MutualTLS

/// There is one TLS library in the process: the system's. Package dependencies are able to bring a second one along.
@Suite struct OneTLSLibraryTests {
  // Joined at run time, so that this file's own constants are not found in the binary.
  private static let foreignSymbols = ["CNIO", "CCrypto"].map { [$0, "Boring", "SSL_"].joined() }
  private static let foreignFunctions = ["SSL_new", "X509_new", "EVP_sha256"]

  private static func isDefined(_ symbol: String) -> Bool {
    guard let process = dlopen(nil, RTLD_NOW) else { return false }
    defer { dlclose(process) }
    return dlsym(process, symbol) != nil
  }

  @Test func noFunctionOfAnotherLibraryIsLinked() {
    // Control: the lookup does find what is there.
    for function in OneTLSLibraryTests.foreignFunctions { #expect(OneTLSLibraryTests.isDefined(function)) }
    for prefix in OneTLSLibraryTests.foreignSymbols {
      for function in OneTLSLibraryTests.foreignFunctions {
        #expect(!OneTLSLibraryTests.isDefined(prefix + function))
      }
    }
  }

  @Test func noLoadedImageHoldsASymbolOfAnotherLibrary() throws {
    let maps = try String(contentsOfFile: "/proc/self/maps", encoding: .utf8)
    let images = Set(
      maps.split(separator: "\n").compactMap { $0.split(separator: " ").dropFirst(5).first.map(String.init) }
    )
    .filter { $0.hasPrefix("/") && FileManager.default.isReadableFile(atPath: $0) }
    // Control: the mangled name of this module's handler is in one of the images, and libssl's in another.
    var controls: Set<String> = ["9MutualTLS14OpenSSLHandlerC", "SSL_CTX_new_ex"]
    for image in images {
      guard let bytes = try? Data(contentsOf: URL(fileURLWithPath: image), options: .alwaysMapped) else { continue }
      controls = controls.filter { !OneTLSLibraryTests.contains(bytes, $0) }
      for symbol in OneTLSLibraryTests.foreignSymbols {
        #expect(!OneTLSLibraryTests.contains(bytes, symbol), "\(image) holds \(symbol)")
      }
    }
    #expect(controls.isEmpty)
  }

  private static func contains(_ bytes: Data, _ text: String) -> Bool {
    bytes.range(of: Data(text.utf8)) != nil
  }
}
