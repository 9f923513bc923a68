#include "proto/link/tls.h"

#include "proto/base/cleanup.h"

#include <errno.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <openssl/ssl.h>

DEFINE_CLEANUP_FREE(SSL_CTX, SSL_CTX_free)

int tls_prepare(void) {
        /* of the signatures that certificates and handshakes have; a name that is missing is not an error to OpenSSL */
        static const char *const digests[] = {"MD5",    "SHA1",   "SHA224",
                                              "SHA256", "SHA384", "SHA512"};
        CLEANUP(SSL_CTX_free) SSL_CTX *context = NULL;
        unsigned char byte;

        if (OPENSSL_init_ssl(OPENSSL_INIT_LOAD_SSL_STRINGS | OPENSSL_INIT_LOAD_CRYPTO_STRINGS |
                                     OPENSSL_INIT_ADD_ALL_CIPHERS | OPENSSL_INIT_ADD_ALL_DIGESTS,
                             NULL) != 1)
                return -ENOMEM;
        for (size_t i = 0; i < ARRAY_SIZE(digests); i++)
                if (!EVP_get_digestbyname(digests[i]))
                        return -ENOMEM;
        context = SSL_CTX_new(TLS_client_method());
        return context && RAND_bytes(&byte, sizeof(byte)) == 1 ? 0 : -ENOMEM;
}
