import Foundation
import Testing

@testable import MutualTLS

@Suite struct PrivateKeySourceTests {
  @Test func sourcesAreToldApart() {
    #expect(PrivateKeySource("/etc/bauta/tls.key") == .file("/etc/bauta/tls.key"))
    #expect(PrivateKeySource("tls.key") == .file("tls.key"))
    #expect(PrivateKeySource("file:///etc/tls.key") == .file("/etc/tls.key"))
    #expect(PrivateKeySource("FILE://localhost/etc/tls%20a.key") == .file("/etc/tls a.key"))
    #expect(PrivateKeySource("pkcs11:object=tls") == .store("pkcs11:object=tls"))
  }

  private static let shown: [(String, String)] = [
    ("pkcs11:object=tls?pin-value=1234", "pkcs11:object=tls"),
    ("pkcs11:token=a;id=%01;object=tls;pin-value=1234", "pkcs11:token=a;object=tls"),
    ("pkcs11:1234", "pkcs11:…"),
    ("pkcs11:", "pkcs11:…"),
    ("https://user:1234@example.com/key", "https:…"),
    ("tpm2:1234", "tpm2:…"),
  ]

  /// Whatever stands in a URI, nothing but labels of token and object is ever said about it.
  @Test(arguments: shown)
  func descriptionsHideWhatMayBeSecret(_ uri: String, _ expected: String) {
    #expect("\(PrivateKeySource.store(uri))" == expected)
  }

  @Test func aDirectoryHoldsItsKeyOrSaysWhereItIs() throws {
    let federation = try TestFederation()
    let path = federation.path("tls.key")
    #expect(try PrivateKeySource.resolve(keyPath: path) == .file(path))
    _ = try PrivateKey.generate(creatingFile: path)
    #expect(try PrivateKeySource.resolve(keyPath: path) == .file(path))

    let uriPath = try federation.write("pkcs11:token=a;object=tls\n", to: "tls.key.uri")
    #expect(throws: CredentialError.keyAccess(.keyNamedTwice(path: path, uriPath: uriPath))) {
      try PrivateKeySource.resolve(keyPath: path)
    }
    try FileManager.default.moveItem(atPath: path, toPath: federation.path("elsewhere.key"))
    #expect(try PrivateKeySource.resolve(keyPath: path) == .store("pkcs11:token=a;object=tls"))

    _ = try federation.write("file:\(federation.path("elsewhere.key"))", to: "tls.key.uri")
    let source = try PrivateKeySource.resolve(keyPath: path)
    #expect(source == .file(federation.path("elsewhere.key")))
    _ = try PrivateKey(loading: source)
  }

  @Test(arguments: [0o666, 0o622, 0o620, 0o602])
  func aURIThatOthersMayChangeIsRefused(_ mode: Int) throws {
    let federation = try TestFederation()
    let uriPath = try federation.write("pkcs11:token=a;object=tls\n", to: "tls.key.uri")
    try FileManager.default.setAttributes([.posixPermissions: mode], ofItemAtPath: uriPath)
    #expect(throws: CredentialError.keyAccess(.uriFileWritable(path: uriPath, mode: UInt16(mode)))) {
      try PrivateKeySource.resolve(keyPath: federation.path("tls.key"))
    }
    try FileManager.default.setAttributes([.posixPermissions: 0o644], ofItemAtPath: uriPath)
    _ = try PrivateKeySource.resolve(keyPath: federation.path("tls.key"))
  }

  @Test func whatIsNoURIIsRefused() throws {
    let federation = try TestFederation()
    let path = federation.path("tls.key")
    for text in ["", "\n", "tls.key", "/etc/tls.key", ":x", "p:x"] {
      _ = try federation.write(text, to: "tls.key.uri")
      let error = #expect(throws: CredentialError.self, "\(text)") { try PrivateKeySource.resolve(keyPath: path) }
      #expect(error?.code == "key-uri-malformed")
    }
    let uriPath = try federation.write("pkcs11:object=" + String(repeating: "x", count: 4096), to: "tls.key.uri")
    #expect(throws: CredentialError.fileTooLarge(path: uriPath, maximum: 4096)) {
      try PrivateKeySource.resolve(keyPath: path)
    }
    try FileManager.default.removeItem(atPath: uriPath)
    try FileManager.default.createDirectory(atPath: uriPath, withIntermediateDirectories: false)
    #expect(throws: CredentialError.fileUnreadable(path: uriPath, reason: "not a regular file")) {
      try PrivateKeySource.resolve(keyPath: path)
    }
  }

  @Test(arguments: [
    "pkcs11:token=a;object=tls?pin-value=123456", "pkcs11:token=a;object=tls?PIN-VALUE=123456",
    "pkcs11:token=a;pin-value=123456;object=tls", "pkcs11:token=a;object=tls?pin%2dvalue=123456",
    "other:key?pin-value=123456",
  ])
  func aPINInAURIIsRefused(_ uri: String) throws {
    let federation = try TestFederation()
    _ = try federation.write(uri, to: "tls.key.uri")
    let errors = [
      #expect(throws: CredentialError.self) {
        try PrivateKeySource.resolve(keyPath: federation.path("tls.key"))
      },
      #expect(throws: CredentialError.self) { try PrivateKey(loading: PrivateKeySource(uri)) },
    ]
    for error in errors {
      #expect(error?.code == "pin-in-uri")
      #expect(error?.remedy.contains("pin-source=file:") == true && error?.remedy.contains("--passphrase-fd") == true)
      let text = (error?.message ?? "") + (error?.remedy ?? "")
      #expect(!text.contains("123456"))
    }
  }

  @Test(arguments: [
    "pkcs11:tls", "pkcs11:name=tls", "pkcs11:object=tls?module-path=/tmp/evil.so",
    "pkcs11:object=tls?pin-source=file:/a&module-path=/b", "pkcs11:object=tls?pin-source=|command",
    "pkcs11:object=tls?pin-source=relative", "pkcs11:object=tls?pin-source=file:relative", "pkcs11:object=a b",
    "pkcs11:object=ä", "other:a\nb",
  ])
  func malformedURIsAreRefused(_ uri: String) throws {
    let error = #expect(throws: CredentialError.self) { try PrivateKey(loading: .store(uri)) }
    #expect(error?.code == "key-uri-malformed")
    let long = #expect(throws: CredentialError.self) {
      try PrivateKey(loading: .store(uri + String(repeating: "x", count: 5000)))
    }
    #expect(long?.code == "key-uri-malformed")
  }

  @Test func schemesWithoutALoaderAreRefused() throws {
    #expect(throws: CredentialError.keyAccess(.noLoader(scheme: "no-such-scheme"))) {
      try PrivateKey(loading: .store("no-such-scheme:object"))
    }
  }

  /// A store URI must not be a way around the check of a file's rights.
  @Test func aFileURIIsJudgedAsAFile() throws {
    let federation = try TestFederation()
    let path = federation.path("tls.key")
    _ = try PrivateKey.generate(creatingFile: path)
    try FileManager.default.setAttributes([.posixPermissions: 0o644], ofItemAtPath: path)
    for uri in ["file:\(path)", "FILE:\(path)", "file://\(path)"] {
      #expect(throws: CredentialError.keyExposed(path: path, mode: 0o644)) { try PrivateKey(loading: .store(uri)) }
    }
  }
}
