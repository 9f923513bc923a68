/*
 * What every unit test includes: cmocka with the headers it wants before it, and a few words more.
 */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The text of a struct buf. */
#define check_buf(b, text) assert_string_equal(buf_text(b), text)

#define check_bytes(b, text, size_)                                                                \
        do {                                                                                       \
                assert_int_equal((b).size, size_);                                                 \
                assert_memory_equal((b).data, text, size_);                                        \
        } while (0)
