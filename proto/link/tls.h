/*
 * The TLS library, made ready before anybody needs it.
 *
 * OpenSSL prepares much of itself at first use, once: what fails then, for want of memory, fails for as long as the
 * process lives, and looks like a server that cannot be trusted. So all of it is done at the start, where the
 * answer is to end and be started again.
 *
 * It makes no connection; that is libstrophe's.
 */
#pragma once

/* Returns 0 or -ENOMEM. */
int tls_prepare(void);
