#include "proto/link/tls.h"

#include "proto/base/cleanup.h"

#include <errno.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <stdbool.h>

DEFINE_CLEANUP_FREE(SSL_CTX, SSL_CTX_free)

static bool has_digest(const char *name) {
        EVP_MD *found = EVP_MD_fetch(NULL, name, NULL);

        EVP_MD_free(found);
        return found;
}

static bool has_cipher(const char *name) {
        EVP_CIPHER *found = EVP_CIPHER_fetch(NULL, name, NULL);

        EVP_CIPHER_free(found);
        return found;
}

int tls_prepare(void) {
        /* of the signatures that certificates and handshakes have; a name that is missing is not an error to OpenSSL */
        static const char *const digests[] = {"MD5",    "SHA1",   "SHA224",
                                              "SHA256", "SHA384", "SHA512"};
        static const char *const ciphers[] = {"AES-128-GCM", "AES-256-GCM", "AES-128-CBC",
                                              "AES-256-CBC", "ChaCha20-Poly1305"};
        CLEANUP(SSL_CTX_free) SSL_CTX *context = NULL;

        if (OPENSSL_init_ssl(OPENSSL_INIT_LOAD_SSL_STRINGS | OPENSSL_INIT_LOAD_CRYPTO_STRINGS |
                                     OPENSSL_INIT_ADD_ALL_CIPHERS | OPENSSL_INIT_ADD_ALL_DIGESTS,
                             NULL) != 1)
                return -ENOMEM;
        context = SSL_CTX_new(TLS_client_method());
        for (size_t i = 0; i < ARRAY_SIZE(digests); i++)
                if (!EVP_get_digestbyname(digests[i]) || !has_digest(digests[i]))
                        return -ENOMEM;
        for (size_t i = 0; i < ARRAY_SIZE(ciphers); i++)
                if (!has_cipher(ciphers[i]))
                        return -ENOMEM;
        return context ? 0 : -ENOMEM;
}
