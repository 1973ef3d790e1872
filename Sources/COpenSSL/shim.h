// Swift cannot see function-like macros; each one the package needs becomes a static inline function here.
#pragma once
#include <openssl/bio.h>
#include <openssl/conf.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/params.h>
#include <openssl/pem.h>
#include <openssl/pkcs12.h>
#include <openssl/provider.h>
#include <openssl/rand.h>
#include <openssl/sha.h>
#include <openssl/ssl.h>
#include <openssl/store.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

// Used by MutualTLS: macros of libssl with the types they are meant to have.
#include <openssl/asn1.h>
#include <openssl/bn.h>
#include <openssl/tls1.h>
#include <openssl/ui.h>

static inline int mutual_tls_require_tls13(SSL_CTX *context) {
  return SSL_CTX_set_min_proto_version(context, TLS1_3_VERSION) == 1 &&
         SSL_CTX_set_max_proto_version(context, TLS1_3_VERSION) == 1;
}
static inline void mutual_tls_disable_legacy_features(SSL_CTX *context) {
  SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_NO_TICKET);
  SSL_CTX_set_mode(context, SSL_MODE_NO_AUTO_CHAIN);
}
static inline void mutual_tls_disable_session_cache(SSL_CTX *context) {
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
}
static inline int mutual_tls_set_groups(SSL_CTX *context, const char *groups) {
  return SSL_CTX_set1_groups_list(context, groups) == 1;
}
/// Takes ownership of the certificate on success.
static inline int mutual_tls_add_chain_certificate(SSL_CTX *context, X509 *certificate) {
  return SSL_CTX_add0_chain_cert(context, certificate) == 1;
}
static inline void mutual_tls_set_maximum_chain_bytes(SSL_CTX *context, long bytes) {
  SSL_CTX_set_max_cert_list(context, bytes);
}
static inline int mutual_tls_set_server_name(SSL *ssl, const char *name) {
  return SSL_set_tlsext_host_name(ssl, name) == 1;
}
static inline int mutual_tls_print_name(BIO *bio, const X509_NAME *name) {
  return X509_NAME_print_ex(bio, name, 0, XN_FLAG_RFC2253 & ~ASN1_STRFLGS_ESC_MSB) >= 0;
}
static inline const char *mutual_tls_group_name(SSL *ssl) {
  return SSL_group_to_name(ssl, (int)SSL_get_negotiated_group(ssl));
}

// Not of OpenSSL, but needed by the same module: glibc's allocator. Elsewhere nothing is done.
#include <stddef.h>
#ifdef __GLIBC__
#include <malloc.h>
static inline int mutual_tls_keep_freed_memory(int largest_kept_block, int kept) {
  return mallopt(M_MMAP_THRESHOLD, largest_kept_block) == 1 && mallopt(M_TRIM_THRESHOLD, kept) == 1;
}
#else
static inline int mutual_tls_keep_freed_memory(int largest_kept_block, int kept) {
  (void)largest_kept_block, (void)kept;
  return 1;
}
#endif

// Engines, deprecated since OpenSSL 3.0 and gone with 4.0: Debian 12 has no provider for PKCS #11, but has an engine.
#if !defined(OPENSSL_NO_ENGINE) && __has_include(<openssl/engine.h>)
#pragma clang diagnostic push
#pragma clang diagnostic ignored "-Wdeprecated-declarations"
#include <openssl/engine.h>
/// A functional reference to the engine, or NULL. It is never given back: keys live as long as their engine does.
static inline void *mutual_tls_open_engine(const char *name) {
  ENGINE *engine = ENGINE_by_id(name);
  if (engine == NULL) return NULL;
  // Engines that know the command would write to standard error otherwise; errors are in the queue as well.
  ENGINE_ctrl_cmd_string(engine, "QUIET", NULL, 1);
  int initialized = ENGINE_init(engine);
  ENGINE_free(engine);
  return initialized == 1 ? engine : NULL;
}
static inline EVP_PKEY *mutual_tls_load_engine_key(void *engine, const char *name, UI_METHOD *method, void *data) {
  return ENGINE_load_private_key((ENGINE *)engine, name, method, data);
}
#pragma clang diagnostic pop
#else
static inline void *mutual_tls_open_engine(const char *name) {
  (void)name;
  return NULL;
}
static inline EVP_PKEY *mutual_tls_load_engine_key(void *engine, const char *name, UI_METHOD *method, void *data) {
  (void)engine, (void)name, (void)method, (void)data;
  return NULL;
}
#endif


// Used by Cryptography: HKDF-SHA-256 (RFC 5869), extract then expand. The parameter keys are macros and the array must
// outlive the call. Returns 1 on success.
static inline int bauta_hkdf_sha256(EVP_KDF *kdf, const void *secret, size_t secret_count, const void *salt,
                                    size_t salt_count, const void *info, size_t info_count, void *output,
                                    size_t output_count) {
  EVP_KDF_CTX *context = EVP_KDF_CTX_new(kdf);
  if (context == NULL) return 0;
  int mode = EVP_KDF_HKDF_MODE_EXTRACT_AND_EXPAND;
  OSSL_PARAM parameters[6];
  OSSL_PARAM *next = parameters;
  *next++ = OSSL_PARAM_construct_int(OSSL_KDF_PARAM_MODE, &mode);
  *next++ = OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, (char *)"SHA2-256", 0);
  *next++ = OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, (void *)secret, secret_count);
  if (salt_count > 0) *next++ = OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SALT, (void *)salt, salt_count);
  if (info_count > 0) *next++ = OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, (void *)info, info_count);
  *next = OSSL_PARAM_construct_end();
  int status = EVP_KDF_derive(context, (unsigned char *)output, output_count, parameters) == 1;
  EVP_KDF_CTX_free(context);
  return status;
}
