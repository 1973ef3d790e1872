import Cryptography
import Foundation
import Testing

@testable import MutualTLS

/// A provider for OpenSSL with a store for `pkcs11:` URIs, compiled for the test: one key behind a PIN, in the place of a
/// token. As real ones do, it gives the token's own codes as the reasons of its errors, and further errors after them.
///
/// It is named in OpenSSL's configuration, so this is for processes that do nothing else: exit tests.
enum TokenProvider {
  static let pin = "12345678"

  private static let compiler = ["/usr/bin/cc", "/usr/bin/clang", "/usr/bin/gcc"]
    .first { FileManager.default.isExecutableFile(atPath: $0) }

  static var isPossible: Bool { compiler != nil }

  /// Compiles the provider, puts it into the configuration and gives it a key.
  static func run(_ body: (CertificateKeyHash) throws -> Void) throws {
    let directory = FileManager.default.temporaryDirectory.appendingPathComponent("provider-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: directory) }
    func path(_ name: String) -> String { directory.appendingPathComponent(name).path }
    try source.write(toFile: path("token.c"), atomically: true, encoding: .utf8)
    try compile(path("token.c"), to: path("token.so"))
    let configuration = """
      openssl_conf = init
      [init]
      providers = providers
      [providers]
      default = standard
      token = token
      [standard]
      activate = 1
      [token]
      module = \(path("token.so"))
      activate = 1
      """
    try configuration.write(toFile: path("openssl.cnf"), atomically: true, encoding: .utf8)
    setenv("OPENSSL_CONF", path("openssl.cnf"), 1)
    setenv("TOKEN_KEY", path("token.der"), 1)
    let key = try PrivateKey.generate(creatingFile: path("token.key"))
    let pem = try String(contentsOfFile: path("token.key"), encoding: .utf8)
    let body64 = pem.split(separator: "\n").filter { !$0.hasPrefix("-----") }.joined()
    try #require(Data(base64Encoded: body64)).write(to: directory.appendingPathComponent("token.der"))
    try body(key.publicKeyHash)
  }

  private static func compile(_ source: String, to library: String) throws {
    let process = Process()
    process.executableURL = URL(fileURLWithPath: try #require(compiler))
    process.arguments = ["-shared", "-fPIC", "-o", library, source]
    try process.run()
    process.waitUntilExit()
    try #require(process.terminationStatus == 0)
  }

  private static let source = #"""
    #include <openssl/core.h>
    #include <openssl/core_dispatch.h>
    #include <openssl/core_names.h>
    #include <openssl/core_object.h>
    #include <stdarg.h>
    #include <stdio.h>
    #include <stdlib.h>
    #include <string.h>

    static const OSSL_CORE_HANDLE *core;
    static OSSL_FUNC_core_new_error_fn *new_error;
    static OSSL_FUNC_core_set_error_debug_fn *set_error_debug;
    static OSSL_FUNC_core_vset_error_fn *vset_error;

    static int fail(unsigned int reason, const char *text, ...) {
      va_list list;
      va_start(list, text);
      new_error(core);
      set_error_debug(core, "token.c", 0, "load");
      vset_error(core, reason, text, list);
      va_end(list);
      return 0;
    }

    struct store {
      char uri[256];
      int is_done;
    };

    static void *store_open(void *provider, const char *uri) {
      struct store *store = calloc(1, sizeof *store);
      if (store != NULL) snprintf(store->uri, sizeof store->uri, "%s", uri);
      return store;
    }

    static int store_set(void *store, const OSSL_PARAM *parameters) { return 1; }

    static int store_load(void *context, OSSL_CALLBACK *object, void *object_data, OSSL_PASSPHRASE_CALLBACK *ask,
                          void *ask_data) {
      struct store *store = context;
      store->is_done = 1;
      char pin[33];
      size_t count = 0;
      char what[] = "token";
      OSSL_PARAM info[] = {{OSSL_PASSPHRASE_PARAM_INFO, OSSL_PARAM_UTF8_STRING, what, sizeof what - 1, 0}, {0}};
      if (!ask(pin, sizeof pin - 1, &count, info, ask_data)) return fail(5, "there is no PIN");
      if (strstr(store->uri, "object=locked")) {
        fail(0xA4, "error returned by C_Login");
        return fail(5, "there is no session");
      }
      if (count != 8 || memcmp(pin, "12345678", 8) != 0) {
        fail(0xA0, "error returned by C_Login");
        return fail(5, "there is no session");
      }
      if (!strstr(store->uri, "object=tls")) return fail(0x82, "there is no such object");
      static unsigned char key[4096];
      FILE *file = fopen(getenv("TOKEN_KEY"), "rb");
      if (file == NULL) return fail(5, "there is no file");
      size_t length = fread(key, 1, sizeof key, file);
      fclose(file);
      int type = OSSL_OBJECT_PKEY;
      char kind[] = "EC", structure[] = "PrivateKeyInfo";
      OSSL_PARAM parameters[] = {
          {OSSL_OBJECT_PARAM_TYPE, OSSL_PARAM_INTEGER, &type, sizeof type, 0},
          {OSSL_OBJECT_PARAM_DATA_TYPE, OSSL_PARAM_UTF8_STRING, kind, sizeof kind - 1, 0},
          {OSSL_OBJECT_PARAM_DATA_STRUCTURE, OSSL_PARAM_UTF8_STRING, structure, sizeof structure - 1, 0},
          {OSSL_OBJECT_PARAM_DATA, OSSL_PARAM_OCTET_STRING, key, length, 0},
          {0}};
      return object(parameters, object_data);
    }

    static int store_eof(void *store) { return ((struct store *)store)->is_done; }

    static int store_close(void *store) {
      free(store);
      return 1;
    }

    static const OSSL_DISPATCH store_functions[] = {
        {OSSL_FUNC_STORE_OPEN, (void (*)(void))store_open},
        {OSSL_FUNC_STORE_SET_CTX_PARAMS, (void (*)(void))store_set},
        {OSSL_FUNC_STORE_LOAD, (void (*)(void))store_load},
        {OSSL_FUNC_STORE_EOF, (void (*)(void))store_eof},
        {OSSL_FUNC_STORE_CLOSE, (void (*)(void))store_close},
        {0, NULL}};

    static const OSSL_ALGORITHM stores[] = {{"pkcs11", "provider=token", store_functions, NULL}, {0}};

    static const OSSL_ALGORITHM *query(void *provider, int operation, int *no_store) {
      *no_store = 0;
      return operation == OSSL_OP_STORE ? stores : NULL;
    }

    static const OSSL_DISPATCH provider_functions[] = {
        {OSSL_FUNC_PROVIDER_QUERY_OPERATION, (void (*)(void))query}, {0, NULL}};

    int OSSL_provider_init(const OSSL_CORE_HANDLE *handle, const OSSL_DISPATCH *in, const OSSL_DISPATCH **out,
                           void **provider) {
      core = handle;
      for (; in->function_id != 0; in++) {
        switch (in->function_id) {
        case OSSL_FUNC_CORE_NEW_ERROR: new_error = OSSL_FUNC_core_new_error(in); break;
        case OSSL_FUNC_CORE_SET_ERROR_DEBUG: set_error_debug = OSSL_FUNC_core_set_error_debug(in); break;
        case OSSL_FUNC_CORE_VSET_ERROR: vset_error = OSSL_FUNC_core_vset_error(in); break;
        }
      }
      *provider = (void *)handle;
      *out = provider_functions;
      return 1;
    }
    """#
}

/// Keys in tokens through a provider, where OpenSSL's configuration loads one.
@Suite(.enabled(if: TokenProvider.isPossible, "needs a C compiler"), .timeLimit(.minutes(2)))
struct TokenProviderTests {
  private static let pinned = "pkcs11:token=bauta;object=tls"

  private static func key(_ uri: String = pinned, pin: String?) throws(CredentialError) -> PrivateKey {
    let passphrase = pin.flatMap { try? PassphraseTests.passphrase($0) }
    return try PrivateKey(loading: PrivateKeySource(uri), passphrase: passphrase)
  }

  @Test func aProvidersKeyIsLoadedWithThePIN() async {
    await #expect(processExitsWith: .success) {
      try TokenProvider.run { (expected) throws in
        #expect(try TokenProviderTests.key(pin: TokenProvider.pin).publicKeyHash == expected)
      }
    }
  }

  /// As the engine tells them.
  @Test func aWrongPINIsToldFromNone() async {
    await #expect(processExitsWith: .success) {
      try TokenProvider.run { (expected) throws in
        func problem(_ uri: String = TokenProviderTests.pinned, pin: String?) -> CredentialError? {
          #expect(throws: CredentialError.self) { try TokenProviderTests.key(uri, pin: pin) }
        }
        let source = TokenProviderTests.pinned
        #expect(problem(pin: nil) == .keyAccess(.pinMissing(source: source)))
        // Wrong, and shorter and longer than any token's.
        for pin in ["87654321", "123", String(repeating: "1", count: 33), String(repeating: "1", count: 1024)] {
          #expect(problem(pin: pin) == .keyAccess(.pinWrong(source: source)), "\(pin.count)")
        }
        let locked = "pkcs11:token=bauta;object=locked"
        #expect(problem(locked, pin: TokenProvider.pin) == .keyAccess(.pinLocked(source: locked)))
        // A right PIN is not blamed for what is missing.
        #expect(problem("pkcs11:token=bauta;object=other", pin: TokenProvider.pin)?.code == "private-key-not-found")
        #expect(try TokenProviderTests.key(pin: TokenProvider.pin).publicKeyHash == expected)
      }
    }
  }
}
